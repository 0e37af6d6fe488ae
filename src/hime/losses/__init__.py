"""The losses of equation 10 and their weighted sum."""
