"""Where results come from: the command without places, the commit, the machine, the data by its content."""

from __future__ import annotations

import hashlib
import json
import subprocess
from datetime import date
from pathlib import Path

import pytest

from hime.cli import main
from hime.errors import HimeError
from hime.evaluation import provenance as module
from hime.evaluation.provenance import provenance, revision, source_digest, told


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["/usr/bin/hime", "evaluate", "small-x4"], "hime evaluate small-x4"),
        (["/somewhere/hime/__main__.py", "bench", "--json"], "hime bench --json"),
        (["/home/me/hime/comparisons/peers.py", "small-x4"], "python comparisons/peers.py small-x4"),
        (["hime", "--data", "/home/me/faces/celeba"], "hime --data celeba"),
        (
            ["hime", "--data=/home/me/celeba", "--set", "init=/home/me/run"],
            "hime --data=celeba --set init=run",
        ),
        (["hime", "--list", "../../me/list.jsonl"], "hime --list list.jsonl"),
        (["hime", "/a=b/model@0"], "hime model@0"),
        (["hime", "models/large-x4@0", "faces/celeba"], "hime models/large-x4@0 faces/celeba"),
        (["hime", "--set", "model.fusion=sum"], "hime --set model.fusion=sum"),
        (["hime", "--out", "two words.json"], "hime --out 'two words.json'"),
    ],
)
def test_the_command_says_nothing_of_the_machine(words: list[str], expected: str) -> None:
    assert told(words) == expected


def test_data_are_named_and_told_by_their_content(tmp_path: Path) -> None:
    listed = tmp_path / "list.jsonl"
    listed.write_bytes(b'{"input": "ada/0.webp"}\n')
    result = provenance(tmp_path / "celeba", command=["hime"], list=listed, video=None)
    assert result["data"] == {
        "folder": "celeba",
        "list": {"name": "list.jsonl", "sha256": hashlib.sha256(listed.read_bytes()).hexdigest()},
    }
    assert provenance(command=["hime"])["data"] == {}
    with pytest.raises(HimeError, match=r"gone\.jsonl: no such file"):
        provenance(command=["hime"], list=tmp_path / "gone.jsonl")


def test_code_is_told_by_its_content(tmp_path: Path) -> None:
    package, other = tmp_path / "one", tmp_path / "two"
    for folder in (package, other):
        (folder / "part" / "__pycache__").mkdir(parents=True)
        (folder / "part" / "a.py").write_text("a = 1\n")
        (folder / "b.py").write_text("")
    (package / "part" / "__pycache__" / "a.pyc").write_text("compiled")
    assert source_digest(package) == source_digest(other)
    (package / "part" / "a.py").write_text("a = 2\n")
    assert source_digest(package) != source_digest(other)
    (other / "part" / "a.py").rename(other / "a.py")
    assert source_digest(package) != source_digest(other)
    assert source_digest() == source_digest(Path(module.__file__).parents[1])


def test_the_form() -> None:
    result = provenance(command=["hime", "bench"])
    assert json.loads(json.dumps(result)) == result
    assert set(result) == {"command", "version", "revision", "machine", "data", "date"}
    assert date.fromisoformat(result["date"])
    machine = result["machine"]
    assert machine["processor"]
    assert machine["cores"] >= 1
    assert machine["numpy"]


def test_a_missing_library_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARIES", ("numpy", "no-such-library"))
    found = module.machine()
    assert found["numpy"]
    assert found["no-such-library"] is None


def test_the_revision_is_that_of_the_files_own_repository(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    code = tmp_path / "code.py"
    code.write_text("1\n")
    assert revision(code) is None  # no repository
    git("init", "--quiet")
    assert revision(code) is None  # in a repository that does not hold it, as an installed package may be
    git("add", "code.py")
    git("commit", "--quiet", "--message", "one")
    assert revision(code) == git("rev-parse", "HEAD")
    (tmp_path / "other.txt").write_text("not tracked\n")
    assert revision(code) == git("rev-parse", "HEAD")
    code.write_text("2\n")
    assert revision(code) == git("rev-parse", "HEAD") + "-dirty"


def test_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert revision(Path(module.__file__)) is None


def test_what_evaluate_writes_says_where_it_comes_from(
    tiny_model: Path, demo_people: Path, tmp_path: Path
) -> None:
    listed, out = demo_people / "list.jsonl", tmp_path / "result.json"
    words = [
        "evaluate",
        str(tiny_model),
        "--data",
        str(demo_people),
        "--list",
        str(listed),
        "--out",
        str(out),
    ]
    assert main(words) == 0
    text = out.read_text(encoding="utf-8")
    source = json.loads(text)["provenance"]
    assert source["data"]["folder"] == demo_people.name
    assert source["data"]["list"]["name"] == "list.jsonl"
    assert str(tmp_path) not in text
    assert str(demo_people) not in text
