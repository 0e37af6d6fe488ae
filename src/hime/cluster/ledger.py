"""What a job has done: rows in Parquet, in a hidden folder of the results.

Two kinds of files, each written whole or not at all:

- ``plan-*.parquet``: where the result of each source goes (`PLAN`). It is written before any work on a source
  begins, so that what is there later and not recorded is known as the job's own.
- ``done-*.parquet``: what became of the sources (`ROW`). While it works, each task keeps one file, written
  anew after each row; the driver puts the files of tasks that have ended together into larger ones.

Of several rows of one source the last one written holds. Who deletes the folder loses nothing but that
knowledge: the same command then finds its results there and takes them for somebody else's.

Parquet holds UTF-8, and names of files any bytes: `table_of` puts them into it, `rows_of` takes them out.
"""

from __future__ import annotations

import contextlib
import json
import re
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hime.cluster.storage import Store
from hime.errors import HimeError

FOLDER = ".hime-job"
"""Where the files lie, below the results."""

RESTORED, NOTHING, FAILED, BEGUN = "restored", "nothing", "failed", "begun"
"""What became of a source; ``begun`` is what was worked on when its worker ended."""

PLAN = pa.schema([("source", pa.string()), ("place", pa.string())])
"""Columns of the plan: the source (path or URL), and its result below the folder of the results."""

ROW = pa.schema(
    [
        ("source", pa.string()),
        ("place", pa.string()),
        ("stamp", pa.string()),
        ("made", pa.string()),
        ("input", pa.string()),
        ("sidecars", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("files", pa.list_(pa.string())),
        ("digests", pa.list_(pa.string())),
        ("people", pa.list_(pa.string())),
        ("notes", pa.list_(pa.string())),
        ("details", pa.string()),
        ("attempts", pa.int32()),
        ("seconds", pa.float64()),
        ("at", pa.float64()),
    ]
)
"""Columns of what was done: ``stamp`` of the source's content (`hime.cluster.listing.Found`); ``made``, a
digest of what it was made with; ``input`` and ``sidecars``, digests of their contents; ``status``;
``reason``, the line about what was not restored; ``files`` written below the results and their ``digests``
(SHA-256), of a source that came to nothing this time those of earlier times that are still there; ``people``
restored (null: a stranger); ``notes``, lines; ``details``, JSON of the kind of work; ``attempts``, how often
it was begun; ``seconds`` it took; ``at``, seconds since 1970."""

_FEW = ("made", "status")
"""Columns with few different values."""
_ROWS_A_FILE = 4096
"""Rows that the driver puts together; small enough to be lost again, large enough that a million are few
files."""
_READERS = 16
_AS_JSON = "\0"
"""What a text begins with that is kept as JSON, since it is no UTF-8. No path and no URL begins so."""
_PART = re.compile(r"/done-\w+-\d+\.parquet$")
"""What the file of a task is called."""


class Ledger:
    """The files of a job.

    Args:
        store: where the results go.
        told: of rows as soon as they are put together, at least once.
    """

    def __init__(self, store: Store, told: Callable[[Sequence[Mapping[str, Any]]], None]) -> None:
        self._store = store
        self._told = told
        self.run = uuid.uuid4().hex[:12]
        self._finished: list[dict[str, Any]] = []
        self._parts: list[str] = []

    @property
    def place(self) -> str:
        """The folder or URL."""
        return self._store.place(FOLDER)

    def plan(self) -> dict[str, str]:
        """Each source's place."""
        plan: dict[str, str] = {}
        for rows in self._rows(self._names("plan-"), PLAN):
            plan.update((row["source"], row["place"]) for row in rows)
        return plan

    def extend_plan(self, places: Mapping[str, str]) -> None:
        """Note where results of further sources go."""
        if places:
            columns = {"source": [*map(_kept, places)], "place": [*map(_kept, places.values())]}
            self._store.write(f"{FOLDER}/plan-{self.run}.parquet", _bytes(pa.table(columns, schema=PLAN)))

    def rows(self, columns: Sequence[str] = ROW.names) -> dict[str, dict[str, Any]]:
        """The last row of each source. What runs that were killed have left is put together.

        Args:
            columns: those that are wanted: of a million rows not all need be in the memory.

        Raises:
            HimeError: a file cannot be read.
        """
        names = self._whole()
        schema = pa.schema([ROW.field(name) for name in dict.fromkeys(["source", "at", *columns])])
        last: dict[str, dict[str, Any]] = {}
        for rows in self._rows(names, schema):
            for row in rows:
                earlier = last.get(row["source"])
                if earlier is None or row["at"] >= earlier["at"]:
                    last[row["source"]] = row | {name: sys.intern(row[name]) for name in _FEW if name in row}
        return last

    def forget(self, sources: Collection[str]) -> None:
        """Forget what was done about these sources; what is known of all others stays, and so does the plan.

        Raises:
            HimeError: a file cannot be read or written.
        """
        names = self._whole()
        for name in names:
            for rows in self._rows([name], ROW):
                if left := [row for row in rows if row["source"] not in sources]:
                    self._write(left)
        self._delete(names)  # when all that stays is written

    def finished(self, rows: Sequence[Mapping[str, Any]], parts: Iterable[str]) -> None:
        """Take the rows of tasks that have ended, whose files are ``parts``, to be put together."""
        self._finished.extend(dict(row) for row in rows)
        self._parts.extend(parts)
        if len(self._finished) >= _ROWS_A_FILE:
            self.put_together()

    def put_together(self) -> None:
        """Write the rows of tasks that have ended into one file, and delete theirs."""
        if self._finished:
            self._write_whole(self._finished)
            self._delete(self._parts)
            self._finished, self._parts = [], []

    def _whole(self) -> list[str]:
        """The files of rows, after those of tasks of runs that were killed are put together to one."""
        names = self._names("done-")
        parts = [name for name in names if _PART.search(name)]
        if parts:
            self._write_whole([row for rows in self._rows(parts, ROW) for row in rows])
            self._delete(parts)
            names = self._names("done-")
        return names

    def _write_whole(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._told(rows)
        self._write(rows)

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        name = f"{FOLDER}/done-{self.run}.{uuid.uuid4().hex[:8]}.parquet"
        self._store.write(name, _bytes(table_of(rows, ROW)))

    def _names(self, start: str) -> list[str]:
        found = self._store.names([FOLDER], own=True)
        return sorted(name for name in found if name.startswith(f"{FOLDER}/{start}"))

    def _delete(self, names: Sequence[str]) -> None:
        self._store.delete(names)

    def _rows(self, names: Sequence[str], schema: pa.Schema) -> Iterator[list[dict[str, Any]]]:
        """The rows of files, some at a time.

        Raises:
            HimeError: one cannot be read.
        """
        with ThreadPoolExecutor(_READERS) as readers:
            for start in range(0, len(names), _READERS):  # not all of them in the memory at once
                chosen = names[start : start + _READERS]
                tables = readers.map(lambda name: _read(self._store, name, schema), chosen)
                for name, table in zip(chosen, tables, strict=True):
                    for batch in table.to_batches(_ROWS_A_FILE):
                        with _named(self._store, name):
                            rows = rows_of(batch)
                        yield rows


class Part:
    """What one task has done, in a file of its own, written anew after each row.

    A worker that ends leaves the file: who takes up the task sees in it what is done, and how often the row
    at work was begun.

    Args:
        store: where the results go.
        run: of the job, see `Ledger`.
        task: its number.
    """

    def __init__(self, store: Store, run: str, task: int) -> None:
        self._store = store
        self.name = f"{FOLDER}/done-{run}-{task}.parquet"
        self._rows: dict[str, dict[str, Any]] = {}
        try:
            table = pq.read_table(BytesIO(store.read(self.name)), schema=ROW)
        except FileNotFoundError:
            return
        self._rows = {row["source"]: row for row in rows_of(table)}

    def is_done(self, source: str) -> bool:
        """Whether nothing is left to be done about it."""
        row = self._rows.get(source)
        return row is not None and row["status"] != BEGUN

    def begin(self, row: Mapping[str, Any]) -> int:
        """Note that work on a source begins; how often it was begun, this time included.

        Args:
            row: ``source``, ``place``, ``stamp``, ``made``, and ``attempts`` of earlier runs.
        """
        earlier = self._rows.get(row["source"], row)
        attempts = int(earlier.get("attempts") or 0) + 1
        self._rows[row["source"]] = filled(
            row, status=BEGUN, reason="its worker ended", attempts=attempts, at=time.time()
        )
        self.write()
        return attempts

    def end(self, row: Mapping[str, Any]) -> None:
        """Note what became of a source; it is written with the next one's beginning, or by `write`."""
        self._rows[row["source"]] = {**row, "at": time.time()}

    def write(self) -> None:
        """Write the file."""
        self._store.write(self.name, _bytes(self.table()))

    def table(self) -> pa.Table:
        """Its rows."""
        return table_of(self._rows.values(), ROW)


def filled(row: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """A row with all columns of `ROW`."""
    empty: dict[str, Any] = {"files": [], "digests": [], "people": [], "notes": []}
    values = {**empty, **row, **changed}
    return {name: values.get(name) for name in ROW.names}


def table_of(rows: Iterable[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table, from which `rows_of` gets them again. Names of files may hold bytes that are no UTF-8
    (lone surrogates in Python): such a text is put in as JSON, after a mark.
    """
    kept = [{name: _each(value, _kept) for name, value in row.items()} for row in rows]
    return pa.Table.from_pylist(kept, schema=schema)


def rows_of(table: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a table.

    Raises:
        ValueError: a text is damaged.
    """
    return [{name: _each(value, _given) for name, value in row.items()} for row in table.to_pylist()]


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """A value of a row with its texts changed."""
    if isinstance(value, str):
        return change(value)
    return [_each(each, change) for each in value] if isinstance(value, list) else value


def _kept(text: str) -> str:
    try:
        text.encode()
        is_plain = not text.startswith(_AS_JSON)
    except UnicodeEncodeError:
        is_plain = False
    return text if is_plain else _AS_JSON + json.dumps(text)


def _given(text: str) -> str:
    return str(json.loads(text.removeprefix(_AS_JSON))) if text.startswith(_AS_JSON) else text


def _bytes(table: pa.Table) -> bytes:
    sink = BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def _read(store: Store, name: str, schema: pa.Schema) -> pa.Table:
    with _named(store, name):
        return pq.read_table(BytesIO(store.read(name)), columns=schema.names, schema=schema)


@contextlib.contextmanager
def _named(store: Store, name: str) -> Iterator[None]:
    """Within it, what is wrong with a file's content is one line.

    Raises:
        HimeError: something is.
    """
    try:
        yield
    except (OSError, pa.ArrowException, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise HimeError(
            f"{store.place(name)}: cannot be read ({reason}); delete it, and what it told is done again"
        ) from None
