"""The command line's own manners: help by what one wants, completion, quiet, JSON, and a dry run."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageFilter
import pytest
from command_line import Capture, files_below, run

from hime.cli import build_parser
from hime.cli.arguments import Parser
from hime.cli.completion import SHELLS
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image


def parsers(parser: Parser) -> dict[str, Parser]:
    """Every command and what parses it."""
    found = {}
    for action in parser._actions:
        for name, command in (action.choices or {}).items() if isinstance(action.choices, dict) else ():
            found[name] = command
            found |= {f"{name} {action}": each for action, each in parsers(command).items()}
    return found


def help_of(capsys: Capture, *words: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(*words, "--help")
    assert stopped.value.code == 0
    return capsys.readouterr().out


# ---------------------------------------------------------------------------------------------- help


def test_commands_are_listed_by_what_one_wants_to_do(capsys: Capture) -> None:
    text = help_of(capsys)
    commands = parsers(build_parser())
    titles = ("restore photographs and videos:", "see what it can do:", "train and measure models:")
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert places[0] < text.index("\n  restore ") < text.index("\n  app ") < places[1]
    assert places[2] < text.index("\n  train ") < text.index("\n  reproduce ")
    for name in commands:
        if " " not in name:
            assert text.count(f"\n  {name} ") == 1, name


@pytest.mark.parametrize("name", sorted(parsers(build_parser())))
def test_every_command_tells_what_it_does_and_how_it_is_typed(name: str, capsys: Capture) -> None:
    text = help_of(capsys, *name.split())
    parser = parsers(build_parser())[name]
    assert parser.description or parser.examples
    assert parser.examples
    for line in parser.examples:
        assert f"\n  {line}\n" in text


@pytest.mark.parametrize(
    "line", sorted({line for parser in parsers(build_parser()).values() for line in parser.examples})
)
def test_every_example_can_be_typed(line: str) -> None:
    line = line.removeprefix('eval "$(').replace(')"', "").partition(" > ")[0]
    program, *words = shlex.split(line, comments=True)
    assert program == "hime"
    build_parser().parse_args(words)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("bench small-x8 --training --device cpu", "--device is for models; a training takes the GPU"),
        ("restore a.png --aligned --out b.png --no-cache", "--no-cache is for whole photographs"),
        ("evaluate small-x4 --data D --list L --sheet-images 3", "--sheet-images is for --sheet"),
    ],
)
def test_an_argument_without_effect_is_refused(line: str, told: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*shlex.split(line))
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_commands_and_options(shell: str, capsys: Capture) -> None:
    assert run("completion", shell) == 0
    script = capsys.readouterr().out
    for word in ("restore", "make-list", "dry-run", "completion"):
        assert word in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(tmp_path: Path, capsys: Capture) -> None:
    assert run("completion", "bash") == 0
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "party.jpg").touch()

    def completed(*words: str) -> set[str]:
        ask = (
            f"source {shlex.quote(str(script))}; COMP_WORDS=({shlex.join(words)}); "
            f"COMP_CWORD={len(words) - 1}; _shtab_hime; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        )
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path)
        return set(done.stdout.split())

    assert completed("hime", "re") == {"restore", "reproduce"}
    assert completed("hime", "person", "") >= {"add", "show"}
    assert completed("hime", "restore", "--dr") == {"--dry-run"}
    for before in (["restore"], ["export"], ["reproduce", "table6", "--init"], ["train", "--out"]):
        assert completed("hime", *before, "par") == {"party.jpg"}
    assert completed("hime", "restore", "--enlarge", "") == {"1", "2", "4", "8"}


# ---------------------------------------------------------------------------------- what is told, and done


@pytest.fixture
def party(tmp_path: Path, demo_people: Path) -> Path:
    """A folder: Ada with Eva, whom nobody knows; Ben, large and sharp; a view; no picture at all."""
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    folder = tmp_path / "party"
    folder.mkdir()
    faces = {who: read_image(demo_people / who / "0.webp") for who in ("ada", "ben", "eva")}
    image = np.full((90, 180, 3), 120, np.uint8)
    image[5:85, 5:85] = resize(faces["ada"], 80, 80)
    image[10:74, 105:169] = resize(faces["eva"], 64, 64)
    PIL.Image.fromarray(image).save(folder / "ada.png")
    image = np.full((170, 260, 3), 120, np.uint8)
    image[5:69, 5:69] = resize(faces["ada"], 64, 64)
    large = PIL.Image.fromarray(resize(faces["ben"], 160, 160))
    image[5:165, 90:250] = large.filter(PIL.ImageFilter.UnsharpMask(2, 200, 0))
    PIL.Image.fromarray(image).save(folder / "ben.jpg", quality=95)
    PIL.Image.new("RGB", (40, 30), "navy").save(folder / "view.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    (folder / "notes.txt").write_text("passed over")
    return folder


@pytest.fixture
def restores(party: Path, demo_people: Path, tiny_dial: Path, tmp_path: Path) -> list[object]:
    """The command that restores it to ``tmp_path/out``."""
    refs = tmp_path / "refs"
    for who in ("ada", "ben"):
        (refs / who).mkdir(parents=True)
        for photo in ("1", "2"):
            shutil.copy(demo_people / who / f"{photo}.webp", refs / who)
    return ["restore", party, "--refs", refs, "--out", tmp_path / "out", "--model", tiny_dial]


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("options", [["--everyone", "--report"], ["--crop", "--person", "ada"]])
def test_a_dry_run_decides_as_the_real_one_and_writes_nothing(
    restores: list[object], options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    before = state(tmp_path)
    status = run(*restores, *options, "--json", "--dry-run")
    assert state(tmp_path) == before
    told = json.loads(capsys.readouterr().out)
    assert told["dry_run"] is True
    assert run(*restores, *options, "--json") == status == 1
    done = json.loads(capsys.readouterr().out)
    of_the_model = ("similarity_before", "similarity_after", "warning")
    for faces in (told["faces"], done["faces"]):
        assert faces
        for face in faces:
            for name in of_the_model:
                face.pop(name)
    assert {**told, "dry_run": False, "notes": None} == {**done, "notes": None}
    written = [str(Path(path).relative_to(tmp_path / "out")) for path in done["written"]]
    pictures = [name for name in files_below(tmp_path / "out") if not name.endswith(".html")]
    assert sorted(written) == pictures
    assert run(*restores, *options, "--json", "--dry-run") == 1  # what is there already is skipped here too
    again = json.loads(capsys.readouterr().out)
    assert again["written"] == again["faces"] == []
    assert len(again["skipped"]) >= 1


def test_a_dry_run_tells_the_faces(
    restores: list[object], party: Path, tmp_path: Path, capsys: Capture
) -> None:
    assert run(*restores, "--dry-run") == 1
    told = capsys.readouterr()
    out = tmp_path / "out"
    lines = told.out.splitlines()
    assert lines[0] == f"{party / 'ada.png'} → {out / 'ada.png'}"
    assert lines[1].startswith("  face 1, ada, ")
    assert lines[1].endswith(" pixels: would be restored with 2 photos")
    assert lines[2].endswith(" pixels: left: not one of the people given")
    assert lines[3] == f"{party / 'ben.jpg'} → {out / 'ben.jpg'}"
    assert lines[4].startswith("  face 1, ada, ")
    assert lines[5].startswith("  face 2, ben, ")
    assert "left: sharp for its size" in lines[5]
    assert lines[6].startswith(f"nothing is written; 2 would be restored to {out} (ada 2)")
    assert "hime: 1 failed, 2 would be restored" in told.err
    assert f"hime: {party / 'view.png'}: no face found" in told.err


def test_what_would_not_be_written_is_told_in_a_dry_run_too(
    restores: list[object], party: Path, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ada.png").write_bytes(b"somebody's")
    assert run(*restores, "--dry-run") == 1
    assert "ada.png: is there already, not as this program wrote it" in capsys.readouterr().err
    assert files_below(tmp_path / "out") == ["ada.png"]


def test_json_is_all_there_is(restores: list[object], party: Path, tmp_path: Path, capsys: Capture) -> None:
    assert run(*restores, "--json", "--quiet") == 1
    told = capsys.readouterr()
    assert told.err == ""
    summary = json.loads(told.out)
    assert list(summary) == [
        "dry_run", "written", "skipped", "nothing", "failed", "passed_over", "notes", "faces"
    ]  # fmt: skip
    assert summary["written"] == [str(tmp_path / "out" / name) for name in ("ada.png", "ben.jpg")]
    (failed,) = summary["failed"]
    assert failed.startswith(f"{party / 'broken.png'}: ")
    (passed_over,) = summary["passed_over"]
    assert passed_over.startswith(f"{party / 'notes.txt'}: passed over: ")
    ada, eva = (face for face in summary["faces"] if face["input"] == str(party / "ada.png"))
    assert (ada["person"], ada["number"], ada["status"]) == ("ada", 1, "restored")
    assert sorted(ada["references"]) == ["1.webp", "2.webp"]
    assert -1 <= ada["similarity_after"] <= 1
    assert 25 < ada["box"][0] + ada["box"][2] / 2 < 65
    assert (eva["person"], eva["status"]) == (None, "left: not one of the people given")


def test_quiet_tells_what_failed_and_nothing_else(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["restore", headshots, "--aligned", "--refs", photos, "--out", tmp_path / "out", "--model"]
    (headshots / "notes.txt").write_text("passed over")
    (headshots / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert run(*words, tiny_model, "--quiet") == 1
    told = capsys.readouterr()
    assert told.out == ""
    first, second = told.err.splitlines()
    assert first.startswith(f"hime: {headshots / 'broken.png'}: ")
    assert second == "hime: 1 failed, 2 restored"
    (headshots / "broken.png").unlink()
    assert run(*words, tiny_model, "--quiet", "--overwrite") == 0
    assert capsys.readouterr() == ("", "")
    assert run(*words, tiny_model) == 0  # and the next run tells again
    assert "2 there already" in capsys.readouterr().out


def test_headshots_in_a_dry_run(
    headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["restore", headshots, "--aligned", "--refs", photos, "--out", tmp_path / "out", "--model"]
    before = state(tmp_path)
    assert run(*words, tiny_model, "--report", "--dry-run") == 0
    assert state(tmp_path) == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{headshots / 'ada0.png'} → {tmp_path / 'out' / 'ada0.png'}"
    assert lines[1] == "  headshot, 16 pixels: would be restored with 3 photos"
    assert run(*words, tiny_model, "--json") == 0
    assert [face["status"] for face in json.loads(capsys.readouterr().out)["faces"]] == ["restored"] * 2
