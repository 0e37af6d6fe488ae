"""What is printed has no effect but its letters; progress where there is no terminal: lines, not too many."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hime import terminal
from hime.terminal import complain, say, shown


def test_names_in_any_script_stay_as_they_are() -> None:
    for name in ("Zoë", "山田 太郎", "مادر", "می‌خواهم", "👩‍👩‍👧", "a b\u3000c", "C:\\x1b"):
        assert shown(name) == name


def test_what_takes_effect_is_shown() -> None:
    assert shown("a\x1b[31m\r\n\tb\x7f\x9b\u2028\u202e\udcff") == (
        r"a\x1b[31m\r\n\tb\u007f\u009b\u2028\u202e\udcff"
    )


@given(st.text(st.characters(codec=None), max_size=40))
def test_lines_stay_lines(text: str) -> None:
    line = shown(text)
    assert len(line.splitlines()) <= 1
    assert shown(line) == line
    assert not any(character < " " or "\x7f" <= character < "\xa0" for character in line)
    line.encode()  # no lone surrogates


@given(st.text(max_size=20))
def test_json_stays_json(text: str) -> None:
    lines = json.dumps({text: [text]}, ensure_ascii=False, indent=2).split("\n")
    assert json.loads("\n".join(map(shown, lines))) == {text: [text]}


def test_lines_go_where_they_belong(capsys: pytest.CaptureFixture[str]) -> None:
    say("one", "two\nthree")
    complain("four")
    assert capsys.readouterr() == ("one\ntwo\\nthree\n", "four\n")


def test_lines_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(terminal.track(["a", "b", "c"], "faces")) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""  # done before the first line is due
    monkeypatch.setattr(terminal, "SECONDS_BETWEEN_LINES", 0)
    assert list(terminal.track(["a", "b"], "faces")) == ["a", "b"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("faces:  50%")
    assert "2/2" in lines[1]
    assert list(terminal.track([], "faces")) == []
