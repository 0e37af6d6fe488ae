"""The files of a job: what is written appears whole, what is recorded is found again, whatever ended."""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra cluster)")

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from hime import processors
from hime.cli import main
from hime.cluster.engine import Pool
from hime.cluster.evaluation import evaluate
from hime.cluster.job import JobSummary, run_job
from hime.cluster.ledger import (
    BEGUN,
    FAILED,
    FOLDER,
    NOTHING,
    PLAN,
    RESTORED,
    ROW,
    Ledger,
    Part,
    filled,
    rows_of,
    table_of,
)
from hime.cluster.listing import Found, clip_ending_of, ending_of, find_sources
from hime.cluster.planning import plan_job, tell_loop
from hime.cluster.storage import Store, fetch
from hime.cluster.work import MOST_ATTEMPTS, Clips, Headshots, Photographs, Work, Worker, by_files
from hime.data.people import ListEntry, read_list, write_list
from hime.errors import HimeError, NothingToRestore
from hime.evaluation.evaluate import Evaluation
from hime.evaluation.measures import Distortion
from hime.faces.matching import Crowd
from hime.files import write_atomically
from hime.pictures.arrays import Image, upscale
from hime.pictures.formats import READ, WRITTEN
from hime.processors import limit_threads
from hime.restoring.batch import Summary
from hime.restoring.headshots import HeadshotChoice
from hime.restoring.inputs import Input
from hime.restoring.outputs import Output, path_digest
from hime.restoring.people import Cast
from hime.restoring.photographs import Choice
from hime.restoring.records import Records
from hime.restoring.video.batch import ClipChoice
from hime.restoring.video.reading import ENDINGS

MADE = {"model": "one"}


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store in a folder, and one behind a URL whose files do not appear whole by themselves."""
    if request.param == "folder":
        return Store.at(tmp_path / "out")
    fsspec.filesystem("memory").store.clear()
    return Store.at("memory://out")


def ledger(store: Store) -> Ledger:
    return Ledger(store, lambda rows: tell_loop(store, MADE, rows))


def row(source: str, **changed: Any) -> dict[str, Any]:
    return filled({"source": source, "place": source, "stamp": "s", "made": "m"}, **changed)


class Doing:
    """A kind of work that is a function."""

    def __init__(self, do: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._do = do

    def open(self, store: Store) -> Callable[..., dict[str, Any]]:
        return self._do


def test_a_store(store: Store, tmp_path: Path) -> None:
    store.check_writable()
    assert store.names(["."], own=True) == set()
    store.write("a/b.txt", b"one")
    store.write("a/b.txt", b"two")
    (tmp_path / "c").write_bytes(b"three")
    store.put(tmp_path / "c", "c")
    own = {".hime-job/d", ".hime-restored.jsonl", ".walk.mp4.hime/work.json", "deep/.hime-0"}
    for name in (*own, ".hidden/d", ".photo.png"):
        store.write(name, b"")
    folders = [".", "a", ".hidden", ".hime-job", ".walk.mp4.hime", "deep", "none", "c"]
    assert store.names(folders) == {"a/b.txt", "c", ".hidden/d", ".photo.png"}
    assert store.names(folders, own=True) == {"a/b.txt", "c", ".hidden/d", ".photo.png"} | own
    assert store.names([".hidden"]) == {".hidden/d"}
    assert store.names(["."]) == {"c", ".photo.png"}
    assert store.names([]) == set()
    assert (store.read("a/b.txt"), store.read("c")) == (b"two", b"three")
    store.delete(["c", "none"])
    with pytest.raises(FileNotFoundError):
        store.read("c")


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(HimeError, match="cannot write there"):
        Store.at(tmp_path / "file" / "out").check_writable()


def test_a_name_that_an_object_store_does_not_take_is_one_line(object_store: str) -> None:
    with pytest.raises(HimeError, match="no name in UTF-8, as it must be behind a URL; rename"):
        Store.at(f"{object_store}/odd").write(os.fsdecode(b"caf\xe9.png"), b"")


def test_rows_are_found_again(store: Store) -> None:
    first = ledger(store)
    part = Part(store, first.run, 0)
    for source, status in (("a", RESTORED), ("b", FAILED)):
        assert part.begin(row(source)) == 1
        part.end(row(source, status=status, attempts=1))
    part.begin(row("c"))  # and here the worker ends
    again = Part(store, first.run, 0)
    assert again.is_done("a")
    assert again.is_done("b")
    assert not again.is_done("c")
    assert again.begin(row("c")) == 2
    # … and here the driver
    rows = ledger(store).rows()
    assert {source: each["status"] for source, each in rows.items()} == {
        "a": RESTORED, "b": FAILED, "c": BEGUN,
    }  # fmt: skip
    assert rows["c"]["attempts"] == 2
    assert len(store.names([FOLDER], own=True)) == 1  # put together
    assert {source: each["status"] for source, each in ledger(store).rows().items()}["c"] == BEGUN


def test_what_was_written_last_holds(store: Store) -> None:
    for status in (FAILED, RESTORED):
        one = ledger(store)
        part = Part(store, one.run, 3)
        part.begin(row("a"))
        part.end(row("a", status=status))
        part.write()
        one.finished(rows_of(part.table()), [part.name])
        one.put_together()
    assert ledger(store).rows()["a"]["status"] == RESTORED
    ledger(store).forget({"a"})
    assert ledger(store).rows() == {}


def test_a_damaged_file_is_named(store: Store) -> None:
    store.write(f"{FOLDER}/done-x.y.parquet", b"no Parquet")
    with pytest.raises(HimeError, match=r"done-x\.y\.parquet: cannot be read .*; delete it"):
        ledger(store).rows()


@given(st.lists(st.text() | st.binary().map(os.fsdecode), min_size=2))
def test_rows_hold_names_of_any_bytes(texts: list[str]) -> None:
    rows = [row(texts[0], files=texts, people=[None, *texts]), row(f"\0{texts[1]}", notes=texts)]
    assert rows_of(table_of(rows, ROW)) == rows


def test_texts_in_utf8_stand_in_the_files_as_they_are() -> None:
    texts = ["Grüße/ü\\udce9.png", "s3://in/写真.png"]
    assert table_of([row(text) for text in texts], ROW).column("source").to_pylist() == texts


def test_a_name_that_is_no_text_is_planned_and_recorded(store: Store) -> None:
    odd = Found(os.fsdecode(b"/in/caf\xe9.png"), stamp="1")
    do(store, plan(store, odd, A).rows)
    again = plan(store, odd, A)
    assert (again.rows, again.skipped) == ([], [odd.source, A.source])
    assert ledger(store).plan() == {odd.source: Path(odd.source).name, A.source: "a.png"}
    assert set(ledger(store).rows()) == {odd.source, A.source}


@pytest.mark.parametrize("text", [b"caf\xe9.png", b"\0{"])
def test_a_damaged_text_is_named(store: Store, text: bytes) -> None:
    for name, schema in (("plan-x", PLAN), ("done-x.y", ROW)):
        source = pa.array([text], pa.binary()).view(pa.string())
        sink = BytesIO()
        pq.write_table(table_of([{}], schema).set_column(0, "source", source), sink)
        store.write(f"{FOLDER}/{name}.parquet", sink.getvalue())
    with pytest.raises(HimeError, match=r"plan-x\.parquet: cannot be read .*; delete it"):
        ledger(store).plan()
    with pytest.raises(HimeError, match=r"done-x\.y\.parquet: cannot be read .*; delete it"):
        ledger(store).rows()


@given(st.lists(st.integers(0, 5), max_size=12))
def test_a_worker_that_ends_again_and_again(ends: list[int]) -> None:
    """Workers end while they are at these rows: each row is done once, or fails after three times."""
    fsspec.filesystem("memory").store.clear()
    store, left = Store.at("memory://out"), list(ends)
    done: list[str] = []

    def do(given: dict[str, Any]) -> dict[str, Any]:
        if int(given["source"]) in left:
            left.remove(int(given["source"]))
            raise KeyboardInterrupt  # no failure of a row
        done.append(given["source"])
        return {"status": RESTORED}

    rows = [row(str(number)) for number in range(6)]
    for _ in range(len(ends) + 1):
        try:
            part = Worker(Doing(do), store, "run").work(0, rows)
        except KeyboardInterrupt:
            continue
        break
    found = {each["source"]: each["status"] for each in part.table().to_pylist()}
    hopeless = {str(number) for number in range(6) if ends.count(number) >= MOST_ATTEMPTS}
    assert found == {str(number): FAILED if str(number) in hopeless else RESTORED for number in range(6)}
    assert sorted(done) == sorted({str(number) for number in range(6)} - hopeless)


def test_what_is_behind_a_url_comes_with_its_sidecars_and_its_date(tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pipe({"/in/a.png": b"picture", "/in/a.png.xmp": b"sidecar", "/in/b.xmp": b"another's"})
    seen: dict[str, bytes] = {}

    def restore(each: Input, content: str, output: Output) -> Summary:
        seen.update({path.name: path.read_bytes() for path in each.path.parent.iterdir()})
        assert each.path.stat().st_mtime == pytest.approx(fs.modified("/in/a.png").timestamp(), abs=0.01)
        output.claim(output.path).parent.mkdir(parents=True)
        output.path.write_bytes(b"result")
        return Summary(notes=[f"{each.path}: looked at", f"{output.path}: written"])

    store = Store.at("memory://out")
    done = by_files(restore, store)(row("memory://in/a.png", place="deep/a.png"))
    assert seen == {"a.png": b"picture", "a.png.xmp": b"sidecar"}
    assert done["notes"] == ["memory://in/a.png: looked at", "memory:///out/deep/a.png: written"]
    assert store.read("deep/a.png") == b"result"
    assert done["files"] == ["deep/a.png"]
    gone = by_files(restore, store)(row("memory://in/c.png", place="c.png"))
    assert gone["reason"] == "memory://in/c.png: no such file; check the URL"


def test_each_kind_of_work_keeps_to_the_threads_of_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_limit", None)
    monkeypatch.setattr(processors, "usable_threads", lambda: 64)
    opened = cast(Any, object)
    nobody = Cast(Crowd([]), {}, "")
    kinds: list[Work] = [
        Photographs(opened, nobody, Choice(), 2),
        Clips(opened, nobody, ClipChoice(), 3),
        Headshots(opened, [], HeadshotChoice(), 4),
    ]
    try:
        for threads, kind in enumerate(kinds, 2):
            kind.open(Store.at(tmp_path))
            assert processors.threads() == threads
    finally:
        limit_threads()


@pytest.fixture
def signed() -> Iterator[str]:
    """The URL of ``photo.png`` on a web server that gives it, and nothing else, to who has signed for it."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    query = f"X-Amz-Expires=604800&X-Amz-Signature={'a' * 256}"

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_right = self.path == f"/in/photo.png?{query}"
            self.send_response(200 if is_right else 403)
            self.send_header("Content-Length", "7" if is_right else "0")
            self.end_headers()
            if is_right and self.command == "GET":
                self.wfile.write(b"picture")

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/in/photo.png?{query}"
        server.shutdown()


def test_a_signed_web_address_is_fetched(signed: str, tmp_path: Path) -> None:
    def restore(each: Input, content: str, output: Output) -> Summary:
        assert each.path.name == "photo.png"
        output.claim(output.path).parent.mkdir(parents=True)
        output.path.write_bytes(each.path.read_bytes())
        return Summary(notes=[f"{each.path}: looked at"])

    (found,) = find_sources([signed]).pictures
    assert (found.source, found.named.path.name) == (signed, "photo.png")
    store = Store.at(tmp_path / "out")
    done = by_files(restore, store)(row(signed, place="photo.png"))
    assert (done["status"], done["notes"]) == (RESTORED, [f"{signed}: looked at"])
    assert store.read("photo.png") == b"picture"


def test_a_name_too_long_for_a_disk_is_fetched(tmp_path: Path) -> None:
    fs, name = fsspec.filesystem("memory"), "ß" * 200
    fs.store.clear()
    fs.pipe({f"/in/{name}.png": b"picture", f"/in/{name}.xmp": b"sidecar"})
    local = fetch(f"memory://in/{name}.png", tmp_path)
    assert (local.name, local.read_bytes()) == ("file.png", b"picture")
    assert fetch(f"memory://in/{name}.xmp", tmp_path).name == "file.xmp"  # beside it


# ----------------------------------------------------------------------------------------------- evaluation


class Enlarging:
    """A method that only enlarges."""

    name, scale = "enlarging", 4

    def set_references(self, images: Sequence[Image]) -> None:
        pass

    def restore(self, lr: Image) -> Any:
        return SimpleNamespace(image=upscale(lr, 4), shares=[])


def test_entries_whose_photos_have_changed_are_measured_anew(
    demo_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, measured = tmp_path / "people", list[str]()
    for person in ("ada", "ben"):
        shutil.copytree(demo_people / person, root / person)
    entries = [ListEntry(f"{name}/0.webp", (f"{name}/1.webp", f"{name}/2.webp")) for name in ("ada", "ben")]

    def here(work: Work, rows: list[Any], store: Store, ledger: Ledger, *more: Any) -> None:
        """As workers do it, in this process."""
        part = Worker(work, store, ledger.run).work(0, rows)
        found = part.table().to_pylist()
        ledger.finished(found, [part.name])
        ledger.put_together()
        for each in found:
            measured.append(each["source"].split()[1])
            more[-1](each)

    monkeypatch.setattr("hime.cluster.evaluation.work_through", here)

    def open_evaluation() -> Evaluation:
        return Evaluation([Enlarging()], root, entries, 16, "list", 1, None, [Distortion()])

    def figures() -> Any:
        measured.clear()
        result = evaluate(open_evaluation, open_evaluation(), MADE, tmp_path / "job", Pool())
        assert result["per_image"] == open_evaluation().run()["per_image"]
        return result["per_image"]

    first = figures()
    assert measured == ["ada/0.webp", "ben/0.webp"]
    assert figures() == first
    assert measured == []
    shutil.copyfile(root / "ada" / "3.webp", root / "ada" / "0.webp")  # the photo
    assert figures() != first
    assert measured == ["ada/0.webp"]
    shutil.copyfile(root / "ben" / "3.webp", root / "ben" / "2.webp")  # a reference, for the likeness
    figures()
    assert measured == ["ben/0.webp"]
    for old, new in (("0", "x"), ("1", "0"), ("x", "1")):  # the photo and a reference change places
        (root / "ada" / f"{old}.webp").rename(root / "ada" / f"{new}.webp")
    figures()
    assert measured == ["ada/0.webp"]


def test_figures_of_other_code_are_measured_anew(
    demo_people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same version: what is measured now must not be told of figures of before."""
    made: list[dict[str, str]] = []

    def in_bulk(_: object, evaluation: Evaluation, parts: dict[str, str], *__: object) -> dict[str, Any]:
        made.append(parts)
        return evaluation.result([evaluation.measure(0)], [])

    monkeypatch.setattr("hime.cluster.require", lambda: None)
    monkeypatch.setattr("hime.cluster.evaluation.evaluate", in_bulk)
    chosen = tmp_path / "list.jsonl"
    write_list(chosen, read_list(demo_people / "list.jsonl")[:1])
    command = ["evaluate", "small-x4", "--data", str(demo_people), "--list", str(chosen)]
    command += ["--out", str(tmp_path / "out.json"), "--engine", "ray"]
    assert main(command) == main(command) == 0
    monkeypatch.setattr("hime.evaluation.provenance.source_digest", lambda: "another")
    assert main(command) == 0
    assert made[0] == made[1] == {**made[2], "code": made[0]["code"]}
    assert made[0] != made[2]


# ---------------------------------------------------------------------------------------------- what is left


def plan(store: Store, *sources: Found, made: dict[str, str] = MADE, overwrite: bool = False) -> Any:
    return plan_job(
        sources, store, ledger(store), made, ending_of, (*WRITTEN, *READ), [], overwrite=overwrite
    )


def do(store: Store, planned: list[dict[str, Any]], status: str = RESTORED) -> None:
    """Do what was planned."""
    one = ledger(store)
    part = Part(store, one.run, 0)
    for each in planned:
        part.begin(each)
        if status == RESTORED:
            store.write(each["place"], os.fsencode(each["source"]))
        files = [each["place"]] if status == RESTORED else []
        digests = [hashlib.sha256(os.fsencode(each["source"])).hexdigest()] * len(files)
        part.end(filled(each, status=status, files=files, digests=digests, input="i", sidecars="s"))
    part.write()
    one.finished(rows_of(part.table()), [part.name])
    one.put_together()


def left(planned: Any) -> list[str]:
    return [each["source"] for each in planned.rows]


A, B, C = (Found(f"memory:///in/{name}.png", stamp="1") for name in "abc")


def test_what_is_done_is_passed_over(store: Store) -> None:
    planned = plan(store, A, B)
    assert [each["place"] for each in planned.rows] == ["a.png", "b.png"]
    do(store, planned.rows[:1])
    do(store, planned.rows[1:], NOTHING)
    again = plan(store, A, B)
    assert again.rows == []
    assert (again.skipped, again.nothing) == ([A.source], [B.source])
    assert left(plan(store, Found(A.source, stamp="2"), B)) == [A.source]
    assert left(plan(store, A, B, made={"model": "two"})) == [A.source, B.source]
    store.delete(["a.png"])
    assert left(plan(store, A, B)) == [A.source]
    assert left(plan(store, A, B, overwrite=True)) == [A.source, B.source]
    assert left(plan(store, A, B)) == [A.source, B.source]  # the rest of what was begun anew


def test_a_report_is_in_nobodys_way(store: Store) -> None:
    without, with_one = {**MADE, "report": "False"}, {**MADE, "report": "True"}
    do(store, plan(store, A, made=without).rows)
    assert left(plan(store, A, made=with_one)) == [A.source]
    do(store, plan(store, A, made=with_one).rows)
    assert left(plan(store, A, made=with_one)) == left(plan(store, A, made=without)) == []


def test_what_was_done_is_told_as_what_it_was(store: Store) -> None:
    planned = plan(store, A, B)
    do(store, planned.rows[:1])
    do(store, planned.rows[1:], NOTHING)

    def do_nothing(row: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError(row)

    told = run_job(
        Doing(do_nothing), [A, B], store, MADE, ending_of, (*WRITTEN, *READ), [], Pool(), JobSummary(),
        overwrite=False,
    )  # fmt: skip
    assert (told.restored, told.skipped, told.nothing) == (0, 1, 1)


def test_a_clip_that_lacks_something_is_told_again(store: Store) -> None:
    """Of the result that this job made, not of what else is called so."""
    clips = [Found(f"memory:///in/{name}.mp4", stamp="1") for name in "ab"]

    def planned() -> Any:
        return plan_job(clips, store, ledger(store), MADE, clip_ending_of, ENDINGS, [], overwrite=False)

    one = ledger(store)
    part = Part(store, one.run, 0)
    for row_of, file in zip(planned().rows, ("a.incomplete.mp4", "b.mp4"), strict=True):
        store.write(file, b"result")
        digests = [hashlib.sha256(b"result").hexdigest()]
        part.end(filled(row_of, status=RESTORED, reason="a part is missing", files=[file], digests=digests))
    part.write()
    store.write("b.incomplete.mp4", b"of an earlier run, before the clip was mended")
    again = planned()
    assert again.skipped == [each.source for each in clips]
    incomplete = store.place("a.incomplete.mp4")
    assert again.notes == [
        f"{clips[0].source}: {incomplete} is there, which lacks what does not decode",
    ]
    told = run_job(
        Doing(lambda _: {}), clips, store, MADE, clip_ending_of, ENDINGS, [], Pool(), JobSummary(),
        overwrite=False,
    )  # fmt: skip
    assert told.notes == again.notes


def test_what_failed_is_tried_again_and_attempts_count_on(store: Store) -> None:
    do(store, plan(store, A).rows, FAILED)
    (again,) = plan(store, A).rows
    assert again["attempts"] == 0
    Part(store, "killed", 0).begin(again)
    (again,) = plan(store, A).rows
    assert again["attempts"] == 1


def test_new_sources_get_places_of_their_own(store: Store) -> None:
    do(store, plan(store, A).rows)
    other = Found("memory://later/a.png", stamp="1")
    planned = plan(store, other)
    assert [each["place"] for each in planned.rows] == ["a-2.png"]
    assert [each["place"] for each in plan(store, other, A).rows] == ["a-2.png"]


def test_what_is_not_the_jobs_is_not_replaced(store: Store) -> None:
    store.write("a.png", b"somebody's")
    planned = plan(store, A, B)
    assert left(planned) == [B.source]
    assert planned.refused == [
        f"{store.place('a.png')}: is there already, not as this job wrote it; --overwrite replaces it, "
        "another --out keeps it"
    ]
    store.write("b.png", b"the job's, and the worker ended before it was recorded")
    assert left(plan(store, A, B)) == [B.source]
    assert left(plan(store, A, B, overwrite=True)) == [A.source, B.source]


def test_beginning_anew_forgets_no_other_source(tmp_path: Path) -> None:
    """Photographs and clips of one command are two jobs, and an album may go where another one went."""
    store = Store.at(tmp_path / "out")
    do(store, plan(store, A).rows)
    Part(store, "killed", 0).begin(plan(store, C).rows[0])
    do(store, plan(store, B, overwrite=True).rows)
    assert plan(store, A, B).skipped == [A.source, B.source]
    assert ledger(store).rows()[C.source]["attempts"] == 1
    store.write("a.png", b"touched up")
    planned = plan(store, Found(A.source, stamp="2"))
    assert left(planned) == []
    assert "a.png: is there already, not as this job wrote it" in planned.refused[0]


def test_beginning_anew_that_is_interrupted_forgets_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    do(store, plan(store, A, B).rows)
    before = ledger(store).rows()
    monkeypatch.setattr(Store, "delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        plan(store, B, overwrite=True)
    assert ledger(store).rows() == before


def test_results_with_hidden_names_and_behind_links_are_seen(tmp_path: Path) -> None:
    store, disk = Store.at(tmp_path / "out"), tmp_path / "disk"
    disk.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "1998").symlink_to(disk)
    (disk / "back").symlink_to(tmp_path / "out")
    sources = [Found("memory:///in/.photo.png", stamp="1"), Found("memory:///in/1998/a.png", 2, "1")]
    do(store, plan(store, *sources).rows)
    assert plan(store, *sources).skipped == [each.source for each in sources]
    (tmp_path / "out" / ".hime-job").rename(tmp_path / "gone")
    planned = plan(store, *sources)
    assert [line.partition(": is there")[0] for line in planned.refused] == [
        store.place(".photo.png"),
        store.place("1998/a.png"),
    ]


def test_only_where_results_go_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links in the results, to folders that are large or lead back to each other."""
    folders = [tmp_path / "out" / f"album {number}" for number in range(4)]
    (tmp_path / "library" / "deep").mkdir(parents=True)
    for folder in folders:
        folder.mkdir(parents=True)
        for other in folders:
            (folder / other.name).symlink_to(other)
        (folder / "library").symlink_to(tmp_path / "library")
    store = Store.at(tmp_path / "out")
    listed: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: listed.append(os.fspath(path)) or scandir(path))
    sources = [Found(f"memory:///in/{folder.name}/a.png", 1, "1") for folder in folders[:2]]
    plan(store, *sources)
    assert set(listed) <= {store.place(name) for name in (".hime-job", "album 0", "album 1")}
    assert len(listed) < 8


def test_a_result_that_somebody_has_changed_is_not_replaced(tmp_path: Path) -> None:
    store = Store.at(tmp_path / "out")
    do(store, plan(store, A).rows)
    assert left(plan(store, Found(A.source, stamp="2"))) == [A.source]
    store.write("a.png", b"touched up")
    assert plan(store, A).skipped == [A.source]
    planned = plan(store, Found(A.source, stamp="2"))
    assert left(planned) == []
    assert "a.png: is there already, not as this job wrote it" in planned.refused[0]


@pytest.mark.parametrize("status", [FAILED, NOTHING])
def test_a_file_put_where_a_source_failed_is_not_replaced(store: Store, status: str) -> None:
    made = {"model": "two"}  # so that where nothing was found is looked at again
    do(store, plan(store, A, B).rows, status)
    store.write("a.png", b"somebody's")
    store.write("b.json", b"somebody's, where a report goes")
    planned = plan(store, A, B, made=made)
    assert left(planned) == []
    assert [line.partition(": is there")[0] for line in planned.refused] == [
        store.place(name) for name in ("a.png", "b.json")
    ]
    assert left(plan(store, A, B, made=made, overwrite=True)) == [A.source, B.source]


def test_results_of_earlier_runs_survive_a_failure(tmp_path: Path) -> None:
    photo, store, out = tmp_path / "a.png", Store.at(tmp_path / "out"), tmp_path / "out"
    photo.write_bytes(b"photo")
    made: list[bytes | Exception] = [
        b"first", OSError("disk"), NothingToRestore("nobody"), b"second", HimeError("again"),
    ]  # fmt: skip

    def restore(each: Input, content: str, output: Output) -> Summary:
        output.claim(output.path).parent.mkdir(parents=True, exist_ok=True)
        report = output.claim(output.path.with_suffix(".json"))
        what = made.pop(0)
        if isinstance(what, Exception):
            write_atomically(report, lambda path: path.write_bytes(b"failed"))
            raise what
        write_atomically(output.path, lambda path: path.write_bytes(what))
        return Summary()

    def attempt(number: int) -> list[str]:
        planned = plan(store, Found(str(photo), stamp=str(number)))
        one = ledger(store)
        part = Worker(Doing(by_files(restore, store)), store, one.run).work(0, planned.rows)
        one.finished(rows_of(part.table()), [part.name])
        one.put_together()
        return [line.partition(": is there")[0] for line in planned.refused]

    for number in range(5):
        assert attempt(number) == []
    assert made == []
    assert (out / "a.png").read_bytes() == b"second"  # and then it failed
    (row,) = ledger(store).rows().values()
    assert (row["status"], sorted(row["files"])) == (FAILED, ["a.json", "a.png"])
    for name in ("a.png", "a.json"):  # the job's, and changed since
        before = (out / name).read_bytes()
        (out / name).write_bytes(b"touched up")
        assert attempt(5) == [str(out / name)]
        (out / name).write_bytes(before)
    (out / "a.json").unlink()
    assert left(plan(store, Found(str(photo), stamp="5"))) == [str(photo)]


def test_sources_of_one_name_share_a_page_and_a_report(store: Store) -> None:
    other = Found("memory:///in/a.jpg", stamp="1")
    one = ledger(store)
    part = Part(store, one.run, 0)
    first, second = plan(store, A, other).rows
    for name in ("a.png", "a.json"):
        store.write(name, b"result")
    digests = [hashlib.sha256(b"result").hexdigest()] * 2
    part.end(filled(first, status=RESTORED, files=["a.png", "a.json"], digests=digests))
    part.end(filled(second, status=FAILED))
    part.write()
    assert left(plan(store, A, other)) == [other.source]


def test_no_result_replaces_a_source(tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    photo.write_bytes(b"")
    (tmp_path / "out").mkdir()
    os.link(photo, tmp_path / "out" / "a.png")
    for overwrite in (False, True):
        with pytest.raises(HimeError, match="would overwrite what is read"):
            plan(Store.at(tmp_path / "out"), Found(str(photo)), overwrite=overwrite)
    with pytest.raises(HimeError, match="would overwrite what is read"):
        plan(Store.at("memory://in"), A)


def test_the_plain_loop_knows_what_a_job_made_and_the_job_what_it_made(tmp_path: Path) -> None:
    photo, store = tmp_path / "a.png", Store.at(tmp_path / "out")
    photo.write_bytes(b"")
    do(store, plan(store, Found(str(photo))).rows)
    record = Records(tmp_path / "out").of(Path("a.png"))
    assert record is not None
    assert record.made == {**MADE, "sidecars": "s"}
    assert record.files == {"a.png": hashlib.sha256(str(photo).encode()).hexdigest()}
    other = tmp_path / "other"
    (other / "a.png").parent.mkdir()
    (other / "a.png").write_bytes(b"result")
    Records(other).add(Path("a.png"), "i", path_digest(photo), MADE, [other / "a.png"])
    assert left(plan(Store.at(other), Found(str(photo)))) == [str(photo)]


def test_a_job_replaces_no_result_of_another_picture_that_the_plain_loop_made(tmp_path: Path) -> None:
    photos, out = [tmp_path / year / "a.png" for year in ("1998", "1999")], tmp_path / "out"
    for path in (*photos, out / "a.png"):
        path.parent.mkdir()
        path.write_text(str(path.parent.name))
    content = hashlib.sha256(b"1998").hexdigest()
    Records(out).add(Path("a.png"), content, path_digest(photos[0]), MADE, [out / "a.png"])
    planned = plan(Store.at(out), Found(str(photos[1])))
    assert left(planned) == []
    assert "a.png: is there already, not as this job wrote it" in planned.refused[0]
    moved = photos[0].rename(tmp_path / "a.png")
    assert left(plan(Store.at(out), Found(str(moved)))) == [str(moved)]


def test_where_a_job_finds_nothing_a_result_stays_its_pictures(tmp_path: Path) -> None:
    photo, store = tmp_path / "a.png", Store.at(tmp_path / "out")
    photo.write_bytes(b"")
    do(store, plan(store, Found(str(photo))).rows)
    (left_over,) = plan(store, Found(str(photo)), made={"model": "two"}).rows
    tell_loop(store, {"model": "two"}, [filled(left_over, status=NOTHING, input="i", sidecars="s")])
    record = Records(tmp_path / "out").of(Path("a.png"))
    assert record is not None
    assert list(record.files) == ["a.png"]
