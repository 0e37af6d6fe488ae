"""Restore a small headshot with the person's own photos."""
