"""People as files: what goes in comes out, restoring with them is restoring with the photos, and no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from hime.cli import main
from hime.errors import HimeError
from hime.faces.album import Person, Reference
from hime.pictures.arrays import resize
from hime.pictures.reading import read_image
from hime.restoring.person import FORMAT, MOST_REFERENCES, SIDES, describe_person, load_person, save_person
from hime.restoring.restorer import Restorer, load


@pytest.fixture(scope="module")
def restorer(tiny_model: Path) -> Restorer:
    return load(tiny_model, threads=1)


@pytest.fixture(scope="module")
def eva(demo_people: Path) -> Person:
    """Three photos, as an album holds them."""
    random = np.random.default_rng(0)
    embeddings = random.normal(size=(4, 128)).astype(np.float32)
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
    assert "made for tiny-x4-p and tiny-x4, " in describe_person(path)
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
            crop=small,
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
    with pytest.raises(HimeError, match=r"cannot be read|damaged"):
        load_person(tmp_path)


def test_the_file_may_go_any_time(file: Path, restorer: Restorer, tmp_path: Path) -> None:
    copy = tmp_path / "eva.person"
    copy.write_bytes(file.read_bytes())
    (first, *_) = load_person(copy, restorer).references
    copy.unlink()
    restorer.set_references([first.for_restorer])
    with pytest.raises(HimeError, match=r"eva\.person: no such file"):
        restorer.features(restorer.backend, 16, 16)
    restorer.set_references([])


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
