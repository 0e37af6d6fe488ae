"""People folders, splits and lists (`people`), and data sets as they are distributed (`sources`, `prepare`,
`placing`).

`prepare` makes of a data set a people folder, identity-disjoint splits and an evaluation list: what
`hime prepare` does. Without PyTorch.
"""

from hime.data.prepare import Prepared, prepare
from hime.data.sources import DATASETS, Source, read_source

__all__ = ["DATASETS", "Prepared", "Source", "prepare", "read_source"]
