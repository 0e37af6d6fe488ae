"""What was learned of photos: used again, for the same photos only, readable with them only, deletable."""

from __future__ import annotations

import os
import shutil
import stat
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hime import processors
from hime.errors import HimeError
from hime.faces import cache as caching
from hime.faces import duplicates
from hime.faces.album import Person, read_person
from hime.faces.cache import LookCache, user_cache
from hime.faces.look import look_at
from hime.faces.sealed import Identity, seal, unseal
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image

pytest.importorskip("cv2", reason="the extra faces is not installed")


@pytest.fixture
def photos(demo_people: Path, tmp_path: Path) -> Path:
    """Two photos of a rendered person, a copy of one, and none of anybody."""
    folder = tmp_path / "Ada in Rome"
    folder.mkdir()
    for name in ("1.webp", "2.webp"):
        shutil.copy(demo_people / "ada" / name, folder)
    image = read_image(folder / "1.webp")
    write_image(folder / "cropped.png", image[3:, 5:])
    write_image(folder / "nobody.png", np.full((80, 80, 3), 90, np.uint8))
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> LookCache:
    return LookCache(tmp_path / "kept" / "looks")


def assert_equal(first: Person, second: Person) -> None:
    assert (first.name, first.rejected) == (second.name, second.rejected)
    assert first.embedding is not None
    assert second.embedding is not None
    np.testing.assert_array_equal(first.embedding, second.embedding)
    assert len(first.references) == len(second.references)
    for one, other in zip(first.references, second.references, strict=True):
        assert (one.name, one.quality, one.yaw, one.path) == (
            other.name,
            other.quality,
            other.yaw,
            other.path,
        )
        np.testing.assert_array_equal(one.embedding, other.embedding)
        np.testing.assert_array_equal(one.for_restorer, other.for_restorer)


def files_of(cache: LookCache) -> list[Path]:
    return sorted(cache.folder.iterdir()) if cache.folder.is_dir() else []


def nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a photo that is looked at, or compared, fails the test."""
    monkeypatch.setattr(caching, "look_at", lambda path: pytest.fail(f"{path} was looked at"))
    monkeypatch.setattr(duplicates, "is_same_photo", lambda *_: pytest.fail("photos were compared"))


def test_the_second_run_looks_at_nothing_and_says_the_same(
    photos: Path, cache: LookCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = read_person(photos)
    assert dict(plain.rejected) == {
        "cropped.png": "almost the same photo as 1.webp",
        "nobody.png": "no face found",
    }
    assert_equal(read_person(photos, cache=cache), plain)
    nobody_looks(monkeypatch)
    assert_equal(read_person(photos, cache=LookCache(cache.folder)), plain)


def test_threads_look_at_photos_and_say_the_same(
    photos: Path, cache: LookCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "_limit", 1)
    alone = read_person(photos)
    monkeypatch.setattr(processors, "_limit", 4)
    told: list[tuple[int, int]] = []
    assert_equal(read_person(photos, cache=cache, progress=lambda *done: told.append(done)), alone)
    assert told == [(done, 4) for done in range(1, 5)]
    nobody_looks(monkeypatch)
    assert_equal(read_person(photos, cache=LookCache(cache.folder)), alone)


def test_a_photo_that_is_moved_is_known_and_one_that_is_changed_is_not(
    photos: Path, cache: LookCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_person(photos, cache=cache)
    seen: list[Path] = []
    look_at = caching.look_at

    def noted(path: Path) -> Sequence[object]:
        seen.append(path)
        return look_at(path)

    monkeypatch.setattr(caching, "look_at", noted)
    moved = photos.rename(tmp_path / "elsewhere")
    read_person(moved, cache=LookCache(cache.folder))
    assert seen == []
    with (moved / "2.webp").open("ab") as file:
        file.write(b"\0")
    person = read_person(moved, cache=LookCache(cache.folder))
    assert seen == [moved / "2.webp"]
    assert [each.path for each in person.references] == [moved / "1.webp", moved / "2.webp"]


def test_what_is_kept_depends_on_networks_limits_and_versions(
    photos: Path, cache: LookCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.look_at(photos / "1.webp")
    for name, value in (("FORMAT", caching.FORMAT + 1), ("MAXIMUM_SIDE", 100)):
        with monkeypatch.context() as patch:
            patch.setattr(caching, name, value)
            caching._made_with.cache_clear()
            photo = Identity.of(photos / "1.webp")
            assert LookCache(cache.folder)._kept(photos / "1.webp", photo) is None
    caching._made_with.cache_clear()
    assert LookCache(cache.folder)._kept(photos / "1.webp", photo)


def test_headshots_lie_there_and_not_in_memory(photos: Path, cache: LookCache) -> None:
    person = read_person(photos, cache=cache)
    assert not any(isinstance(each.picture, np.ndarray) for each in person.references)
    shutil.rmtree(photos)  # the photos are not asked again
    assert all(each.crop is not None for each in person.references)
    with pytest.raises(HimeError, match="no such file"):
        read_person([photos / "1.webp"], cache=cache)


def test_headshots_that_were_deleted_meanwhile_are_made_anew_while_there_are_photos(
    photos: Path, cache: LookCache
) -> None:
    plain, person = read_person(photos), read_person(photos, cache=cache)
    cache.forget_all()
    assert_equal(person, plain)
    cache.forget_all()
    person = read_person(photos, cache=LookCache(cache.folder))
    cache.forget_all()
    shutil.rmtree(photos)
    with pytest.raises(HimeError, match="run the command again"):
        _ = person.references[0].crop


# -------------------------------------------------------------------------------------------- private


@pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")
def test_only_the_user_can_look_into_it(photos: Path, cache: LookCache) -> None:
    cache.folder.mkdir(parents=True, mode=0o755)
    read_person(photos, cache=cache)
    assert stat.S_IMODE(cache.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files_of(cache)} == {0o600}


def test_it_says_nothing_to_who_has_not_the_photos(photos: Path, cache: LookCache) -> None:
    person = read_person(photos, cache=cache)
    everything = b"".join(str(file).encode() + file.read_bytes() for file in files_of(cache))
    for plain in (b"Ada", b"1.webp", b"embeddings", b"PNG", person.references[0].embedding.tobytes()[:16]):
        assert plain not in everything.replace(str(cache.folder).encode(), b"")
    own, other = Identity.of(photos / "1.webp"), Identity.of(photos / "2.webp")
    sealed = (cache.folder / f"{own.name}.look").read_bytes()
    assert unseal(sealed, own.key(caching._made_with())) is not None
    assert unseal(sealed, other.key(caching._made_with())) is None
    assert unseal(sealed, bytes(32)) is None


@given(st.binary(max_size=300), st.binary(min_size=32, max_size=32), st.integers(0, 10**6))
def test_what_is_sealed_is_unsealed_and_any_change_is_seen(content: bytes, key: bytes, place: int) -> None:
    sealed = seal(content, key)
    assert unseal(sealed, key) == content
    assert seal(content, key) != sealed
    changed = bytearray(sealed)
    changed[place % len(changed)] ^= 1 << place % 8
    assert unseal(bytes(changed), key) is None
    assert unseal(sealed[: place % len(sealed)], key) is None


# -------------------------------------------------------------------------------------------- forgotten


def test_forgotten_by_photo_and_as_a_whole(photos: Path, cache: LookCache) -> None:
    read_person(photos, cache=cache)
    own = Identity.of(photos / "1.webp").name
    assert cache.forget([photos / "1.webp", photos / "1.webp"]) == 1
    assert files_of(cache)
    assert not [file for file in files_of(cache) if file.name.startswith(own)]
    assert cache.forget([photos / "1.webp"]) == 0
    (cache.folder / "of somebody else").touch()
    assert cache.forget_all() == 3
    assert [file.name for file in files_of(cache)] == ["of somebody else"]
    (cache.folder / "of somebody else").unlink()
    assert cache.forget_all() == 0
    assert not cache.folder.exists()


def test_what_is_not_used_for_long_goes_and_the_oldest_of_too_much(
    photos: Path, cache: LookCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_person(photos, cache=cache)
    names = [Identity.of(photos / f"{n}.webp").name for n in (1, 2)]
    past = time.time() - caching.DAYS * 86_400
    for file in files_of(cache):
        moment = past - 60 if file.name.startswith(names[0]) else past + 86_400
        os.utime(file, (moment, moment))
    again = LookCache(cache.folder)
    assert not [file for file in files_of(cache) if file.name.startswith(names[0])]
    assert [file for file in files_of(cache) if file.name.startswith(names[1])]

    again.look_at(photos / "2.webp")  # used: its time begins anew
    used = [file for file in files_of(cache) if file.name.startswith(names[1])]
    assert len(used) == 2
    assert all(time.time() - file.stat().st_mtime < 3600 for file in used)
    monkeypatch.setattr(caching, "MOST_BYTES", sum(file.stat().st_size for file in used))
    LookCache(cache.folder)
    assert files_of(cache) == used


# -------------------------------------------------------------------------------------------- hostile


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_files_are_made_anew(photos: Path, cache: LookCache, data: st.DataObject) -> None:
    photo = photos / "1.webp"
    (look,) = LookCache(cache.folder).look_at(photo)
    file = data.draw(st.sampled_from(files_of(cache)))
    content = bytearray(file.read_bytes())
    kind = data.draw(st.sampled_from(["cut", "changed", "other", "none"]))
    if kind == "cut":
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    elif kind == "changed":
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1
    elif kind == "other":
        content = bytearray(data.draw(st.binary()))
    file.unlink() if kind == "none" else file.write_bytes(content)
    again = LookCache(cache.folder)
    (found,) = again.look_at(photo)
    np.testing.assert_array_equal(found.embedding, look.embedding)
    assert (found.side, found.sharpness, found.problem) == (look.side, look.sharpness, None)
    np.testing.assert_array_equal(found.crop, look_at(photo)[0].crop)
    with pytest.MonkeyPatch.context() as patch:  # it is whole again
        nobody_looks(patch)
        (whole,) = LookCache(cache.folder).look_at(photo)
        np.testing.assert_array_equal(whole.crop, found.crop)


@pytest.mark.parametrize(
    "change",
    [
        {"numbers": np.full((1, 5), np.nan)},
        {"numbers": np.zeros((1, 4))},
        {"numbers": np.zeros((2, 5))},
        {"embeddings": np.zeros((1, 128), np.float32)},
        {"embeddings": np.ones((1, 128), np.float32)},
        {"small": np.zeros((1, 1, 1), np.float32)},
        {"verdicts": np.frombuffer(b"../../x y 1", np.uint8)},
        {"verdicts": np.frombuffer(b"\xff\xff", np.uint8)},
        {"verdicts": np.frombuffer(b"a", np.uint8)},
    ],
    ids=str,
)
def test_sealed_with_the_right_key_it_is_checked_all_the_same(
    change: dict[str, np.ndarray], photos: Path, cache: LookCache
) -> None:
    path = photos / "1.webp"
    looks, photo = cache.look_at(path), Identity.of(path)
    tensors = caching._tensors(looks, {}) | change
    cache._write(f"{photo.name}.look", caching.save(tensors), photo)
    assert LookCache(cache.folder)._kept(path, photo) is None
    (look,) = LookCache(cache.folder).look_at(path)
    np.testing.assert_array_equal(look.embedding, looks[0].embedding)


def test_a_headshot_that_is_none_is_made_anew(photos: Path, cache: LookCache) -> None:
    path = photos / "1.webp"
    (look,), photo = cache.look_at(path), Identity.of(path)
    long = write_image(photos / "long.png", np.zeros((600, 9, 3), np.uint8)).read_bytes()
    for content in (b"", b"\x89PNG\r\n\x1a\n", long):
        cache._write(f"{look.key}.crop", content, photo)
        (again,) = LookCache(cache.folder).look_at(path)
        np.testing.assert_array_equal(again.crop, look_at(path)[0].crop)


def test_pipes_folders_and_links_in_place_of_files(photos: Path, cache: LookCache) -> None:
    plain = read_person(photos)
    read_person(photos, cache=cache)
    files = files_of(cache)
    for file in files:
        file.unlink()
    for file, make in zip(files, (os.mkfifo, Path.mkdir, lambda p: p.symlink_to("/dev/zero")), strict=False):
        make(file)
    assert_equal(read_person(photos, cache=LookCache(cache.folder)), plain)


def test_where_nothing_can_be_kept_that_is_said_once_and_nothing_else(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    plain = read_person(photos)
    caplog.clear()
    assert_equal(read_person(photos, cache=LookCache(tmp_path / "file" / "looks")), plain)
    assert len(caplog.records) == 1
    assert "nothing is kept of photos there" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="users as POSIX has them")
def test_a_folder_of_somebody_else_is_not_used(
    photos: Path, cache: LookCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    read_person(photos, cache=cache)
    assert files_of(cache) == []
    assert "somebody else's" in caplog.text


def test_a_photo_that_changes_while_it_is_looked_at_is_not_kept(
    photos: Path, cache: LookCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at = caching.look_at

    def changed(path: Path) -> Sequence[object]:
        looks = look_at(path)
        shutil.copy(photos / "2.webp", path)
        return looks

    monkeypatch.setattr(caching, "look_at", changed)
    assert len(cache.look_at(photos / "1.webp")) == 1
    assert files_of(cache) == []


def test_the_folder_is_the_user_s_or_named_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HIME_CACHE", str(tmp_path / "mine"))
    named = user_cache()
    assert named is not None
    assert named.folder == tmp_path / "mine" / "looks"
    monkeypatch.setenv("HIME_CACHE", "off")
    assert user_cache() is None
    monkeypatch.delenv("HIME_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    usual = user_cache()
    assert usual is not None
    assert usual.folder.name == "looks"
    assert "hime" in usual.folder.parts
