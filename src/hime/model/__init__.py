"""The network of the paper: Figure 2, one file a box."""

from hime.model.network import HIME, PAPER, HIMEConfig, HIMEOutput, large, small

__all__ = ["HIME", "PAPER", "HIMEConfig", "HIMEOutput", "large", "small"]
