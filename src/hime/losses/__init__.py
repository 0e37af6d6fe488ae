"""Pixel, correlation and combined losses."""
