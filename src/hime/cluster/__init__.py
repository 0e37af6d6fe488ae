"""Bulk work on Ray Data (extra ``cluster``): archives that one machine, or one run, does not get through.

A job is a manifest of rows, one an input (`hime.cluster.listing`), whose progress lies in Parquet beside the
results (`hime.cluster.ledger`). `hime.cluster.engine` lets actors work through it, each with its model opened
once; what they do with a row is what the plain loop does with an input (`hime.cluster.work`). Files lie on
disks or wherever fsspec reaches (`hime.cluster.storage`).
"""

from __future__ import annotations

from hime.errors import HimeError, how_to_install


def require() -> None:
    """Find out whether the extra ``cluster`` is there.

    Raises:
        HimeError: it is not.
    """
    try:
        import fsspec  # noqa: F401
        import pyarrow  # noqa: F401
        import ray  # noqa: F401
    except ModuleNotFoundError as error:
        name = (error.name or "ray").partition(".")[0]
        raise HimeError(f"{name} is not installed: {how_to_install('cluster')}") from None
