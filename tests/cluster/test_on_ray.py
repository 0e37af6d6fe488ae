"""``--engine ray``: real workers, whose results are those of one process, whatever ends on the way.

All in one file, so that one Ray serves, also where the tests run in several processes.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray_job import contents, rows, workers

from hime.errors import HimeError
from hime.pictures.arrays import downscale
from hime.pictures.reading import read_target
from hime.pictures.writing import write_image
from hime.restoring.batch import Summary
from hime.restoring.inputs import Input
from hime.restoring.outputs import Output
from hime.restoring.photographs import Choice
from hime.restoring.restorer import Restorer, load
from integration.command_line import Capture, run

pytest.importorskip("ray", reason="Ray is not installed (extra cluster)")

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from hime.cluster.engine import Pool
from hime.cluster.job import JobSummary, restore_photos, run_job
from hime.cluster.listing import ending_of, find_sources
from hime.cluster.storage import Store
from hime.cluster.work import Do, by_files

pytestmark = pytest.mark.usefixtures("ray_address")

WAIT = 120.0
"""Seconds after which something that shall happen is taken for not happening."""


def after(happened: Callable[[], bool], then: Callable[[], object]) -> threading.Thread:
    """Do something as soon as something else has happened, beside the test."""

    def watch() -> None:
        end = time.monotonic() + WAIT
        while not happened():
            assert time.monotonic() < end
            time.sleep(0.02)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def count(out: Path) -> int:
    return len(contents(out)) if out.exists() else 0


@pytest.fixture
def command(photos: Path, people: Path, tiny_model: Path, tmp_path: Path) -> list[object]:
    """The command that restores the photographs to ``tmp_path/out``."""
    out = tmp_path / "out"
    return ["restore", photos, "--refs", people, "--out", out, "--model", tiny_model, "--engine", "ray"]


def test_the_files_are_those_of_the_plain_loop(
    command: list[object], plain: dict[str, bytes], photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    assert run(*command) == 1
    told = capsys.readouterr()
    assert "12 restored to" in told.out
    assert "ada 6" in told.out
    assert f"hime: {photos / '05.jpg'}: is not a PNG" in told.err
    assert "hime: 1 failed: is not a PNG" in told.err
    assert contents(out) == plain
    done = rows(out)
    assert Counter(row["status"] for row in done) == {"restored": 12, "failed": 1}
    assert {row["place"] for row in done if row["status"] == "restored"} == set(plain)

    files = {path: path.stat().st_ino for path in out.rglob("*.png")}
    (out / "01.png").unlink()  # is made again, and nothing else
    assert run(*command) == 1
    assert "1 restored to" in (told := capsys.readouterr().out)
    assert "11 there already" in told
    assert contents(out) == plain
    assert {path for path in files if files[path] != path.stat().st_ino} <= {out / "01.png"}

    local = [word for word in command if word not in ("--engine", "ray")]
    assert run(*local) == 1  # the plain loop knows them too
    assert "0 restored" in (told := capsys.readouterr().out)
    assert "12 there already" in told


def test_names_that_are_no_text(
    photos: Path, people: Path, tiny_model: Path, tmp_path: Path, ray_address: str
) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        odd.mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    given = [odd / f"{odd.name}.png", odd / "b.png"]
    for name, path in zip(("02", "04"), given, strict=True):
        shutil.copy(photos / f"{name}.png", path)
    shutil.copytree(people / "ada", odd / "people" / odd.name)
    for photo in (odd / "people" / odd.name).iterdir():
        photo.rename(photo.with_stem(f"{photo.stem}{odd.name}"))
    command = ["restore", *given, "--everyone", "--refs", odd / "people", "--report", "--model", tiny_model]
    assert run(*command, "--out", odd / "plain") == 0
    plain = contents(odd / "plain")
    assert {f"{odd.name}.png", "b.png"} < set(plain)

    def restore(folder: Path) -> subprocess.CompletedProcess[str]:
        words = [*map(str, command), "--out", str(odd / "out"), "--engine", "ray", "--address", ray_address]
        here = [sys.executable, "-m", "hime", *words]
        return subprocess.run(here, cwd=folder, capture_output=True, text=True, check=False)

    told = restore(odd)
    assert told.returncode == 1
    assert told.stderr.endswith("is no name in UTF-8, as Ray needs it; work in another folder\n")
    assert len(told.stderr.splitlines()) == 1
    told = restore(tmp_path)
    assert told.returncode == 0, told.stderr
    assert "2 restored" in told.stdout
    found = contents(odd / "out")
    assert {name: content.replace(b"/out/", b"/plain/") for name, content in found.items()} == plain
    told = restore(tmp_path)
    assert "0 restored" in told.stdout
    assert "2 there already" in told.stdout


def test_a_worker_killed_costs_nothing(
    command: list[object], plain: dict[str, bytes], tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "out"
    killed: list[int] = []

    def kill() -> None:
        killed.extend(workers()[:1])
        os.kill(killed[0], signal.SIGKILL)

    thread = after(lambda: count(out) >= 2, kill)
    assert run(*command) == 1
    thread.join()
    assert killed
    assert len(capsys.readouterr().out.splitlines()) == 1  # the summary
    assert contents(out) == plain
    assert Counter(row["source"] for row in rows(out)).most_common(1)[0][1] == 1


def test_the_driver_killed_the_same_command_goes_on(
    command: list[object], plain: dict[str, bytes], tmp_path: Path, ray_address: str, capsys: Capture
) -> None:
    out = tmp_path / "out"
    words = [sys.executable, "-m", "hime", *map(str, command), "--address", ray_address]
    driver = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    thread = after(lambda: count(out) >= 3 or driver.poll() is not None, driver.kill)
    _, errors = driver.communicate()
    thread.join()
    assert driver.returncode == -signal.SIGKILL, errors
    assert run(*command) == 1
    told = capsys.readouterr().out
    assert int(told.split(" restored")[0]) <= 10
    assert "there already" in told
    assert contents(out) == plain
    done = [row["source"] for row in rows(out) if row["status"] == "restored"]
    assert sorted(done) == sorted(set(done))
    assert len(done) == 12


def test_what_kills_its_worker_is_a_row_that_failed(photos: Path, tmp_path: Path) -> None:
    import ray.cloudpickle

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        done = run_job(
            Copies(), find_sources([photos]).pictures, Store.at(tmp_path / "out"), {}, ending_of, (".png",),
            [], Pool(concurrency=1), JobSummary(), overwrite=False,
        )  # fmt: skip
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    poisoned = photos / "05.jpg"
    assert done.lines == [f"{poisoned}: ended its worker 3 times; leave it out"]
    assert done.restored == 12
    (row,) = [row for row in rows(tmp_path / "out") if row["status"] == "failed"]
    assert row["source"] == str(poisoned)
    assert len(contents(tmp_path / "out")) == 12


@dataclass(frozen=True)
class Copies:
    """A kind of work that copies, and whose worker does not survive what is no PNG."""

    def open(self, store: Store) -> Do:
        def copy(each: Input, content: str, output: Output) -> Summary:
            if each.path.suffix != ".png":
                os.kill(os.getpid(), signal.SIGKILL)
            output.claim(output.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(each.path, output.path)
            return Summary()

        return by_files(copy, store)


def test_an_archive_in_an_object_store(
    photos: Path, people: Path, tiny_model: Path, plain: dict[str, bytes], object_store: str, tmp_path: Path,
    capsys: Capture,
) -> None:  # fmt: skip
    store = fsspec.filesystem("s3")
    store.put(str(photos), f"{object_store}/photos", recursive=True)
    urls = [f"{object_store}/photos/{path.relative_to(photos)}" for path in sorted(photos.rglob("*.png"))]
    missing = f"{object_store}/photos/none.png"
    manifest = tmp_path / "archive.parquet"
    pq.write_table(pa.table({"path": [*urls, missing], "year": [1998] * 13}), manifest)
    out = f"{object_store}/restored"
    command = ["restore", "--refs", people, "--model", tiny_model, "--engine", "ray", "--out", out]
    assert run(*command, manifest, "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert {**told, "seconds": 0, "worker_seconds": 0} == {
        "restored": 12,
        "skipped": 0,
        "nothing": 0,
        "failed": {"no such file; check the URL": 1},
        "people": [{"person": "ada", "faces": 6}, {"person": "ben", "faces": 6}],
        "seconds": 0,
        "worker_seconds": 0,
        "records": f"{out}/.hime-job",
    }
    assert _in_store(out) == plain

    stamped = [
        f"{object_store}/photos/*.png",
        f"{object_store}/photos/later/",
    ]  # now with what the store says
    assert run(*command, *stamped) == 0
    assert "12 restored" in capsys.readouterr().out
    assert _in_store(out) == plain
    assert run(*command, *stamped) == 0
    assert "0 restored" in (again := capsys.readouterr().out)
    assert "12 there already" in again


def _in_store(url: str) -> dict[str, bytes]:
    """The files below a URL that are not hidden."""
    store, root = fsspec.core.url_to_fs(url)
    names = [name.removeprefix(f"{root}/") for name in store.find(root)]
    return {name: store.cat_file(f"{root}/{name}") for name in sorted(names) if not name.startswith(".")}


def test_a_model_that_a_worker_cannot_open_ends_the_job(photos: Path, tmp_path: Path) -> None:
    here = os.getpid()

    def open_model() -> Restorer:
        return load("small-x4" if os.getpid() == here else "no-such-model")

    with pytest.raises(HimeError, match=r"the job stopped .*no-such-model.*the same command goes on"):
        restore_photos(
            open_model,
            find_sources([photos]),
            [],
            tmp_path / "out",
            Choice(everyone=True),
            Pool(concurrency=1),
        )


# --------------------------------------------------------------------------------- what else works on Ray

ENGINE = ["--engine", "ray", "--concurrency", 1]


def figures(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    del found["provenance"]
    return found


def test_the_figures_are_those_of_one_process(
    demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture
) -> None:
    people, entries = tmp_path / "people.txt", tmp_path / "list.jsonl"
    people.write_text("ada\nben\n")
    assert (
        run("make-list", "--data", demo_people, "--people", people, "--references", 1, "--out", entries) == 0
    )
    lines = entries.read_text().splitlines()
    missing = json.dumps({"input": "ada/none.webp", "references": ["ada/1.webp"]})
    entries.write_text("\n".join([*lines[:4], missing]) + "\n")
    command = ["evaluate", tiny_model, "--data", demo_people, "--list", entries, "--references", 1]
    command += ["--threads", 1, "--out"]
    assert run(*command, tmp_path / "plain.json") == 1
    assert run(*command, tmp_path / "ray.json", *ENGINE) == 1
    plain = figures(tmp_path / "plain.json")
    assert plain["images"] == 4
    assert figures(tmp_path / "ray.json") == plain
    entries.write_text("\n".join(lines[:4]) + "\n")
    capsys.readouterr()
    nobody = ["--engine", "ray", "--address", "nobody:1"]
    assert run(*command, tmp_path / "ray.json", *nobody) == 0  # all is there
    assert figures(tmp_path / "ray.json")["per_image"] == plain["per_image"]


def test_headshots_and_videos(demo_people: Path, tiny_model: Path, tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("av", reason="videos need the extra video")
    from restoring.video.scenes import Actor, leaving, scene, write_clip

    for number in (0, 5):
        small = downscale(read_target(demo_people / "ada" / f"{number}.webp", 64), 4)
        write_image(tmp_path / "headshots" / f"{number}.png", small)
    command = ["restore", "--aligned", tmp_path / "headshots", "--refs", demo_people / "ada", "--report"]
    command += ["--model", tiny_model, "--out"]
    assert run(*command, tmp_path / "aligned") == 0
    assert run(*command, tmp_path / "aligned-ray", *ENGINE) == 0
    plain, found = contents(tmp_path / "aligned"), contents(tmp_path / "aligned-ray")
    assert set(plain) == {"0.png", "0.json", "5.png", "5.json"}
    assert found == {name: content.replace(b"/aligned/", b"/aligned-ray/") for name, content in plain.items()}

    (tmp_path / "clips").mkdir()
    write_clip(
        tmp_path / "clips" / "walk.gif", scene([Actor("ada", leaving(3, 8, 150, 32))], 12), "gif", "rgb8"
    )
    (tmp_path / "clips" / "broken.mov").write_bytes(b"no video at all")
    command = ["restore", tmp_path / "clips", "--everyone", "--model", "small-x4", "--out"]
    assert run(*command, tmp_path / "restored", "--threads", 1) == 1  # as a worker has
    assert run(*command, tmp_path / "restored-ray", *ENGINE) == 1
    assert list(contents(tmp_path / "restored")) == ["walk.mp4"]
    assert contents(tmp_path / "restored-ray") == contents(tmp_path / "restored")
    assert capsys.readouterr().err.count("broken.mov: not a video that can be read") == 2


def test_a_data_set(demo_people: Path, tmp_path: Path, capsys: Capture) -> None:
    root = tmp_path / "root"
    for name in ("ada", "ben"):
        shutil.copytree(demo_people / name, root / name)
    (root / "ada" / "broken.webp").write_bytes(b"no picture")
    command = ["prepare", "folder", "--root", root, "--size", 32, "--references", 1, "--out"]
    told = []
    for out, more in ((tmp_path / "plain", []), (tmp_path / "ray", ENGINE)):
        assert run(*command, out, *more) == 1
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "unusable: 1 (ada/broken.webp: " in told[0]
    assert run(*command, tmp_path / "plain", "--partial") == 0
    (root / "ada" / "broken.webp").unlink()
    assert run(*command, tmp_path / "ray", *ENGINE, "--address", "nobody:1") == 0  # nothing is left
    assert {
        name: content for name, content in contents(tmp_path / "ray").items() if name != "prepared.json"
    } == {name: content for name, content in contents(tmp_path / "plain").items() if name != "prepared.json"}


def test_links_to_a_data_set_that_was_moved_are_done(
    demo_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, link = tmp_path / "root", tmp_path / "link"
    shutil.copytree(demo_people / "ada", root / "ada")
    link.symlink_to(root)
    command = ["prepare", "folder", "--root", link, "--hard-links", "--out", tmp_path / "out"]
    assert run(*command, *ENGINE) == 0
    link.unlink()
    link.symlink_to(root.rename(tmp_path / "moved"))
    monkeypatch.delattr("hime.cluster.preparing.work_through")  # nothing is left
    assert run(*command, *ENGINE) == 0


def test_what_does_not_go_together(tmp_path: Path, capsys: Capture) -> None:
    command = ["evaluate", "small-x4", "--data", tmp_path, "--list", tmp_path / "list.jsonl"]
    for more, told in (
        (["--engine", "ray"], "give --out FILE.json"),
        (["--engine", "ray", "--out", "a.json", "--sheet", "a.png"], "--sheet is not for --engine ray"),
        (["--address", "a:1"], "--address is for --engine ray"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run(*command, *more)
        assert stopped.value.code == 2
        assert told in capsys.readouterr().err
