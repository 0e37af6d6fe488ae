"""The network of the paper: Figure 2, one file a box."""

from hime.model.network import HIME, HIMEConfig, HIMEOutput, large, small

__all__ = ["HIME", "HIMEConfig", "HIMEOutput", "large", "small"]
