"""What was learned of photos, kept for the next time, so that nobody looks at a photo twice.

    cache = user_cache()                       # None where HIME_CACHE is "off"
    mum = read_person("mum/", cache=cache)

It lies in the user's cache folder, or in the one that the environment variable HIME_CACHE names, for the user
alone (0700, files 0600). Of each photo there is one file NAME.look, and of each of its good faces its
headshot, NAME-N.crop. NAME is a digest of the photo's content: a photo that is moved or copied is known, one
that is changed is not. The files are sealed with a key made of the content (`hime.faces.sealed`), so they
tell nothing to who has not the photo, not even whose it is, and nobody anything once the photo is deleted
everywhere. They hold no name and no path. What was not used for `DAYS` days is deleted, and the oldest where
all take more than `MOST_BYTES`; `hime person forget` deletes at once.

Whatever is wrong with a file or the folder: the photo is then looked at, as if nothing had been kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import platformdirs
from safetensors import SafetensorError
from safetensors.numpy import load, save

import hime
from hime.errors import HimeError
from hime.faces.look import LOOK_SIDE, MAXIMUM_SIDE, MOST_FACES, SMALL_SIDE, SMALLEST_FACE, Look, look_at
from hime.faces.networks import embedder_path, opencv
from hime.faces.sealed import Identity, seal, unseal
from hime.faces.yunet import DETECTOR
from hime.files import open_file, reason_of, write_atomically
from hime.pictures.arrays import Image

log = logging.getLogger(__name__)

VARIABLE, OFF = "HIME_CACHE", "off"
"""The environment variable that names another folder, and what it says where nothing is to be kept."""
DAYS = 30
"""Without use after which a file is deleted: who works on an album does so for some weeks."""
MOST_BYTES = 1 << 30
"""Of all files together: a look takes some 20 KB a face, a headshot up to 0.7 MB."""
LARGEST_FILE = 4 << 20
"""Bytes that are read of a file; none that is written is half as large."""
MOST_VERDICTS = 64
"""Comparisons that are kept of a photo."""
FORMAT = 1
"""To be raised when faces are found or judged otherwise and nothing else in `_made_with` says so."""

_NUMBERS = ("side", "yaw", "sharpness", "lights", "white", "x", "y")
_FILE = re.compile(r"([0-9a-f]{64})(\.look|-\d+\.crop)")
_KEY = re.compile(r"[0-9a-f]{64}-\d+")


def user_cache(*, read_only: bool = False) -> LookCache | None:
    """The user's own, see `LookCache`; None where HIME_CACHE says that nothing is kept."""
    value = os.environ.get(VARIABLE, "")
    if value.lower() == OFF:
        return None
    folder = Path(value or platformdirs.user_cache_path("hime", appauthor=False)) / "looks"
    return LookCache(folder, read_only=read_only)


class LookCache:
    """Looks kept in a folder. Several processes may share one, and several threads a `LookCache`.

    Args:
        folder: made when something is to be kept.
        read_only: use what is kept, and leave no trace: nothing is written, and nothing deleted.

    Attributes:
        verdicts: see `hime.faces.duplicates.Verdicts`, of the photos looked at; what is added is written by
            `keep_verdicts`.
    """

    def __init__(self, folder: Path | str, *, read_only: bool = False) -> None:
        self.folder = Path(folder)
        self.read_only = read_only
        self.verdicts: dict[tuple[str, str], bool] = {}
        self._written: set[tuple[str, str]] = set()
        self._looked_at: dict[str, tuple[Identity, Sequence[Look]]] = {}
        self._is_ready: bool | None = None
        self._lock = threading.Lock()
        if not read_only:
            self._tidy()

    def look_at(self, path: Path) -> Sequence[Look]:
        """As `hime.faces.look.look_at`, which is asked only if the photo was not looked at before.

        Raises:
            HimeError: as there.
        """
        try:
            photo = Identity.of(path)
        except HimeError:
            return look_at(path)  # it says what is wrong
        with self._lock:
            looks: Sequence[Look] | None = self._kept(path, photo)
        if looks is None:
            looks = look_at(path)
            with self._lock:
                if not self._ready() or not _is_still(path, photo):
                    return looks
                looks = self._keep(photo, looks)
        with self._lock:
            self._looked_at[photo.name] = photo, looks
        return looks

    def keep_verdicts(self) -> None:
        """Write what was found out about photos that show the same."""
        for name in {first[:64] for first, _ in self.verdicts.keys() - self._written}:
            self._write_look(*self._looked_at[name])
        self._written = set(self.verdicts)

    def forget(self, paths: Iterable[Path]) -> int:
        """Delete what is kept of these photos.

        Returns:
            Of how many photos there was something.

        Raises:
            HimeError: a photo cannot be read, or a file cannot be deleted.
        """
        names = {Identity.of(path).name for path in paths}
        return _delete(path for path in self._files() if path.name[:64] in names)

    def forget_all(self) -> int:
        """Delete everything that is kept.

        Returns:
            Of how many photos there was something.

        Raises:
            HimeError: a file cannot be deleted.
        """
        count = _delete(self._files())
        _delete(self.folder.glob(".hime-*"))  # of processes that were killed
        with contextlib.suppress(OSError):  # something else is in it, or it is not there
            self.folder.rmdir()
        return count

    # ------------------------------------------------------------------------------------------- looks

    def _kept(self, path: Path, photo: Identity) -> list[Look] | None:
        """What is kept of a photo; None if there is nothing, or not all of it."""
        content = self._read(f"{photo.name}.look", photo)
        if content is None:
            return None
        try:
            tensors = load(content)
            looks = [self._with_key(look, photo, number) for number, look in enumerate(_looks(path, tensors))]
            verdicts = _verdicts(photo, tensors)
        except (SafetensorError, KeyError, ValueError, TypeError, UnicodeError):
            return None
        files = [f"{photo.name}.look", *(f"{look.key}.crop" for look in looks if look.problem is None)]
        if not all(_use(self.folder / file, note=not self.read_only) for file in files):
            return None
        self.verdicts |= verdicts
        self._written |= set(verdicts)
        return looks

    def _keep(self, photo: Identity, looks: Sequence[Look]) -> Sequence[Look]:
        """Write what was learned of a photo; its looks, whose headshots then lie there."""
        for number, look in enumerate(looks):
            if look.problem is None:
                buffer = io.BytesIO()
                PIL.Image.fromarray(look.crop).save(buffer, "PNG", compress_level=1)
                if not self._write(f"{photo.name}-{number}.crop", buffer.getvalue(), photo):
                    return looks
        keyed = [self._with_key(look, photo, number) for number, look in enumerate(looks)]
        return keyed if self._write_look(photo, keyed) else looks

    def _write_look(self, photo: Identity, looks: Sequence[Look]) -> bool:
        own = {pair: same for pair, same in self.verdicts.items() if pair[0][:64] == photo.name}
        return self._write(f"{photo.name}.look", save(_tensors(looks, own)), photo)

    def _with_key(self, look: Look, photo: Identity, number: int) -> Look:
        picture = partial(self._crop, look.path, photo, number)
        return replace(look, key=f"{photo.name}-{number}", picture=picture)

    def _crop(self, path: Path, photo: Identity, number: int) -> Image:
        """A headshot that was kept; if it is no longer, or damaged, cut out of the photo anew.

        Raises:
            HimeError: and the photo has gone or changed.
        """
        content = self._read(f"{photo.name}-{number}.crop", photo)
        with contextlib.suppress(OSError, ValueError, SyntaxError):  # as Pillow says that it is no picture
            if content is not None:
                picture = PIL.Image.open(io.BytesIO(content), formats=["PNG"])
                if picture.mode == "RGB" and max(picture.size) <= MAXIMUM_SIDE:
                    return np.array(picture)
        looks = look_at(path) if _is_still(path, photo) else []
        if number >= len(looks):
            raise HimeError(f"{path}: what was kept of it is gone, and it has changed; run the command again")
        self._keep(photo, looks)
        return looks[number].crop

    # ------------------------------------------------------------------------------------------- files

    def _read(self, file: str, photo: Identity) -> bytes | None:
        try:
            with open_file(self.folder / file) as opened:
                if os.fstat(opened.fileno()).st_size > LARGEST_FILE:
                    return None
                sealed = opened.read()
        except (HimeError, OSError):
            return None
        return unseal(sealed, photo.key(_made_with()))

    def _write(self, file: str, content: bytes, photo: Identity) -> bool:
        """Whether it could be written; that it could not is said once."""
        if self.read_only:
            return False
        path, sealed = self.folder / file, seal(content, photo.key(_made_with()))
        try:
            path.unlink(missing_ok=True)  # whose mode it would keep
            write_atomically(path, lambda temporary: temporary.write_bytes(sealed), mode=0o600, lasting=False)
        except (HimeError, OSError) as error:
            self._give_up(str(error))
            return False
        return True

    def _ready(self) -> bool:
        """Whether there is a folder that nobody but the user can look into, to be written to."""
        if self.read_only:
            return False
        if self._is_ready is None:
            self._is_ready = True
            try:
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                status = self.folder.lstat()
                if not stat.S_ISDIR(status.st_mode):
                    self._give_up("it is no folder")
                elif hasattr(os, "geteuid") and status.st_uid != os.geteuid():
                    self._give_up("it is somebody else's")
                else:
                    self.folder.chmod(0o700)
            except OSError as error:
                self._give_up(reason_of(error))
        return self._is_ready

    def _give_up(self, reason: str) -> None:
        if self._is_ready:
            log.warning("%s: nothing is kept of photos there (%s); see %s", self.folder, reason, VARIABLE)
        self._is_ready = False

    def _files(self) -> Iterator[Path]:
        """The files of the cache, and nothing else that may be in the folder."""
        with contextlib.suppress(OSError):
            yield from (path for path in self.folder.iterdir() if _FILE.fullmatch(path.name))

    def _tidy(self) -> None:
        """Delete what has not been used for long, and the oldest of too much."""
        now, room = time.time(), MOST_BYTES
        with contextlib.suppress(OSError):  # another process tidies too
            files = [(path, path.lstat()) for path in self._files()]
            for path, status in sorted(files, key=lambda each: -each[1].st_mtime):
                room -= status.st_size
                if room < 0 or now - status.st_mtime > DAYS * 86_400:
                    path.unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------- contents


@cache
def _made_with() -> bytes:
    """A digest of all that a look depends on but the photo."""
    versions = [hime.__version__, np.__version__, PIL.__version__, opencv().__version__]
    limits = [FORMAT, SMALLEST_FACE, MOST_FACES, MAXIMUM_SIDE, LOOK_SIDE, SMALL_SIDE]
    digest = hashlib.sha256(repr([versions, limits]).encode())
    for network in (DETECTOR, embedder_path()):
        digest.update(hashlib.sha256(network.read_bytes()).digest())
    return digest.digest()


def _tensors(looks: Sequence[Look], verdicts: dict[tuple[str, str], bool]) -> dict[str, npt.NDArray[Any]]:
    pairs = list(verdicts.items())[-MOST_VERDICTS:]
    text = "\n".join(f"{first} {second} {same:d}" for (first, second), same in pairs)
    return {
        "numbers": np.array([getattr(look, name) for look in looks for name in _NUMBERS]).reshape(
            -1, len(_NUMBERS)
        ),
        "embeddings": np.array([look.embedding for look in looks], np.float32),
        "small": np.array([look.small for look in looks], np.float32),
        "verdicts": np.frombuffer(text.encode(), np.uint8),
    }


def _looks(path: Path, tensors: dict[str, npt.NDArray[Any]]) -> list[Look]:
    """The looks, without key and headshot.

    Raises:
        KeyError, ValueError: they are none.
    """
    numbers, embeddings, small = tensors["numbers"], tensors["embeddings"], tensors["small"]
    count = len(numbers)
    if count == 0:
        return []
    shapes = (numbers.shape, embeddings.shape, small.shape)
    if shapes != ((count, len(_NUMBERS)), (count, 128), (count, SMALL_SIDE, SMALL_SIDE)):
        raise ValueError("other shapes")
    if count > MOST_FACES or not all(np.isfinite(values).all() for values in (numbers, embeddings, small)):
        raise ValueError("no numbers")
    if not (np.abs(np.linalg.norm(embeddings, axis=1) - 1) < 1e-3).all():
        raise ValueError("embeddings that are not of length 1")
    looks = []
    for row, embedding, luminance in zip(numbers, embeddings, small, strict=True):
        side, yaw, sharpness, lights, white, x, y = map(float, row)
        vectors = embedding.astype(np.float32), luminance.astype(np.float32)
        picture = np.zeros((0, 0, 3), np.uint8)
        looks.append(Look(path, side, yaw, vectors[0], sharpness, lights, white, x, y, vectors[1], picture))
    return looks


def _verdicts(photo: Identity, tensors: dict[str, npt.NDArray[Any]]) -> dict[tuple[str, str], bool]:
    verdicts = {}
    for line in tensors["verdicts"].tobytes().decode("ascii").splitlines():
        first, second, same = line.split(" ")
        if not (_KEY.fullmatch(first) and _KEY.fullmatch(second) and first[:64] == photo.name):
            raise ValueError("no verdict")
        verdicts[first, second] = same == "1"
    return verdicts


def _is_still(path: Path, photo: Identity) -> bool:
    try:
        return Identity.of(path) == photo
    except HimeError:
        return False


def _use(path: Path, *, note: bool) -> bool:
    """Note that a file was used today, if it is to be noted; whether it is there."""
    try:
        if time.time() - path.stat().st_mtime > 3600 and note:
            os.utime(path)
    except OSError:
        return False
    return True


def _delete(paths: Iterable[Path]) -> int:
    """Of how many photos there were files."""
    names = set()
    for path in paths:
        try:
            path.unlink()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise HimeError(f"{path}: cannot be deleted ({reason_of(error)}); delete it by hand") from None
        names.add(path.name[:64])
    return len(names)
