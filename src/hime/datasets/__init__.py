"""Data sets as they are distributed → people folders, identity-disjoint splits, an evaluation list.

`sources`: who is in a data set, and where the pictures are; `prepare`: what `hime prepare` does with it.
Without PyTorch.
"""

from hime.datasets.prepare import Prepared, prepare
from hime.datasets.sources import DATASETS, Source, read_source

__all__ = ["DATASETS", "Prepared", "Source", "prepare", "read_source"]
