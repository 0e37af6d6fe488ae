"""A data set put into place by many workers: `hime prepare --engine ray`."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hime.cluster.engine import Pool
from hime.cluster.job import work_through
from hime.cluster.ledger import BEGUN, FAILED, RESTORED, Ledger
from hime.cluster.listing import stamp_of
from hime.cluster.planning import made_digest
from hime.cluster.storage import Store
from hime.cluster.work import Do
from hime.data.placing import Outcome, Placement
from hime.errors import HimeError
from hime.processors import limit_threads
from hime.restoring.batch import told

log = logging.getLogger(__name__)


_NEEDED = ("stamp", "made", "status", "reason", "details", "attempts")


@dataclass(frozen=True)
class Placements:
    """Pictures put into place; what came of each is in the ``details`` of its row."""

    placements: Sequence[Placement]
    threads: int

    def open(self, store: Store) -> Do:
        """Nothing is to be opened."""
        limit_threads(self.threads)

        def do(row: Mapping[str, Any]) -> dict[str, Any]:
            placement = self.placements[int(row["place"])]
            try:
                return {"status": RESTORED, "details": json.dumps(asdict(placement.run()))}
            except HimeError as error:
                return {"status": FAILED, "reason": str(error)}
            except Exception as error:
                log.debug("%s", placement.source, exc_info=True)
                return {"status": FAILED, "reason": told(placement.source, error)}

        return do


@dataclass(frozen=True)
class Placer:
    """Puts pictures into place on Ray, see `hime.data.placing.Placing`. What fails is unusable.

    Attributes:
        folder: for the rows of the job: a folder, or a URL of one.
        pool: who works.
    """

    folder: Path | str
    pool: Pool

    def __call__(self, placements: Sequence[Placement]) -> list[Outcome]:
        """Do what is left.

        Raises:
            HimeError: the job cannot go on.
        """
        store = Store.at(self.folder)
        store.check_writable()
        ledger = Ledger(store, lambda rows: None)
        known = ledger.rows(_NEEDED)
        rows: dict[int, Mapping[str, Any]] = {}
        left = []
        for number, each in enumerate(placements):
            # A link is the same whatever the data set's folder is called.
            other = ("target", "root") if each.size is None else ("target",)
            settings = {name: str(value) for name, value in asdict(each).items() if name not in other}
            source, made, stamp = str(each.target.absolute()), made_digest(settings), stamp_of(each.source)
            row = known.get(source)
            if row is not None and _is_done(row, each, made, stamp):
                rows[number] = row
                continue
            attempts = row["attempts"] if row is not None and row["status"] == BEGUN else 0
            left.append(
                {"source": source, "place": str(number), "stamp": stamp, "made": made, "attempts": attempts}
            )

        def take(row: Mapping[str, Any]) -> None:
            rows[int(row["place"])] = row

        if left:
            work = Placements([_absolute(each) for each in placements], self.pool.threads)
            work_through(work, left, store, ledger, self.pool, "pictures", take)
        return [_outcome(rows[number]) for number in range(len(placements))]


def _is_done(row: Mapping[str, Any], each: Placement, made: str, stamp: str) -> bool:
    if row["status"] != RESTORED or row["made"] != made or row["stamp"] != stamp:
        return False
    return _outcome(row) != Outcome() or each.is_done


def _outcome(row: Mapping[str, Any]) -> Outcome:
    return Outcome(**json.loads(row["details"])) if row["status"] == RESTORED else Outcome(row["reason"])


def _absolute(each: Placement) -> Placement:
    """As a worker finds it, whose current folder is another one."""
    return replace(each, source=each.source.absolute(), target=each.target.absolute())
