"""Progress where there is no terminal: lines, and not too many."""

from __future__ import annotations

import pytest

from hime import progress


def test_lines_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(progress.track(["a", "b", "c"], "faces")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""  # done before the first line is due
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    assert list(progress.track(["a", "b"], "faces")) == ["a", "b"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("faces:  50%")
    assert "2/2" in lines[1]
    assert list(progress.track([], "faces")) == []
