"""What a job works on: files, folders, globs, manifests and URLs, and where the results go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra cluster)")

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from hime.cluster.listing import Found, _stamp, clip_ending_of, ending_of, find_sources, place
from hime.errors import HimeError
from hime.pictures.formats import READ, WRITTEN
from hime.restoring.inputs import find_inputs, own_ending, places


@pytest.fixture
def in_memory() -> Iterator[str]:
    """The URL of a folder in the memory, with pictures in two folders."""
    fs = fsspec.filesystem("memory")
    for name in ("a.png", "b.JPG", "deep/a.png", "notes.txt", "clip.mp4"):
        fs.pipe_file(f"/archive/{name}", b"content")
    yield "memory://archive"
    fs.rm("/archive", recursive=True)


def put(place: Path, *names: str) -> list[Path]:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(b"content")
    return [place / name for name in names]


def placed(found: list[Found]) -> list[str]:
    return place(found, ending_of, (*WRITTEN, *READ))


def test_what_lies_here_is_called_as_by_the_plain_loop(tmp_path: Path) -> None:
    put(tmp_path, "one/a.png", "one/b/a.png", "two/a.png", "two/a.bmp", "x/a.png", "y/a.png")
    given = [tmp_path / "one", tmp_path / "two", tmp_path / "x" / "a.png", tmp_path / "y" / "a.png"]
    listing = find_inputs(given)
    inputs = listing.inputs
    expected = places(inputs, [own_ending(each.path) for each in inputs], (*WRITTEN, *READ))
    found = find_sources(given).pictures
    assert [each.source for each in found] == [str(each.path) for each in inputs]
    assert placed(found) == [each.as_posix() for each in expected]


def test_a_stamp_changes_with_the_file_and_its_sidecars(tmp_path: Path) -> None:
    (photo,) = put(tmp_path, "a.png")

    def stamp() -> str:
        (found,) = find_sources([tmp_path]).pictures
        return found.stamp

    first = stamp()
    assert stamp() == first
    photo.write_bytes(b"other content")
    second = stamp()
    assert second != first
    (tmp_path / "a.xmp").write_text("<x/>")
    assert stamp() != second


def test_a_pattern(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "b.jpg", "deep/c.png", "d[1].png")
    found = find_sources([f"{tmp_path}/**/*.png"]).pictures
    assert sorted(Path(each.source).name for each in found) == ["a.png", "c.png", "d[1].png"]
    (named,) = find_sources([tmp_path / "d[1].png"]).pictures  # a file of that name goes before a pattern
    assert named.source.endswith("d[1].png")
    with pytest.raises(HimeError, match="nothing matches"):
        find_sources([f"{tmp_path}/*.tif"])


def test_what_lies_where_the_results_go_matches_no_pattern(tmp_path: Path) -> None:
    put(tmp_path, "a.png", "deep/b.png", "out/a.png", "out/deep/b.png", "outside/c.png")
    out = tmp_path / "out"
    for results in (out, f"{tmp_path}/deep/../out/", f"file://{out}"):
        found = find_sources([f"{tmp_path}/**/*.png"], results)
        assert placed(found.pictures) == ["a.png", "b.png", "c.png"]
        assert found.passed_over == [
            f"{tmp_path}/**/*.png: passed over: what lies in {out}, where the results go"
        ]
    (tmp_path / "link").symlink_to(out)
    by_a_link = find_sources([f"{tmp_path}/[do]*/**/*.png"], tmp_path / "link")
    assert sorted(Path(each.source).name for each in by_a_link.pictures) == ["b.png", "c.png"]
    (tmp_path / "link").unlink()
    assert placed(find_sources([f"{tmp_path}/*"], out).pictures) == ["a.png", "deep/b.png", "outside/c.png"]
    with pytest.raises(HimeError, match="nothing matches"):
        find_sources([f"{tmp_path}/o*t/*.png"], out)
    # What a pattern begins in, the user means: whether something would be replaced is found out later.
    for pattern, results in ((f"{out}/*.png", out), (f"{tmp_path}/deep/*.png", tmp_path)):
        found = find_sources([pattern], results)
        assert (len(found.pictures), found.passed_over) == (1, [])


def test_what_lies_where_the_results_go_is_no_source_behind_a_url(in_memory: str) -> None:
    for name in ("out/a.png", "out/.hime-job/done.parquet", "outside/c.png"):
        fsspec.filesystem("memory").pipe_file(f"/archive/{name}", b"content")
    line = "passed over: what lies in memory:///archive/out, where the results go"
    for given, expected in (
        (in_memory, ["a.png", "b.JPG", "deep/a.png", "outside/c.png"]),
        (f"{in_memory}/**/*.png", ["archive/a.png", "deep/a.png", "c.png"]),
    ):
        found = find_sources([given], f"{in_memory}/out/")
        assert placed(found.pictures) == expected
        assert f"{given}: {line}" in found.passed_over
    for given in (f"{in_memory}/out", f"{in_memory}/out/*.png"):
        (only,) = find_sources([given], f"{in_memory}/out").pictures
        assert only.source == "memory:///archive/out/a.png"
    assert len(find_sources([f"{in_memory}/*.png"], "archive/out").pictures) == 1


@pytest.mark.parametrize("bucket", ["s3://bucket/scans", "memory:///scans", "gs://bucket/[2001]"])
def test_names_behind_urls_are_whole(bucket: str) -> None:
    names = ["photo #1.jpg", "photo #2.jpg", "what?.jpg", "50% off.jpg"]
    assert placed([Found(f"{bucket}/{name}") for name in names]) == names
    assert [clip_ending_of(Found(f"{bucket}/{name}")) for name in ("a#.mov", "b?.mkv")] == [".mov", ".mkv"]


def test_of_a_web_address_query_and_fragment_are_no_name() -> None:
    urls = ["https://host/a.jpg?size=2#top", "HTTP://host/b.jpg#top?", "https://host/[1].jpg"]
    assert placed([Found(url) for url in urls]) == ["a.jpg", "b.jpg", "[1].jpg"]
    assert clip_ending_of(Found("https://host/clip.mov?quality=high")) == ".mov"


def test_what_lies_behind_a_url(in_memory: str) -> None:
    found = find_sources([in_memory, f"{in_memory}/a.png"])
    assert [each.source for each in found.pictures] == [
        "memory:///archive/a.png",
        "memory:///archive/b.JPG",
        "memory:///archive/deep/a.png",
    ]
    assert placed(found.pictures) == ["a.png", "b.JPG", "deep/a.png"]
    assert [Path(each.source).name for each in found.clips] == ["clip.mp4"]
    assert found.passed_over == [f"{in_memory}: passed over: 1 files whose endings are of no picture"]
    assert len(find_sources([f"{in_memory}/*.png"]).pictures) == 1
    assert len(find_sources([f"{in_memory}/**/*.png"]).pictures) == 2


def test_what_is_hidden_behind_a_url_is_no_source(in_memory: str) -> None:
    """As on a disk: previews, and what another system has put beside the pictures."""
    hidden = ("._a.png", ".thumbnails/a.png", "deep/.a.png")
    for name in hidden:
        fsspec.filesystem("memory").pipe_file(f"/archive/{name}", b"content")
    found = find_sources([in_memory])
    assert placed(found.pictures) == ["a.png", "b.JPG", "deep/a.png"]
    assert found.passed_over == [f"{in_memory}: passed over: 1 files whose endings are of no picture"]
    assert len(find_sources([f"{in_memory}/**/*.png"]).pictures) == 2
    for asked in (f"{in_memory}/._a.png", f"{in_memory}/.thumbnails", f"{in_memory}/._*.png"):
        assert len(find_sources([asked]).pictures) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"ETag": "e"}, {"etag": "e", "last_modified": "d"}, {"Last-Modified": "d"}, {"last_modified": "d"},
        {"LastModified": "d"}, {"mtime": 1.5}, {"updated": "d"},
    ],
)  # fmt: skip
def test_a_changed_file_behind_a_url_is_told_however_that_is_said(said: dict[str, object]) -> None:
    assert _stamp({"size": 5, **said}) == f"5-{next(iter(said.values()))}"


def test_what_does_not_lie_behind_a_url(in_memory: str) -> None:
    with pytest.raises(HimeError, match=r"none\.png: no such file; check the URL"):
        find_sources([f"{in_memory}/none.png"])
    with pytest.raises(HimeError, match=r"\*\.tif: no picture in it"):
        find_sources([f"{in_memory}/*.tif"])
    with pytest.raises(HimeError, match="no-such-protocol"):
        find_sources(["no-such-protocol://archive/a.png"])


def test_a_manifest(tmp_path: Path, in_memory: str) -> None:
    one, two = put(tmp_path, "scans/1998/a.png", "scans/2001/a.png")
    manifest = tmp_path / "scans" / "list.parquet"
    pq.write_table(pa.table({"path": ["1998/a.png", str(two)], "who": ["ada", "ben"]}), manifest)
    found = find_sources([manifest]).pictures
    assert [each.source for each in found] == [str(one), str(two)]
    assert placed(found) == ["1998/a.png", "2001/a.png"]
    assert all(each.stamp for each in found)
    fsspec.filesystem("memory").pipe_file("/archive/list.parquet", manifest.read_bytes())
    (relative, absolute) = find_sources([f"{in_memory}/list.parquet"]).pictures
    assert relative.source == f"{in_memory}/1998/a.png"
    assert absolute.source == str(two)


@pytest.mark.parametrize(
    "table",
    [
        {"file": ["a.png"]},
        {"path": pa.array([], pa.string())},
        {"path": ["a.png", None]},
        {"path": [1]},
        {"path": pa.array([b"caf\xe9.png"]).view(pa.string())},
    ],
)
def test_no_manifest(table: dict[str, object], tmp_path: Path) -> None:
    manifest = tmp_path / "list.parquet"
    pq.write_table(pa.table(table), manifest)
    with pytest.raises(HimeError, match=rf"{manifest}: "):
        find_sources([manifest])
    manifest.write_bytes(b"no Parquet")
    with pytest.raises(HimeError, match="no manifest with a column 'path'"):
        find_sources([manifest])
    manifest.unlink()
    with pytest.raises(HimeError, match="no such file"):
        find_sources([manifest])
