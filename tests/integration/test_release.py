"""What builds, checks and publishes the package does what it says, as far as any machine can tell."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import check_wheel
import first_steps
import follow_dockerfile
import hime
from hime.tools.serve import BUILT

REPOSITORY = Path(__file__).parents[2]

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (REPOSITORY / ".github" / "workflows" / f"{name}.yml").read_text("utf-8")
    )
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_step_of_a_workflow_runs_what_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE))
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    assert {path.stem for path in WORKFLOWS} == {"ci", "release"}
    for name, job in jobs.items():
        assert job["timeout-minutes"] <= 30, name
        assert job.get("needs", name) in jobs
        for step in job["steps"]:
            assert set(step) & {"uses", "run"}, step
            words = step.get("run", "").split()
            if words[:1] == ["make"]:
                assert set(words[1:]) <= targets, step
            for script in [word for word in words if word.startswith(".ci/")]:
                assert (REPOSITORY / script).is_file(), step
                assert words[0] == "python" or (REPOSITORY / script).stat().st_mode & 0o100, step


def test_the_systems_and_pythons_that_are_promised_are_tried() -> None:
    jobs = workflow("ci")["jobs"]
    tried = jobs["installed"]["strategy"]["matrix"]
    assert tried["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    assert tried["python"] == jobs["suite"]["strategy"]["matrix"]["python"]
    assert tried["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={tried['python'][0]}"


def test_only_the_job_that_publishes_may_say_who_it_is() -> None:
    release = workflow("release")
    assert release["permissions"] == workflow("ci")["permissions"] == {"contents": "read"}
    assert {name for name, job in release["jobs"].items() if "permissions" in job} == {"publish"}
    publish = release["jobs"]["publish"]
    assert publish["permissions"] == {"id-token": "write"}
    assert publish["environment"]["name"] == "pypi"
    assert "secrets." not in (REPOSITORY / ".github/workflows/release.yml").read_text("utf-8")
    assert not [step for step in publish["steps"] if "run" in step]


def test_the_first_steps_are_those_of_today(tmp_path: Path) -> None:
    """What every job with an installed package does, done with this one."""
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    if not (BUILT / "index.html").is_file():
        pytest.skip("the app is not built: make app")
    first_steps.check(tmp_path, [sys.executable, "-m", "hime"], str(tmp_path))


def test_the_image_is_small_to_read_and_runs_without_rights() -> None:
    lines = (REPOSITORY / "Dockerfile").read_text("utf-8").splitlines()
    assert len(lines) <= 20
    steps = follow_dockerfile.steps(REPOSITORY / "Dockerfile")
    users = [value for instruction, value in steps if instruction == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    after = [name for name, _ in steps][[name for name, _ in steps].index("USER") :]
    assert "RUN" not in after
    assert ("ENTRYPOINT", '["hime"]') in steps
    copied = next(value for name, value in steps if name == "COPY").split()[:-1]
    kept = (REPOSITORY / ".dockerignore").read_text("utf-8").splitlines()
    assert kept == ["*", *(f"!{pattern}" for pattern in copied)]
    (extras,) = re.findall(r"\.whl\)\[(.*?)\]", " ".join(value for _, value in steps))
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])


TERMS = {
    "Apache-2.0": "Apache-2.0",
    "CC0-1.0": "CC0 1.0",
    "CC-BY-4.0": "CC BY 4.0",
    "MIT": "MIT",
    "LicenseRef-hime-weights": "LICENSE-WEIGHTS",
}
"""By the names of SPDX, as the pages call them."""


def test_the_wheel_says_all_terms_of_what_is_in_it() -> None:
    text = (REPOSITORY / "docs/terms.md").read_text("utf-8")
    rows = re.findall(r"^\| .+ \| .+ \| (.+) \|$", text[: text.index("License-Expression")], re.M)[1:]
    named = [{term for term, called in TERMS.items() if called in row} for row in rows]
    assert all(named)
    assert set(PROJECT["license"].split(" AND ")) == set().union(*named)
    for name in PROJECT["license-files"]:
        assert (REPOSITORY / name).is_file()


FOLDERS = {"": "src/hime/pretrained", "models/": "models"}
"""Where released models lie, by what stands before their names on the pages."""
MARKS = {
    "celeba": "CelebA",
    "lfw": "Labeled Faces in the Wild|LFW",
    "faces_more": "photos (and frames of public clips )?of public persons",
    "frames": "frames of public clips of public persons",
}
"""The data sets of a training, and how the licence in a card names them."""


def trained_on() -> dict[str, set[str]]:
    """The data sets of every released model, by its name on the pages; parts of one set are one."""
    found = {}
    for before, folder in FOLDERS.items():
        for path in sorted((REPOSITORY / folder).glob("*/card.json")):
            card = json.loads(path.read_text("utf-8"))
            found[before + card["name"]] = {re.sub(r"-\d+$", "", name) for name in card["training"]["data"]}
            for name in found[before + card["name"]]:
                assert re.search(MARKS[name], card["licence"]), f"{path}: {name}"
    return found


def test_the_terms_name_every_model_beside_what_it_was_trained_on() -> None:
    models = trained_on()
    assert len(models) > 20
    rows = re.findall(
        r"^\| .*\(`(\w+)`\) \| .+ \| (.+) \|$", (REPOSITORY / "docs/terms.md").read_text("utf-8"), re.M
    )
    assert {name for name, _ in rows} == set().union(*models.values()) == set(MARKS)
    for name, told in rows:
        named = set(models) if told == "all" else set(re.findall(r"`([^`]+)`", told))
        assert named == {model for model, data in models.items() if name in data}, name


@pytest.mark.parametrize("page", ["README.md", "NOTICE", "docs/models.md", "docs/terms.md"])
def test_what_may_not_be_redistributed_is_told_wherever_the_weights_are(page: str) -> None:
    """The packaged models that saw such photos are named beside it, and no other one."""
    text = " ".join((REPOSITORY / page).read_text("utf-8").replace("`", "").split())
    clause = "on photos, or frames of clips, of public persons, which may not be redistributed"
    assert text.count(clause) == 1
    said = text[: text.index(clause)].rpartition("Labeled Faces in the Wild")[2]
    concerned = {name for name, data in trained_on().items() if data & {"faces_more", "frames"}}
    assert set(re.findall(r"\b(?:small|large)-x[\w-]+", said)) == {
        name for name in concerned if name in hime.available_models()
    }
    assert "CelebA" in text[: text.index(clause)]


def make_wheel(path: Path, files: dict[str, str], version: str = "1.2") -> Path:
    metadata = f"Name: hime-sr\nVersion: {version}\nLicense-Expression: {PROJECT['license']}\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in {f"hime_sr-{version}.dist-info/METADATA": metadata, **files}.items():
            wheel.writestr(name, content)
    return path


def test_a_wheel_is_looked_into_before_it_is_published(tmp_path: Path) -> None:
    whole = dict.fromkeys(check_wheel.NEEDED, "")
    assert check_wheel.problems(make_wheel(tmp_path / "a.whl", whole), "v1.2") == []
    lacking = {name: "" for name in check_wheel.NEEDED if "app/index" not in name}
    assert "lacks hime/app/index.html" in check_wheel.problems(make_wheel(tmp_path / "b.whl", lacking))[0]
    foreign = whole | {"hime/runs/last.safetensors": ""}
    assert "holds hime/runs/last" in check_wheel.problems(make_wheel(tmp_path / "c.whl", foreign))[0]
    told = check_wheel.problems(make_wheel(tmp_path / "d.whl", whole), "v1.3")
    assert told == ["d.whl: is version 1.2, the tag says v1.3"]


def test_the_code_works_without_the_packaged_weights(tmp_path: Path, tiny_model: Path) -> None:
    """Who may not have them takes the folder away: models by path remain, a name tells what is missing."""
    package = Path(hime.__file__).parent
    ignored = shutil.ignore_patterns("pretrained", "app", "__pycache__", "demo_people")
    shutil.copytree(package, tmp_path / "hime", ignore=ignored)
    program = (
        "import sys, hime\n"
        "assert hime.__file__.startswith(sys.argv[1]), hime.__file__\n"
        "print(hime.available_models(), hime.load(sys.argv[2]).name)\n"
        "try: hime.load()\n"
        "except hime.HimeError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), str(tiny_model)],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second = done.stdout.splitlines()
    assert first == "[] tiny-x4"
    assert "give a folder that `hime export` wrote" in second
