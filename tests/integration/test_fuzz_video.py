"""A sample of the damaged and odd clips of ``fuzz_video.py``, every codec of them at least once."""

from __future__ import annotations

import pytest

pytest.importorskip("av", reason="videos need the extra video")
pytest.importorskip("cv2", reason="the extra faces is not installed")
pytest.importorskip("resource", reason="memory is measured on POSIX systems only")

from fuzz_video import CODECS, make_case, outcomes


def test_each_clip_ends_in_a_result_or_one_clear_line() -> None:
    count = len(CODECS) + 1
    ended = {
        f"{case.name} ({case.kind})": outcome
        for case, outcome in outcomes(range(count), seed=0, model="small-x4", seconds=300)
    }
    assert len(ended) == count > len(CODECS)
    assert {name: outcome["problem"] for name, outcome in ended.items() if outcome["problem"]} == {}
    assert 3 <= sum(outcome["status"] == 0 for outcome in ended.values()) <= 13


def test_a_case_is_the_same_every_time() -> None:
    assert make_case(0, 5) == make_case(0, 5)
    assert make_case(0, 5).content != make_case(1, 5).content
