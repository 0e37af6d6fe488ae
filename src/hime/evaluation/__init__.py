"""Measuring: metrics, evaluation lists run through a method, cost."""
