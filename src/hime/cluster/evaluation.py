"""A model measured on a list by many workers: `hime evaluate --engine ray`."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hime.cluster.engine import Pool
from hime.cluster.job import work_through
from hime.cluster.ledger import BEGUN, FAILED, RESTORED, Ledger
from hime.cluster.listing import stamp_of
from hime.cluster.planning import made_digest
from hime.cluster.storage import Store
from hime.cluster.work import Do
from hime.errors import HimeError
from hime.evaluation.evaluate import Evaluation, Measured
from hime.processors import limit_threads
from hime.restoring.batch import told
from hime.restoring.inputs import together

log = logging.getLogger(__name__)


_NEEDED = ("place", "stamp", "made", "status", "reason", "details", "attempts")


@dataclass(frozen=True)
class Entries:
    """Entries of a list measured; what was measured is in the ``details`` of their rows.

    Attributes:
        open_evaluation: opens models and measures.
        threads: of a worker.
    """

    open_evaluation: Callable[[], Evaluation]
    threads: int

    def open(self, store: Store) -> Do:
        """Open models and measures."""
        limit_threads(self.threads)
        evaluation = self.open_evaluation()

        def do(row: Mapping[str, Any]) -> dict[str, Any]:
            number = int(row["place"])
            try:
                measured = evaluation.measure(number)
            except HimeError as error:
                return {"status": FAILED, "reason": evaluation.told(number, error)}
            except Exception as error:
                log.debug("%s", row["source"], exc_info=True)
                reason = told(Path(evaluation.entries[number].input), error)
                return {"status": FAILED, "reason": reason}
            details = json.dumps({"image": measured.image, "truth": measured.truth}, default=float)
            return {"status": RESTORED, "details": details}

        return do


def evaluate(
    open_evaluation: Callable[[], Evaluation],
    evaluation: Evaluation,
    made: Mapping[str, str],
    folder: Path | str,
    pool: Pool,
) -> dict[str, Any]:
    """Measure every entry of a list, see `hime.evaluation.evaluate.evaluate`.

    The same call goes on with a job that was interrupted; entries that failed are tried again, and those one
    of whose photos has changed since (size and date).

    Args:
        open_evaluation: gives ``evaluation``, in each worker.
        evaluation: what is measured.
        made: what figures depend on, a text for each part, the list's entries apart.
        folder: for the rows of the job: a folder, or a URL of one.
        pool: who works.

    Raises:
        HimeError: the job cannot go on.
    """
    store = Store.at(folder)
    store.check_writable()
    ledger = Ledger(store, lambda rows: None)
    known, whole = ledger.rows(_NEEDED), made_digest(made)
    rows: dict[int, Mapping[str, Any]] = {}
    left = []
    for number, entry in enumerate(evaluation.entries):
        source = f"{number} {entry.input} {' '.join(entry.references)}"
        earlier = known.get(source)
        stamp = together(
            f"{path.parent.name}/{path.name} {stamp_of(path)}" for path in evaluation.reads(number)
        )
        if earlier is not None and _is_done(earlier, stamp, whole):
            rows[number] = earlier
            continue
        attempts = earlier["attempts"] if earlier is not None and earlier["status"] == BEGUN else 0
        left.append(
            {"source": source, "place": str(number), "stamp": stamp, "made": whole, "attempts": attempts}
        )

    def take(row: Mapping[str, Any]) -> None:
        rows[int(row["place"])] = row

    if left:
        work_through(Entries(open_evaluation, pool.threads), left, store, ledger, pool, "evaluate", take)
    measured, failed = [], []
    for number, entry in enumerate(evaluation.entries):
        row = rows[number]
        if row["status"] == RESTORED:
            found = json.loads(row["details"])
            measured.append(Measured(found["image"], found["truth"]))
        else:
            failed.append({"input": entry.input, "error": row["reason"]})
    return evaluation.result(measured, failed)


def _is_done(row: Mapping[str, Any], stamp: str, made: str) -> bool:
    return (row["status"], row["stamp"], row["made"]) == (RESTORED, stamp, made)
