"""The command itself: as a process, what is missing, wrong arguments."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_line import Capture, files_below, hime_command, refused

import hime
from hime.cli import main
from hime.cli.entry import TRAINING_PACKAGES
from hime.errors import how_to_install


def test_as_a_process(headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "hime",
        "restore",
        "--aligned",
        headshots,
        "--refs",
        photos,
        "--out",
        tmp_path / "out",
    ]
    done = subprocess.run([*command, "--model", tiny_model], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert files_below(tmp_path / "out") == ["ada0.png", "ada1.png"]


def test_nobody_is_told_of_its_use(headshots: Path, photos: Path, tiny_model: Path, tmp_path: Path) -> None:
    """ONNX Runtime would keep a number of this user, and send its makers events."""
    home = tmp_path / "home"
    home.mkdir()
    places = ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    outside = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}
    outside |= dict.fromkeys(places, str(home))
    out = tmp_path / "out"
    restore = ["restore", "--aligned", headshots, "--refs", photos, "--model", tiny_model, "--out", out]
    for arguments in (["--version"], ["info", tiny_model], restore):
        command = [sys.executable, "-m", "hime", *map(str, arguments)]
        done = subprocess.run(command, env=outside, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    assert not list(home.rglob("*onnxruntime*")) + list(home.rglob("Microsoft*"))


def test_a_terminal_without_the_letters_is_no_reason_to_stop(tiny_model: Path) -> None:
    program = "import sys; sys.stdout.reconfigure(encoding='ascii', errors='strict')"
    done = hime_command("info", tiny_model, program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("tiny-x4: ?4, made for LR 8?8")


def test_an_output_that_nobody_reads_is_no_traceback(tiny_model: Path) -> None:
    command = [sys.executable, "-m", "hime", "info", str(tiny_model), "--json"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_missing_package_is_named_with_the_remedy(
    tiny_run: Path, demo_people: Path, tmp_path: Path
) -> None:
    without_pytorch = "import sys; sys.modules['torch'] = None"
    evaluate = ["evaluate", tiny_run, "--data", demo_people, "--list", demo_people / "list.jsonl"]
    for command in (
        ["train", "small-x4", "--data", demo_people],
        ["export", tiny_run, "--out", tmp_path / "model"],
        evaluate,
    ):
        done = hime_command(*command, program=without_pytorch)
        assert done.returncode == 1
        assert done.stderr == f"hime: torch is not installed: {how_to_install('train')}\n"


@pytest.mark.parametrize("package", ["onnx", "torch"])
def test_exporting_by_the_library_names_the_extra(package: str) -> None:
    program = f"import sys; sys.modules['{package}'] = None\nimport hime.tools.export"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    told = f"HimeError: {package} is not installed: {how_to_install('train')}"
    assert done.stderr.splitlines()[-1].endswith(told)


def test_the_packages_named_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["train"]
    assert sorted(TRAINING_PACKAGES) == sorted(
        requirement.partition(">")[0].replace("-", "_") for requirement in extra
    )


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nothing"],
        ["restore", "a.png"],
        ["restore", "a.png", "--out", "b.png", "--threads", "0"],
        ["evaluate", "small-x4", "--data", ".", "--list", "l.jsonl", "--references", "some"],
        ["make-list", "--data", ".", "--people", "l", "--out", "o", "--references", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_status_two(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: hime" in capsys.readouterr().err


def test_a_file_whose_name_looks_like_an_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-dash.jpg", "-holiday.jpg", "--out"):
        Path(name).touch()
    for name, before in (("-dash.jpg", []), ("-dash.jpg", ["a.jpg", "--refs"]), ("-holiday.jpg", ["a.jpg"])):
        with pytest.raises(SystemExit) as stopped:
            main(["restore", *before, name, "--everyone", "--out", "out"])
        assert stopped.value.code == 2
        assert capsys.readouterr().err.endswith(f"; the file {name} is given as ./{name}\n")
    with pytest.raises(SystemExit):
        main(["restore", "a.jpg", "--out"])
    assert "is given as" not in capsys.readouterr().err


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"hime {hime.__version__}\n"


def test_too_little_memory_is_one_line(
    headshots: Path, tiny_model: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("hime.restoring.exported.read_weights", fail)
    told = refused(capsys, "restore", "--aligned", headshots, "--out", tmp_path / "o", "--model", tiny_model)
    assert "needs more memory than there is" in told
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["restore", "", "--refs", "x", "--out", "q"],
        ["restore", "x", "--refs", "", "--out", "q"],
        ["restore", "x", "--refs", "x", "--out", ""],
        ["person", "add", "", "--out", "x.person"],
        ["person", "forget", ""],
        ["export", "", "--out", "x"],
    ],
    ids=" ".join,
)
def test_nothing_is_no_path(arguments: list[str], capsys: Capture) -> None:
    """Python would take it for the current folder."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "give a path, not '' (. is the current folder)" in capsys.readouterr().err


def test_one_line_says_how_to_install_an_extra() -> None:
    assert how_to_install("video") == 'pip install "hime-sr[video]", or in a clone pip install ".[video]"'
    package = Path(hime.__file__).parent
    alone = {path.name for path in package.rglob("*.py") if 'install "hime-sr[' in path.read_text("utf-8")}
    assert alone == {"errors.py", "model_page.py"}  # the latter is a page, and says it as a command
