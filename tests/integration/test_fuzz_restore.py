"""A sample of the damaged and odd files of ``fuzz_restore.py``, every kind of them at least once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("cv2", reason="the extra faces is not installed")
pytest.importorskip("resource", reason="memory is limited on POSIX systems only")

from fuzz_files import MADE, make_case
from fuzz_restore import outcomes


def test_each_file_ends_in_a_result_or_one_clear_line(tiny_model: Path) -> None:
    ended = {
        f"{case.name} ({case.kind})": outcome
        for case, outcome in outcomes(range(len(MADE)), seed=0, model=str(tiny_model), seconds=120)
    }
    assert len(ended) == len(MADE)
    assert {name: outcome["problem"] for name, outcome in ended.items() if outcome["problem"]} == {}
    restored = sum(outcome["status"] == 0 for outcome in ended.values())
    assert 10 <= restored <= 45, "neither all of them too damaged nor too little"


def test_a_case_is_the_same_every_time() -> None:
    assert make_case(0, 5) == make_case(0, 5)
    assert make_case(0, 5).content != make_case(1, 5).content


def test_memory_of_who_started_it_is_not_counted() -> None:
    told = "from fuzz_files import peak_memory; print(peak_memory())"
    held = np.ones(1 << 29, np.uint8)  # 512 MiB, each page touched
    child = subprocess.run(
        [sys.executable, "-c", told],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert held.nbytes / (1 << 20) > 400 > float(child.stdout) > 5
