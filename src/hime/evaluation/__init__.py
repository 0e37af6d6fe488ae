"""Measuring: metrics, evaluation lists run through a method, cost.

`metrics` and `evaluate` need no PyTorch; `checkpoint` and `cost` do.
"""
