"""A sample of the hostile people, models, lists and notes of ``fuzz_people.py``."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzz_people import KINDS, outcomes

pytest.importorskip("cv2", reason="the extra faces is not installed")


def test_each_case_ends_in_a_result_or_one_line(tiny_model: Path) -> None:
    ended = list(outcomes(range(8 * len(KINDS)), seed=0, model=tiny_model))
    assert {name: problem for name, _, problem, _ in ended if problem} == {}
    refused = sum(status == 1 for _, status, _, _ in ended)
    assert len(ended) * 0.2 < refused < len(ended) * 0.95, "neither all refused nor hardly any"
