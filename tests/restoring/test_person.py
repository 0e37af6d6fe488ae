"""People as files: what goes in comes out, restoring with them is restoring with the photos, and no other."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import resource
import shutil
import signal
import stat
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hime.cli import main
from hime.errors import HimeError
from hime.faces.album import Person, Reference
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image
from hime.restoring import person_file
from hime.restoring.person import SIDES, describe_person, load_person, save_person, stored_digest
from hime.restoring.person_file import FORMAT, MOST_REFERENCES
from hime.restoring.restorer import Restorer, load


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def eva(demo_people: Path) -> Person:
    """Three photos, as an album holds them."""
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(3, 128)).astype(np.float32)
    embeddings = np.vstack([embeddings, embeddings.sum(axis=0)])
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    references = tuple(
        Reference(
            f"{n}.webp", read_image(demo_people / "eva" / f"{n}.webp"), embeddings[n], 0.5 + 0.1 * n, 0.2 * n
        )
        for n in range(3)
    )
    return Person("eva", references, (("blurry.jpg", "blurred"),), embeddings[3])


@pytest.fixture(scope="module")
def file(eva: Person, restorer: Restorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return save_person(tmp_path_factory.mktemp("people") / "eva.person", eva, restorer)


def changed(file: Path, path: Path, **changes: str) -> Path:
    """A copy of the file with other metadata."""
    with safe_open(file, framework="np") as opened:
        metadata = opened.metadata()
    save_file(load_file(file), path, {**metadata, **changes})
    return path


def test_what_goes_in_comes_out(eva: Person, file: Path, restorer: Restorer) -> None:
    loaded = load_person(file, restorer)
    assert loaded.name == "eva"
    assert loaded.rejected == ()
    np.testing.assert_array_equal(loaded.embedding, eva.embedding)
    for stored, original in zip(loaded.references, eva.references, strict=True):
        assert (stored.name, stored.crop, stored.path) == (original.name, None, None)
        assert stored.content is None  # of photos that were no files
        assert stored.quality == pytest.approx(original.quality)
        assert stored.yaw == pytest.approx(original.yaw)
        np.testing.assert_array_equal(stored.embedding, original.embedding)


@pytest.mark.parametrize("shape", [(16, 16), (31, 31), (64, 64), (24, 20)])
def test_restores_as_with_the_photos(
    shape: tuple[int, int], eva: Person, file: Path, restorer: Restorer
) -> None:
    assert eva.references[0].crop is not None
    lr = resize(eva.references[0].crop, *shape)
    restorer.set_references([each.for_restorer for each in eva.references[1:]])
    expected = restorer.restore(lr)
    restorer.set_references([each.for_restorer for each in load_person(file).references[1:]])
    restored = restorer.restore(lr)
    restorer.set_references([])
    if shape[0] == shape[1]:  # else the middle of the square's features: like them but for the border
        assert np.abs(restored.image.astype(int) - expected.image).max() <= 1
        np.testing.assert_allclose(restored.shares, expected.shares, atol=1e-3)
    assert restored.image.shape == expected.image.shape


@pytest.mark.parametrize("side", [10, 33, 43, 100, 140])
def test_sizes_between_are_resampled(side: int, file: Path, restorer: Restorer) -> None:
    (first, *_) = load_person(file).references
    restorer.set_references([first.for_restorer])
    features = restorer.features(restorer.backend, side, side)
    assert features.shape == (1, restorer.card["feature_channels"], side, side)
    stored_side = min((s for s in SIDES if s >= side), default=128)
    (stored,) = (tensor[0] for key, tensor in load_file(file).items() if key.endswith(f"/{stored_side}"))
    assert features.mean() == pytest.approx(
        stored.astype(float).mean(), abs=0.02 * stored.astype(float).std()
    )
    restorer.set_references([])


def test_photos_and_stored_references_together(eva: Person, file: Path, restorer: Restorer) -> None:
    stored = load_person(file).references
    restorer.set_references([stored[0].for_restorer, eva.references[1].for_restorer, stored[2].for_restorer])
    mixed = restorer.features(restorer.backend, 20, 20)
    restorer.set_references([each.for_restorer for each in eva.references])
    np.testing.assert_allclose(mixed, restorer.features(restorer.backend, 20, 20), rtol=2e-3, atol=2e-3)
    restorer.set_references([])


def test_holds_no_picture(file: Path) -> None:
    tensors = load_file(file)
    (digest,) = {key.split("/")[1] for key in tensors if key.startswith("features/")}
    features = {f"features/{digest}/{side}" for side in SIDES}
    assert set(tensors) == {"embedding", "embeddings", "qualities", "yaws"} | features
    assert all(tensors[key].dtype == np.float16 for key in features)
    assert not list(file.parent.glob(".*"))


def test_another_model_is_refused_with_the_remedy(
    file: Path, tiny_dial: Path, tmp_path: Path, restorer: Restorer
) -> None:
    other = load(tiny_dial, threads=1)
    line = rf"eva\.person: made for tiny-x4, and this is {other.name}; make it again from the photos"
    with pytest.raises(HimeError, match=line):
        load_person(file, other)
    (first, *_) = load_person(file).references
    other.set_references([first.for_restorer])
    with pytest.raises(HimeError, match=line):
        other.features(other.backend, 16, 16)
    older = changed(file, tmp_path / "older.person", models=json.dumps({"0" * 64: "tiny-x4"}))
    with pytest.raises(HimeError, match=r"made for tiny-x4, and this is another version of tiny-x4; make it"):
        load_person(older, restorer)


def test_of_a_dial_both_ends_are_stored(
    eva: Person, tiny_model: Path, tiny_dial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hime.restoring.person.SIDES", (16, 18))  # sooner done
    restorer = load(tiny_dial, threads=1)
    one = replace(eva, references=eva.references[:1])
    path = save_person(tmp_path / "eva.person", one, restorer)
    assert restorer.fidelity == 0
    assert "made for tiny-x4-p and tiny-x4, " in describe_person(path)[0]
    assert one.references[0].crop is not None
    lr = resize(one.references[0].crop, 18, 18)
    for other in (restorer, load(tiny_model, threads=1)):
        stored = load_person(path, other).references[0]
        for fidelity in (0.0, 0.25, 1.0):
            if other is restorer:
                other.fidelity = fidelity
            other.set_references([one.references[0].for_restorer])
            expected = other.restore(lr)
            other.set_references([stored.for_restorer])
            restored = other.restore(lr)
            assert np.abs(restored.image.astype(int) - expected.image).max() <= 1
            np.testing.assert_allclose(restored.shares, expected.shares, atol=1e-3)


def test_a_dial_needs_features_of_both_ends(file: Path, tiny_dial: Path, tmp_path: Path) -> None:
    restorer = load(tiny_dial, threads=1, fidelity=1)
    load_person(file, restorer)  # made for tiny-x4, which alone is at work here
    restorer.fidelity = 0.5
    line = r"made for tiny-x4, and this is tiny-x4-p; .*`hime person add --model tiny-x4-p`"
    with pytest.raises(HimeError, match=line):
        load_person(file, restorer)
    models = {f"{0:064}": "tiny-x4-p", f"{1:064}": "tiny-x4"}
    older = changed(file, tmp_path / "older.person", models=json.dumps(models))
    restorer.fidelity = 1
    line = "another version of tiny-x4; make it .*`hime person add --model tiny-x4-p`"
    with pytest.raises(HimeError, match=line):
        load_person(older, restorer)


def test_many_photos_are_thinned_to_those_that_cover_the_poses(
    eva: Person, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hime.restoring.person.SIDES", (16,))  # sooner done
    crop = eva.references[0].crop
    assert crop is not None
    small = resize(crop, 64, 64)
    many = [
        replace(
            eva.references[0],
            name=f"{n:02}.jpg",
            picture=small,
            yaw=yaw,
            embedding=eva.references[n % 3].embedding,
        )
        for n, yaw in enumerate([0.0] * 20 + [-0.6, 0.6])
    ]
    path = save_person(tmp_path / "eva.person", replace(eva, references=tuple(many)), restorer)
    loaded = load_person(path)
    assert len(loaded.references) == MOST_REFERENCES
    names = [each.name for each in loaded.references]
    assert names == sorted(names)
    assert {"20.jpg", "21.jpg"} < set(names)


def test_what_cannot_be_stored_is_refused(
    eva: Person, file: Path, restorer: Restorer, tiny_run: Path, tmp_path: Path
) -> None:
    from hime.evaluation.checkpoint import TorchBackend

    out = tmp_path / "eva.person"
    with pytest.raises(HimeError, match=r"files that end in \.person"):
        save_person(tmp_path / "eva.png", eva, restorer)
    with pytest.raises(HimeError, match="is a name of 1025 characters; choose one of at most 1024"):
        save_person(out, replace(eva, name="e" * 1025), restorer)
    with pytest.raises(HimeError, match="eva: no photo that can be used"):
        save_person(out, replace(eva, references=()), restorer)
    with pytest.raises(HimeError, match="eva: no photo that can be used"):
        save_person(out, load_person(file), restorer)
    with pytest.raises(HimeError, match="people are encoded for exported models"):
        save_person(out, eva, Restorer(TorchBackend.load(tiny_run, "cpu")))
    assert not list(tmp_path.iterdir())


def test_what_is_no_such_file_is_refused(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.person"
    with pytest.raises(HimeError, match=r"bad\.person: no such file"):
        load_person(path)
    content = file.read_bytes()
    for damaged in (b"", b"no safetensors at all", content[:100], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(HimeError, match=r"bad\.person: damaged \(.+\); make it again from the photos"):
            load_person(path)
    save_file({"weights": np.zeros(3, np.float32)}, path)
    with pytest.raises(HimeError, match=r"no \.person file"):
        load_person(path)
    for models in ("no JSON", "[]", "3"):
        changed(file, path, models=models)
        with pytest.raises(HimeError, match="damaged"):
            describe_person(path)
    changed(file, path, format="hime-person-1")
    with pytest.raises(HimeError, match=f"version hime-person-1, this program reads {FORMAT}; make it again"):
        load_person(path)
    changed(file, path, references='["one"]')
    with pytest.raises(HimeError, match="damaged"):
        load_person(path)
    changed(file, path, references="no JSON")
    with pytest.raises(HimeError, match="damaged"):
        load_person(path)
    with pytest.raises(HimeError, match="is a folder; give a file"):
        load_person(tmp_path)


def test_the_file_may_go_any_time(file: Path, restorer: Restorer, tmp_path: Path) -> None:
    copy = tmp_path / "eva.person"
    copy.write_bytes(file.read_bytes())
    (first, *_) = load_person(copy, restorer).references
    restorer.set_references([first.for_restorer])
    before = restorer.features(restorer.backend, 16, 16)
    copy.unlink()
    restorer.set_references([first.for_restorer])
    np.testing.assert_array_equal(restorer.features(restorer.backend, 16, 16), before)
    restorer.set_references([])


def test_another_process_gets_the_person_with_the_content(
    file: Path, restorer: Restorer, tmp_path: Path
) -> None:
    copy = tmp_path / "eva.person"
    shutil.copy(file, copy)
    pickled = pickle.dumps(load_person(copy, restorer))
    copy.unlink()
    (first, *_), (given, *_) = pickle.loads(pickled).references, load_person(file, restorer).references
    for side in (16, 33, 128):
        np.testing.assert_array_equal(
            first.features(restorer.backend, side, side), given.features(restorer.backend, side, side)
        )


def test_a_file_cut_short_later_is_told(file: Path, restorer: Restorer, tmp_path: Path) -> None:
    copy = tmp_path / "eva.person"
    copy.write_bytes(file.read_bytes())
    (first, *_) = load_person(copy, restorer).references
    os.truncate(copy, 5_000)
    restorer.set_references([first.for_restorer])
    with pytest.raises(HimeError, match=r"eva\.person: damaged \(cut short\)"):
        restorer.features(restorer.backend, 128, 128)
    restorer.set_references([])


def test_of_very_many_files_most_are_closed_meanwhile(
    file: Path, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(person_file.StoredFile, "_open", weakref.WeakSet())
    monkeypatch.setattr(person_file, "MOST_OPEN", 2)
    copies = [changed(file, tmp_path / f"{number}.person", name=str(number)) for number in range(6)]
    people = [load_person(copy, restorer) for copy in copies]
    assert [person.name for person in people] == list("012345")
    opened = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert [copy for copy in copies if str(copy) in opened] == copies[:2]
    features = []
    for person in people:
        restorer.set_references([person.references[0].for_restorer])
        features.append(restorer.features(restorer.backend, 16, 16))
    assert all(np.array_equal(each, features[0]) for each in features)
    copies[0].unlink()
    people[0].references[0].for_restorer.features(restorer.backend, 17, 17)  # it stayed open
    shutil.copy(copies[4], copies[5])
    with pytest.raises(HimeError, match=r"5\.person: has changed since it was read; run the command again"):
        people[5].references[0].for_restorer.features(restorer.backend, 17, 17)
    copies[4].unlink()
    with pytest.raises(HimeError, match=r"4\.person: no such file"):
        people[4].references[0].for_restorer.features(restorer.backend, 17, 17)
    restorer.set_references([])


def test_a_file_is_told_from_another_by_what_is_read_of_it(file: Path, tmp_path: Path) -> None:
    same = tmp_path / "moved.person"
    same.write_bytes(file.read_bytes())
    other = changed(file, tmp_path / "other.person", name="other")
    digests = [stored_digest(load_person(path)) for path in (file, same, other)]
    assert digests[0] == digests[1] != digests[2]


# ------------------------------------------------------------------------------------------ hostile files


def crafted(file: Path, path: Path, metadata: dict[str, str], **tensors: Any) -> Path:
    """A copy with other metadata and tensors; a tensor that is None is left out."""
    with safe_open(file, framework="np") as opened:
        whole = opened.metadata() | metadata
    content = {**load_file(file), **tensors}
    kept = {name: tensor for name, tensor in content.items() if tensor is not None}
    save_file(kept, path, {name: text for name, text in whole.items() if text})
    return path


def hostile(file: Path) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """What somebody could make of a file: for each kind the metadata and tensors that are changed."""
    content = load_file(file)
    features = next(name for name in content if name.endswith("/16"))
    embedding, embeddings = content["embedding"], content["embeddings"]
    digest = features.split("/")[1]
    other = np.zeros(128, np.float32)
    other[0] = 1
    return {
        "ones": ({}, {"embedding": np.ones(128, np.float32)}),
        "another's embedding": ({}, {"embedding": other}),
        "long embeddings": ({}, {"embeddings": 3 * embeddings}),
        "no number": ({}, {"embedding": embedding * np.float32("nan")}),
        "infinite": ({}, {"embeddings": embeddings * np.float32("inf")}),
        "zeros": ({}, {"embedding": embedding * 0, "embeddings": embeddings * 0}),
        "doubles": ({}, {"embedding": embedding.astype(np.float64)}),
        "short": ({}, {"embedding": embedding[:64]}),
        "quality": ({}, {"qualities": np.full(3, 7, np.float32)}),
        "quality no number": ({}, {"qualities": np.full(3, np.nan, np.float32)}),
        "yaw": ({}, {"yaws": np.full(3, -1e30, np.float32)}),
        "scalar": ({}, {"yaws": np.zeros((), np.float32)}),
        "features of one dimension": ({}, {features: content[features].reshape(-1)}),
        "features of another side": ({}, {features: content[features][:, :, :8]}),
        "features of no channels": ({}, {features: content[features][:, :0]}),
        "features of fewer channels": ({}, {features: content[features][:, :3].copy()}),
        "features of one reference": ({}, {features: content[features][:1]}),
        "single features": ({}, {features: content[features].astype(np.float32)}),
        "no features": ({}, {features: None}),
        "no embedding": ({}, {"embedding": None}),
        "no name": ({"name": ""}, {}),  # left out
        "a long name": ({"name": "n" * 5000}, {}),
        "names that are no list": ({"references": json.dumps("abc")}, {}),
        "names that are no names": ({"references": json.dumps([1, [], {}])}, {}),
        "many": ({"references": json.dumps(["a"] * 1000)}, {}),
        "none": ({"references": "[]"}, {}),
        "deep JSON": ({"references": "[" * 100_000}, {}),
        "models that are no names": ({"models": json.dumps({digest: [digest]})}, {}),
        "models that are paths": ({"models": json.dumps({"../../etc": "x", digest: "tiny"})}, {}),
        "contents that are no list": ({"contents": json.dumps("abc")}, {}),
        "contents of others": ({"contents": json.dumps(["0" * 64] * 4)}, {}),
        "contents that are no digests": ({"contents": json.dumps(["0" * 63, "", ""])}, {}),
        "contents that are no texts": ({"contents": json.dumps([1, None, []])}, {}),
        "many models": ({"models": json.dumps({f"{n:064}": "x" for n in range(1000)})}, {}),
    }


def test_every_field_is_checked_before_it_is_used(
    file: Path, restorer: Restorer, tmp_path: Path, demo_people: Path
) -> None:
    picture = demo_people / "eva" / "0.webp"
    for number, (kind, (metadata, tensors)) in enumerate(hostile(file).items()):
        path = crafted(file, tmp_path / f"{number}.person", metadata, **tensors)
        with pytest.raises(HimeError, match=rf"{number}\.person: damaged \(.+\); make it again") as refused:
            load_person(path, restorer)
        assert "\n" not in str(refused.value), kind
    command = [
        "restore",
        str(picture),
        "--refs",
        str(tmp_path / "0.person"),
        "--out",
        str(tmp_path / "o.png"),
    ]
    assert main([*command, "--model", str(restorer.backend.folder)]) == 1
    assert not (tmp_path / "o.png").exists()


def test_features_that_are_no_numbers_are_told(file: Path, restorer: Restorer, tmp_path: Path) -> None:
    features = next(name for name in load_file(file) if name.endswith("/16"))
    bad = np.full_like(load_file(file)[features], np.inf)
    (first, *_) = load_person(
        crafted(file, tmp_path / "a.person", {}, **{features: bad}), restorer
    ).references
    restorer.set_references([first.for_restorer])
    with pytest.raises(HimeError, match=r"a\.person: damaged \(values that are no numbers\)"):
        restorer.features(restorer.backend, 16, 16)
    restorer.set_references([])


@given(st.data())
@settings(max_examples=60)
def test_a_header_of_anything_is_refused_in_one_line(
    file: Path, restorer: Restorer, data: st.DataObject
) -> None:
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = bytearray(content[8 : 8 + length])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, length - 1))
        header[place : place + 1] = data.draw(st.binary(max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.person")
        path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
        with contextlib.suppress(HimeError):  # and nothing else
            load_person(path, restorer)


def test_a_pipe_is_no_person(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "eva.person")
    with pytest.raises(HimeError, match=r"eva\.person: is a pipe, not a file"):
        load_person(tmp_path / "eva.person")


# ---------------------------------------------------------------------------------------------- writing


def test_a_new_file_is_its_owner_s_alone_and_an_old_one_keeps_its_mode(
    eva: Person, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hime.restoring.person.SIDES", (16,))  # sooner done
    path = save_person(tmp_path / "eva.person", eva, restorer)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    save_person(path, eva, restorer)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_the_restorers_own_references_stay(
    eva: Person, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hime.restoring.person.SIDES", (16,))  # sooner done
    restorer = load(tiny_model, threads=1)
    crop = eva.references[0].crop
    assert crop is not None
    restorer.set_references([crop])
    save_person(tmp_path / "eva.person", eva, restorer)
    assert len(restorer.restore(resize(crop, 16, 16)).shares) == 1


def test_a_full_disk_is_one_line(
    eva: Person, restorer: Restorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hime.restoring.person.SIDES", (16,))  # sooner done
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, limit[1]))
    try:
        with pytest.raises(HimeError, match=r"eva\.person: cannot write there \(File too large\)"):
            save_person(tmp_path / "eva.person", eva, restorer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_the_command(
    shared: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "somebody.person"
    photos = [str(shared / "photos" / "people" / "7236" / f"{name}.jpg") for name in (184720, 187087)]
    assert main(["person", "add", *photos, "--out", str(out), "--model", str(tiny_model)]) == 0
    told = capsys.readouterr()
    assert told.err == "hime: 187087.jpg is not used: looks away\n"
    assert told.out.startswith(f"{out}: somebody: made for tiny-x4, ")
    assert "biometric data" in told.out
    assert main(["person", "show", str(out)]) == 0
    assert "184720.jpg: quality" in capsys.readouterr().out
    assert main(["person", "add", photos[1], "--out", str(out), "--model", str(tiny_model)]) == 1
    assert "no photo that can be used" in capsys.readouterr().err
    assert (
        main(["person", "add", photos[0], "--out", str(tmp_path / "x.png"), "--model", str(tiny_model)]) == 1
    )
    assert "files that end in .person" in capsys.readouterr().err


def test_names_that_would_take_effect_on_a_terminal_are_shown_as_codes(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = json.dumps(["\x1b[2J", "a\nhime: fine", "\u202egnp"])
    path = crafted(file, tmp_path / "e.person", {"name": "eva\x1b[31m\nhime: fine", "references": names})
    assert main(["person", "show", str(path)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(r"eva\x1b[31m\nhime: fine: made for tiny-x4")
    assert r"  \x1b[2J: quality" in told
    assert r"  \u202egnp: quality" in told
    assert len(told.splitlines()) == 5


def test_names_that_are_no_text(demo_people: Path, tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="the extra faces is not installed")
    folder, photo = tmp_path / os.fsdecode(b"zo\xeb"), demo_people / "ada" / "0.webp"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such names")
    shutil.copy(demo_people / "ada" / "1.webp", folder / os.fsdecode(b"\xe9.webp"))
    out = tmp_path / "zoe.person"
    assert main(["person", "add", str(folder), "--out", str(out), "--model", str(tiny_model)]) == 0
    person = load_person(out)
    assert (person.name, person.references[0].name) == ("zo?", "?.webp")
    arguments = [str(photo), "--refs", str(folder), "--model", str(tiny_model)]
    assert main(["restore", *arguments, "--out", str(tmp_path / "out")]) == 0


def test_what_cannot_be_written_is_known_before_the_photos_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hime.faces.album.read_person", lambda *_: pytest.fail("photos were read"))
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "eva.person"
    assert main(["person", "add", "eva/1.jpg", "--out", str(out)]) == 1
    assert "cannot write there" in capsys.readouterr().err
    command = ["person", "add", "eva/1.jpg", "--out", str(tmp_path / "eva.person"), "--name"]
    assert main([*command, "e" * 1100]) == 1
    assert "is a name of 1100 characters" in capsys.readouterr().err
