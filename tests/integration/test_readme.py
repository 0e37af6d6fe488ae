"""Every command and line of Python that the README shows runs; those of other pages are understood."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run

from hime.cli.entry import build_parser
from hime.data.people import DEMO_PEOPLE, LISA, LONDON, make_list, read_people, write_list
from hime.pictures.arrays import downscale
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from restoring.video.scenes import walk, write_clip

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CODE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
TINY = [
    *("--set=model.channels=8", "--set=model.deformable_groups=2", "--set=model.lr_blocks=1"),
    *("--set=model.reference_blocks=1", "--set=model.reconstruction_blocks=1", "--set=batch_size=2"),
    *("--set=precision=fp32", "--set=evaluate_every=2", "--set=evaluation_pairs=2", "--set=hr_size=64"),
]
SMALLER = {"train": [*TINY, "--steps=2"], "reproduce": [*TINY, "--set=steps=2"]}
"""What makes a command of hours one of seconds."""


def in_blocks(text: str) -> list[str]:
    """The lines of code blocks without a language, their comments taken off."""
    blocks = [found["text"] for found in CODE.finditer(text) if not found["language"]]
    lines = [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def commands() -> list[str]:
    """Those of the README: of its blocks, and what stands as code in a table's cell or in a sentence."""
    inline = re.findall(r"`((?:hime|make|pip|uvx) [^`]+)`", CODE.sub("", README))
    return list(dict.fromkeys([*in_blocks(README), *inline]))


def of(program: str) -> list[str]:
    return [line for line in commands() if line.split()[0] == program]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the commands name, and the folder that they run in."""
    for name in ("lisa2", "60cm"):
        write_image(tmp_path / "album" / f"{name}.jpg", downscale(read_image(LISA / f"{name}.jpg"), 8))
    shutil.copy(tmp_path / "album" / "60cm.jpg", tmp_path / "party.jpg")
    for name in ("lisa1", "45cm"):
        for folder in ("mum", "family/mum"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            shutil.copy(LISA / f"{name}.jpg", tmp_path / folder)
    shutil.copytree(LONDON / "004", tmp_path / "dad")
    write_clip(tmp_path / "call.mp4", walk(26))
    write_image(tmp_path / "crops" / "ada.png", downscale(read_image(DEMO_PEOPLE / "ada" / "0.webp"), 16))
    shutil.copytree(DEMO_PEOPLE / "ada", tmp_path / "photos")
    shutil.copytree(DEMO_PEOPLE, tmp_path / "ROOT")
    shutil.copy(DEMO_PEOPLE / "train.txt", tmp_path)
    write_list(tmp_path / "test.jsonl", make_list(DEMO_PEOPLE, read_people(DEMO_PEOPLE / "test.txt")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ------------------------------------------------------------------------------------------ the README


def test_the_readme_is_short_and_every_kind_of_command_is_known() -> None:
    assert len(README.splitlines()) <= 150
    assert {line.split()[0] for line in commands()} <= {"hime", "make", "pip", "uvx"}
    assert len(of("hime")) >= 7


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("command", [line for line in of("hime") if line != "hime app"])
def test_a_command_of_the_readme_runs(command: str, world: Path, request: pytest.FixtureRequest) -> None:
    words = shlex.split(command)[1:]
    if words[0] == "reproduce":
        request.getfixturevalue("weights")
    before = set(world.rglob("*"))
    assert run(*words, *SMALLER.get(words[0], [])) == 0
    assert {
        path for path in set(world.rglob("*")) - before if path.is_file() and not path.name.startswith(".")
    }


def test_the_app_starts_or_says_how_to_build_it() -> None:
    assert "hime app" in of("hime")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "hime", "app", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert f"http://localhost:{port}" in line or "make app" in line


def test_the_python_of_the_readme_runs(world: Path) -> None:
    (code,) = [found["text"] for found in CODE.finditer(README) if found["language"] == "python"]
    assert len([line for line in code.splitlines() if line]) <= 5
    subprocess.run([sys.executable, "-c", code], cwd=world, check=True)
    assert read_image(world / "restored.jpg").shape == tuple(
        side * 4 if side != 3 else 3 for side in read_image(world / "party.jpg").shape
    )


def test_make_knows_its_targets_and_integration_runs_them() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = {line.split()[1] for line in of("make")}
    assert {"demo", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target} is no target"
    integration = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    for target in ("demo", "test", "lint", "docs"):
        assert f"make {target}\n" in integration + "\n"


def test_the_line_without_a_clone_runs_from_a_wheel(tmp_path: Path) -> None:
    uvx = shutil.which("uvx", path=str(Path(sys.executable).parent))
    if uvx is None:
        pytest.skip("uv is not installed")
    (line,) = of("uvx")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def done(*command: str) -> str:
        ran = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)
        if "Failed to fetch" in ran.stderr or "No matching distribution found for hatchling" in ran.stderr:
            pytest.skip("no registry is reached")
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    (wheel_line,) = [words for words in of("pip") if words.split()[1] == "wheel"]
    assert wheel_line == "pip wheel --no-deps ."
    done(sys.executable, "-m", *wheel_line.split()[:-1], str(REPOSITORY))
    (wheel,) = tmp_path.glob("*.whl")
    words = shlex.split(line)[1:]
    assert wheel.name in words[1]
    assert "restored with her photos" in done(uvx, "--quiet", "--python", sys.executable, *words)
    assert (tmp_path / "demo" / "lisa.png").is_file()


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)#h][^)]*)\)", README))
def test_a_link_of_the_readme_leads_somewhere(target: str) -> None:
    assert (REPOSITORY / target).exists()


# ------------------------------------------------------------------------------------------ other pages


PAGES = sorted(page.stem for page in (REPOSITORY / "docs").glob("*.md") if ".template" not in page.name)
PLACEHOLDERS = {"DEVICE": "cpu", "SHELL": "bash", "N": "3"}
"""Words that stand for a value of an argument which takes not every word."""
NEEDS_OUT = {
    script.name
    for script in (REPOSITORY / "comparisons").glob("*.py")
    if re.search(r'"--out",[^)]*required=True', script.read_text(encoding="utf-8"))
}


def on_page(page: str) -> list[str]:
    """Commands of a page: of its blocks, of its indented lines, and those in sentences that are whole."""
    text = (REPOSITORY / "docs" / f"{page}.md").read_text(encoding="utf-8")
    prose = CODE.sub("", text)
    indented = [line.strip() for line in prose.splitlines() if line.startswith("    ")]
    inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]
    # `hime evaluate` and `hime restore --crop` are names; what gives a file and an option is a command.
    whole = [line for line in inline if re.match(r"hime [^ ]+ [^- ].* -|python comparisons/", line)]
    return [*in_blocks(text), *indented, *whole]


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_are_understood(page: str) -> None:
    for line in on_page(page):
        if line.startswith("hime ") and "…" not in line:
            words = shlex.split(line.partition(" > ")[0], comments=True)[1:]
            build_parser().parse_args([PLACEHOLDERS.get(word, word) for word in words])
        elif line.startswith("python comparisons/") and line.split()[1].partition("/")[2] in NEEDS_OUT:
            assert "--out " in line, line


def test_commands_are_found_wherever_they_stand() -> None:
    assert "peers.py" in NEEDS_OUT
    found = on_page("videos")
    assert any(line.startswith("hime restore CLIP --everyone") for line in found)
    assert any(line.startswith("python comparisons/video.py steadiness") for line in found)
    assert any(line.startswith("hime prepare celebamask-hq") for line in on_page("scale"))
