"""The workers: actors of a Ray Data pool that go through a job's tasks, as many at a time as there are."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from hime.cluster.ledger import ROW, rows_of, table_of
from hime.cluster.storage import Store
from hime.cluster.work import Work, Worker
from hime.errors import HimeError
from hime.processors import usable_threads

ROWS_A_TASK = 8
"""Rows that a worker takes at once: enough that Ray's share of the time is small, few enough that all workers
end together and progress is seen."""
TASKS_A_WORKER = 4
"""Tasks that each worker shall have at the least, where there are so few rows that tasks become smaller."""


_GIVEN = ("source", "place", "stamp", "made", "attempts", "files", "digests")
_TASK = pa.schema([*(ROW.field(name) for name in _GIVEN), ("task", pa.int64())])
"""Columns of what workers are given."""


@dataclass(frozen=True)
class Pool:
    """Who works.

    Attributes:
        address: of a Ray cluster's head (``HOST:PORT`` or ``ray://…``); default what ``RAY_ADDRESS``
            says, else a Ray of this machine alone, for this job.
        concurrency: workers; default as many as there are processors for.
        threads: processors of each.
    """

    address: str | None = None
    concurrency: int | None = None
    threads: int = 1


@contextlib.contextmanager
def connected(pool: Pool) -> Iterator[int]:
    """Ray, started or connected to as long as the block runs, unless it is already; gives the workers.

    Raises:
        HimeError: there is no such cluster, it has too few processors for one worker, or the current folder's
            name is not UTF-8.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its programs' remarks are no messages of ours
    import ray

    is_ours = not ray.is_initialized()
    if is_ours:
        address = pool.address or os.environ.get("RAY_ADDRESS") or "local"
        options: dict[str, Any] = {}
        if address == "local":  # as many workers as the user says, whatever is there
            processors = usable_threads() if pool.concurrency is None else pool.concurrency * pool.threads
            options = {"include_dashboard": False, "num_cpus": processors}
        try:
            with _hushed(), _unnamed():
                ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **options)
        except UnicodeEncodeError as error:  # the current folder
            raise HimeError(
                f"{error.object}: is no name in UTF-8, as Ray needs it; work in another folder"
            ) from None
        except Exception as error:  # of many kinds
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise HimeError(f"{address}: no Ray there ({reason}); check --address") from None
        # Ray would tell of workers that end, on standard output, and has no public switch for it.
        ray._private.worker._worker_logs_enabled = False
    try:
        processors = int(ray.cluster_resources().get("CPU", 0))
        if processors < pool.threads:
            raise HimeError(f"Ray has {processors} processors, a worker takes {pool.threads}; give --threads")
        yield pool.concurrency or processors // pool.threads
    finally:
        if is_ours:
            ray.shutdown()


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Within it nothing reaches standard error: Ray's compiled part greets there, whatever it is told."""
    sys.stderr.flush()
    kept, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(null)


@contextlib.contextmanager
def _unnamed() -> Iterator[None]:
    """Within it Ray does not note the command line, for which it has no public switch: a file's name that is
    not UTF-8 would end it.
    """
    import ray

    utils = ray._private.utils
    kept = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: "hime"
    try:
        yield
    finally:
        utils.get_entrypoint_name = kept


def run(
    work: Work, rows: Sequence[Mapping[str, Any]], store: Store, run: str, pool: Pool, workers: int
) -> Iterator[tuple[list[dict[str, Any]], list[str]]]:
    """Let workers do all rows; gives those of each task that has ended, and the names of their files.

    A worker that ends is started again and its task gone on with (`hime.cluster.ledger.Part`).

    Args:
        work: what to do.
        rows: ``source``, ``place``, ``stamp``, ``made`` and ``attempts`` of each; ``files`` and ``digests``
            of what may be replaced, see `hime.cluster.planning.Plan`.
        store: where the results go.
        run: of the job, see `hime.cluster.ledger.Ledger`.
        pool: who works, see `connected`.
        workers: how many.

    Raises:
        HimeError: the job cannot go on.
    """
    import ray.data
    from ray.exceptions import RayError

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    nothing: dict[str, Any] = {"files": [], "digests": []}
    tasks = [
        table_of(({**nothing, **row, "task": number} for row in chosen), _TASK)
        for number, chosen in enumerate(_tasks(rows, workers))
    ]
    shared = ray.put(work)
    data = ray.data.from_arrow(tasks).map_batches(
        _Actor,
        fn_constructor_args=([shared], store, run),
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(tasks))),
        num_cpus=pool.threads,
    )
    try:
        for block in data.iter_batches(batch_format="pyarrow", batch_size=None, prefetch_batches=0):
            parts = set(block.column("part").to_pylist())
            yield rows_of(block.drop_columns(["part"])), sorted(parts)
    except RayError as error:
        raise _stopped(error) from error


class _Actor:
    """A worker, as Ray Data calls it."""

    def __init__(self, shared: list[Any], store: Store, run: str) -> None:
        import ray

        self._worker = Worker(ray.get(shared[0]), store, run)

    def __call__(self, rows: pa.Table) -> pa.Table:
        given, tables = rows_of(rows), []
        for task in dict.fromkeys(row["task"] for row in given):
            part = self._worker.work(task, [row for row in given if row["task"] == task])
            table = part.table()
            tables.append(table.append_column("part", pa.array([part.name] * len(table), pa.string())))
        return pa.concat_tables(tables)


def _tasks(rows: Sequence[Mapping[str, Any]], workers: int) -> Iterator[Sequence[Mapping[str, Any]]]:
    size = max(1, min(ROWS_A_TASK, len(rows) // (TASKS_A_WORKER * workers)))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _stopped(error: Exception) -> HimeError:
    """The one line about a job that cannot go on."""
    cause = getattr(error, "cause", None) or error.__cause__
    while cause is not None and not isinstance(cause, HimeError):
        cause = getattr(cause, "cause", None) or cause.__cause__
    told = (
        str(cause) if cause is not None else f"{type(error).__name__}: {str(error).strip().splitlines()[-1]}"
    )
    return HimeError(f"the job stopped ({told}); the same command goes on with it")
