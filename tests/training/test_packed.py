"""Packed photos: what `hime prepare --pack` writes, and trainings that read it as they read the folder."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny import SIZE, TINY, assert_same_state
from torch.utils.data import DataLoader

from hime import HimeError
from hime.cli import main
from hime.data import pack as packing
from hime.data.pack import read_pack, write_pack
from hime.data.people import DEMO_PEOPLE, people_in, read_people
from hime.training.batches import Draws, gather
from hime.training.loop import train
from hime.training.packed import PackedImages
from hime.training.photos import Photos, load_photos
from hime.training.presets import ReferenceSampling, override


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo people packed, in shards of five photos."""
    out = tmp_path_factory.mktemp("packs") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "SHARD_BYTES", 5 * 3 * SIZE**2)
        write_pack(DEMO_PEOPLE, out, SIZE)
    return out


def same(one: Photos, other: Photos) -> bool:
    every = torch.arange(len(one))
    return (
        one.names == other.names
        and torch.equal(one.images[every], other.images[every])
        and all(
            torch.equal(getattr(one, name), getattr(other, name))
            for name in ("person", "whose", "first", "count", "similarity", "targets")
        )
    )


def test_a_pack_gives_what_the_folder_gives(packed: Path, photos: Photos) -> None:
    assert len(list(packed.glob("pixels-*.npy"))) == -(-len(photos) // 5)
    read = load_photos([(packed, None)], SIZE, progress=False)
    assert isinstance(read.images, PackedImages)
    assert read.fingerprint() == photos.fingerprint()
    assert same(read, photos)
    people = read_people(DEMO_PEOPLE / "train.txt")[::-1]
    of_pack, of_folder = (
        load_photos([(root, people)], SIZE, progress=False) for root in (packed, DEMO_PEOPLE)
    )
    assert same(of_pack, of_folder)
    for part, expected in zip(of_pack.split(0.4, 1), of_folder.split(0.4, 1), strict=True):
        assert part is not None
        assert expected is not None
        assert isinstance(part.images, PackedImages)
        assert same(part, expected)


def test_a_pack_given_again_keeps_its_people_on_one_side(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed, tmp_path / "copy")
    photos = load_photos([(root, None) for root in (packed, packed, tmp_path / "copy")], SIZE, progress=False)
    folder = load_photos([(DEMO_PEOPLE, None)] * 3, SIZE, progress=False)
    assert torch.equal(photos.whose, folder.whose)
    assert photos.listed_names == folder.listed_names
    rest, aside = photos.split(0.1, seed=0)
    assert aside is not None
    shown = [{name.split("/", 1)[1] for name in part.names} for part in (rest, aside)]
    assert not shown[0] & shown[1]


@given(rows=st.lists(st.integers(0, 35), min_size=1, max_size=12))
def test_rows_of_any_shape_are_read(packed: Path, photos: Photos, rows: list[int]) -> None:
    read = load_photos([(packed, None)], SIZE, progress=False)
    chosen = torch.tensor([rows, rows[::-1]])
    assert torch.equal(read.images[chosen], photos.images[chosen])
    again = pickle.loads(pickle.dumps(read.images))
    assert torch.equal(again[chosen], photos.images[chosen])


@pytest.mark.parametrize(
    "changes",
    [[], ["degradation=photos", "lr_sizes=8"], ["window=16"]],
    ids=["bicubic", "photos", "windows"],
)
def test_trainings_from_pack_and_folder_are_one(packed: Path, tmp_path: Path, changes: list[str]) -> None:
    config = override(TINY, changes)
    folder = train(config, [(DEMO_PEOPLE, None)], tmp_path / "folder")
    pack = train(config, [(packed, None)], tmp_path / "pack")
    assert pack.losses == folder.losses
    assert pack.evaluations == folder.evaluations
    assert_same_state(tmp_path / "folder", tmp_path / "pack")


def test_a_run_begun_on_the_folder_goes_on_with_the_pack(packed: Path, tmp_path: Path) -> None:
    train(TINY, [(DEMO_PEOPLE, None)], tmp_path / "whole")
    train(TINY, [(DEMO_PEOPLE, None)], tmp_path / "halves", stop_at=4)
    train(TINY, [(packed, None)], tmp_path / "halves")
    assert_same_state(tmp_path / "whole", tmp_path / "halves")


def test_two_packs_are_two_folders(packed: Path, tmp_path: Path) -> None:
    shutil.copytree(packed, tmp_path / "copy")
    two = load_photos([(packed, None), (tmp_path / "copy", ["ada"])], SIZE, progress=False)
    folders = load_photos([(DEMO_PEOPLE, None), (DEMO_PEOPLE, ["ada"])], SIZE, progress=False)
    assert same(two, folders)
    with pytest.raises(HimeError, match="pack all of them"):
        load_photos([(packed, None), (DEMO_PEOPLE, None)], SIZE, progress=False)


def test_workers_read_the_pixels_with_the_draw(packed: Path, photos: Photos) -> None:
    read = load_photos([(packed, None)], SIZE, progress=False)
    sampling = ReferenceSampling(misalignment=0.04)
    more = {"degradation": "realistic"}
    ahead = Draws(read, 7, 4, 4, sampling, with_pixels=True, **more)
    held = Draws(photos, 7, 4, 4, sampling, **more)
    for step, drawn in enumerate(DataLoader(ahead, batch_size=None, sampler=range(3), num_workers=2)):
        assert drawn.pixels is not None
        empty = torch.empty(0, 3, SIZE, SIZE, dtype=torch.uint8)  # nothing is read but what came along
        nobody = Photos(empty, *[torch.empty(0)] * 6, ())
        batch, expected = gather(nobody, drawn), gather(photos, held[step])
        assert all(torch.equal(one, other) for one, other in zip(batch[:4], expected[:4], strict=True))


def test_what_cannot_be_used_is_left_out_and_told(tmp_path: Path) -> None:
    root = tmp_path / "faces"
    for name, files in list(people_in(DEMO_PEOPLE).items())[:2]:
        (root / name).mkdir(parents=True)
        for path in files[:3]:
            shutil.copy(path, root / name)
    (root / "ada" / "broken.webp").write_bytes(b"RIFF")
    (root / "alone").mkdir()
    shutil.copy(files[0], root / "alone")
    write_pack(root, tmp_path / "pack", SIZE)
    of_pack, of_folder = (
        load_photos([(path, None)], SIZE, progress=False) for path in (tmp_path / "pack", root)
    )
    assert same(of_pack, of_folder)
    assert of_pack.skipped == tuple(line.replace(f"{root}/", "faces/") for line in of_folder.skipped)
    assert str(tmp_path) not in (tmp_path / "pack" / "pack.json").read_text("utf-8")
    assert len(of_pack.skipped) == 2
    two = load_photos([(tmp_path / "pack", None)] * 2, SIZE, progress=False)  # which of them is told
    assert [line.partition(":")[0] for line in two.skipped[:2]] == [
        "faces-1/ada/broken.webp",
        "faces-2/ada/broken.webp",
    ]
    index = tmp_path / "pack" / "pack.json"
    before = index.read_text("utf-8").replace('"ada/broken.webp: ', f'"{root.as_posix()}/ada/broken.webp: ')
    index.write_text(before, "utf-8")  # as packs of before say it
    old = load_photos([(tmp_path / "pack", None)], SIZE, progress=False)
    assert old.skipped[0].startswith(f"{root.as_posix()}/ada/broken.webp: ")
    with pytest.raises(HimeError, match="no photo of 4096"):
        write_pack(root, tmp_path / "large", 4096)


def test_a_pack_is_made_once_and_anew_when_photos_have_come(tmp_path: Path) -> None:
    shutil.copytree(DEMO_PEOPLE, tmp_path / "faces")
    root, out = tmp_path / "faces", tmp_path / "faces" / "pack-32"
    first = write_pack(root, out, SIZE)
    written = (out / "pack.json").stat().st_mtime_ns
    assert write_pack(root, out, SIZE) == first
    assert (out / "pack.json").stat().st_mtime_ns == written
    shutil.copy(
        root / "ada" / sorted(path.name for path in (root / "ada").iterdir())[0], root / "ada" / "x.webp"
    )
    assert len(write_pack(root, out, SIZE).photos) == len(first.photos) + 1
    (out / "pack.json").unlink()  # as a process leaves it that was killed
    assert len(write_pack(root, out, SIZE).photos) == len(first.photos) + 1


def test_a_damaged_pack_is_made_anew(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pack"
    shutil.copytree(packed, out)
    whole = (packed / "pack.json").read_bytes()

    def check() -> None:
        pack = write_pack(DEMO_PEOPLE, out, SIZE)
        assert (out / "pack.json").read_bytes() == (tmp_path / "fresh" / "pack.json").read_bytes()
        assert len(load_photos([(pack.folder, None)], SIZE, progress=False)) == 36
        assert "was damaged, and is packed anew" in capsys.readouterr().err

    write_pack(DEMO_PEOPLE, tmp_path / "fresh", SIZE)
    shard = out / "pixels-00001.npy"
    shard.write_bytes(shard.read_bytes()[:-100])
    check()
    (out / "pixels-00000.npy").unlink()
    check()
    for damaged in (b"", whole[:200], b"\0" * len(whole), whole.replace(b"hime-pack-1", b"hime-pack-9")):
        (out / "pack.json").write_bytes(damaged)
        check()


def test_a_folder_that_is_no_pack_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "other"
    out.mkdir()
    for name, content in (("pack.json", '{"name": "of a game"}'), ("pixels-art.npy", "mine")):
        (out / name).write_text(content)
    with pytest.raises(HimeError, match=r"pack\.json: not the index of a pack, and left as it is"):
        write_pack(DEMO_PEOPLE, out, SIZE)
    (out / "pack.json").rename(out / "package.json")
    write_pack(DEMO_PEOPLE, out, SIZE)
    assert (out / "pixels-art.npy").read_text() == "mine"


def test_what_cannot_be_replaced_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pixels-00000.npy").mkdir()
    with pytest.raises(HimeError, match=r"pixels-00000\.npy: cannot be replaced .*; choose another folder"):
        write_pack(DEMO_PEOPLE, tmp_path, SIZE)


def test_a_pack_of_the_released_form_is_read(packed: Path, tmp_path: Path) -> None:
    out = tmp_path / "pack"
    shutil.copytree(packed, out)
    index = json.loads((out / "pack.json").read_text())
    index["listing"] = hashlib.sha256("\n".join(index["photos"]).encode()).hexdigest()
    (out / "pack.json").write_text(json.dumps(index, indent=0, ensure_ascii=False), encoding="utf-8")
    assert len(load_photos([(out, None)], SIZE, progress=False)) == 36


def test_a_damaged_pack_is_one_line(packed: Path, tmp_path: Path) -> None:
    copy = tmp_path / "pack"
    shutil.copytree(packed, copy)

    def message() -> str:
        with pytest.raises(HimeError) as caught:
            load_photos([(copy, None)], SIZE, progress=False)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    with pytest.raises(HimeError, match="packed at 32 pixels, not 64; pack the photos with --pack 64"):
        load_photos([(copy, None)], 64, progress=False)
    with pytest.raises(HimeError, match="no photos of nobody"):
        load_photos([(copy, ["ada", "nobody"])], SIZE, progress=False)
    shard = copy / "pixels-00001.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    assert "pixels-00001.npy: not 5 photos of 32×32 pixels" in message()
    shard.write_bytes(b"x" * 20)
    assert "pixels-00001.npy: not pixels as NumPy stores them" in message()
    for damaged in (whole.replace(b"}", b" ", 1), whole.replace(b"'fortran_", b"\n  'fortran_\n ", 1)):
        shard.write_bytes(damaged)
        assert "pixels-00001.npy: not " in message()
    np.save(shard, np.zeros((5, 3, SIZE, SIZE), np.float32))
    assert "pixels-00001.npy: not 5 photos" in message()
    shard.unlink()
    assert "pixels-00001.npy: no such file" in message()
    index = json.loads((copy / "pack.json").read_text())
    for wrong in (
        {"format": "hime-pack-9"},
        {"photos": index["photos"][1:]},
        {"shards": 3},
        {"size": "x"},
        {"size": 1e999},
    ):
        (copy / "pack.json").write_text(json.dumps({**index, **wrong}))
        assert "pack.json: not the index of a pack" in message()
    outside = [{"file": "../elsewhere.npy", "photos": len(index["photos"])}]
    (copy / "pack.json").write_text(json.dumps({**index, "shards": outside}))
    assert "lies elsewhere" in message()
    (copy / "pack.json").write_text("[" * 100_000)
    assert "pack.json: not the index of a pack" in message()


def test_prepare_packs_and_train_reads_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "root", tmp_path / "faces"
    for name in people_in(DEMO_PEOPLE):
        shutil.copytree(DEMO_PEOPLE / name, root / name)
    command = ["prepare", "folder", "--root", str(root), "--out", str(out), "--pack", "32"]
    assert main(command) == 0
    assert f"{out / 'pack-32'}: 36 photos in 1 files" in capsys.readouterr().out
    assert read_pack(out / "pack-32").name == "faces"
    assert main(command) == 0  # it is there
    data = [
        "--data",
        str(out / "pack-32"),
        "--people",
        str(out / "train.txt"),
        "--out",
        str(tmp_path / "run"),
    ]
    tiny = [f"--set={key}=1" for key in ("model.lr_blocks", "model.reference_blocks", "batch_size")]
    assert main(["train", "small-x4", *data, "--steps", "1", "--set=hr_size=32", *tiny]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["data"]["sources"] == ["faces"]
    with pytest.raises(SystemExit):
        main([*command, "--lists-only"])
    with pytest.raises(SystemExit):
        main([*command, "--size", "16"])
