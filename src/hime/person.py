"""People as files: what a model needs of somebody's photos, without the photos.

    save_person("mum.person", read_person("mum/"), hime.load())
    mum = load_person("mum.person", restorer)          # as `hime.album.read_person` gives, without crops

A .person file is in the safetensors format. Its tensors: ``embedding`` (128), and for N references
``embeddings`` (N×128), ``qualities`` and ``yaws`` (N), all float32, and ``features/FIDELITY/SIDE`` (float16,
N×F×SIDE×SIDE), what the model makes of the references for LR headshots of SIDE×SIDE pixels, for each place
FIDELITY of its dial that was asked for (``none`` for a model without). Its metadata: ``format``, ``name``,
``references`` (the photos' file names, JSON), ``model`` and ``digest`` (of the graph and weights that made
the features).

It holds no picture, but it is biometric data: the embedding recognises the person, and with the model a
likeness can be made of the features. Keep it as you would keep the photos. Nothing else is stored anywhere:
who deletes the file has deleted it all.

The features of one size do not do for another, so all sizes are kept for faces up to 32 pixels, where
references give the most, and about every sixth above. In between, the next larger ones are resampled
(bicubically): over six people, that costs less than 0.01 dB. With steps as wide below 32 pixels it would cost
up to 0.07 dB of the 0.2 dB that the references give there, and with the largest size alone more than they
give. Half precision costs nothing (less than 0.001 dB). A reference takes 4.4 MB with 32 feature channels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hime.album import Person, Reference, choose_references
from hime.errors import HimeError
from hime.files import write_atomically
from hime.restorer import Backend, Restorer

FloatArray = npt.NDArray[np.float32]

FORMAT = "hime-person-1"
SUFFIX = ".person"
SIDES = (*range(16, 33), 36, 40, 44, 48, 56, 64, 80, 96, 112, 128)
"""LR sizes whose features are stored."""
MOST_REFERENCES = 12
"""References that are stored at most; more than are ever used at once, so that each pose has some."""
POSES = (0.0, -0.3, 0.3, -0.6, 0.6)
"""Yaws for which references are stored, in turn."""
EMBEDDING_SIZE = 128


@dataclass(frozen=True)
class _StoredReference:
    """A reference in a .person file, see `hime.restorer.Encoded`."""

    path: Path
    index: int

    def features(self, backend: Backend, height: int, width: int) -> FloatArray:
        """What the model made of the reference, for LR headshots of that size: F×H×W.

        Raises:
            HimeError: ``backend`` is another model, its dial stands elsewhere, or the file has gone.
        """
        with _open(self.path) as file:
            _check_model(self.path, file, backend)
            longest = max(height, width)  # as of a photo, the middle is used
            side = min((side for side in SIDES if side >= longest), default=SIDES[-1])
            stored = file.get_slice(_key(backend.fidelity, side))[self.index].astype(np.float32)
        if not np.isfinite(stored).all():
            raise _damaged(self.path, "values that are no numbers")
        if side != longest:
            bicubic, size = PIL.Image.Resampling.BICUBIC, (longest, longest)
            stored = np.stack(
                [np.asarray(PIL.Image.fromarray(channel).resize(size, bicubic)) for channel in stored]
            )
        top, left = (longest - height) // 2, (longest - width) // 2
        features: FloatArray = stored[:, top : top + height, left : left + width]
        return features


def save_person(path: Path | str, person: Person, restorer: Restorer) -> Path:
    """Store a person's references as the restorer's model encodes them, and the embedding.

    Of more than `MOST_REFERENCES`, those that cover the poses best. A model with a dial encodes them where it
    stands and at 1, the milder end that a doubtful result is replaced from.

    Args:
        path: the file to write.
        person: of photos.
        restorer: of an exported model; its references are replaced.

    Raises:
        HimeError: another ending, no usable photo, the person came from a .person file, the model is a
            training checkpoint, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise HimeError(f"{path}: people are kept in files that end in {SUFFIX}; choose another --out")
    chosen = _spread(person)
    crops = [reference.crop for reference in chosen if reference.crop is not None]
    if not crops or len(crops) < len(chosen) or person.embedding is None:
        raise HimeError(f"{person.name}: no photo that can be used; a {SUFFIX} file is made of photos")
    metadata = {
        "format": FORMAT,
        "name": person.name,
        "references": json.dumps([reference.name for reference in chosen], ensure_ascii=False),
        "model": restorer.name,
        "digest": _digest(restorer.card),
    }
    tensors: dict[str, npt.NDArray[Any]] = {
        "embedding": person.embedding,
        "embeddings": np.stack([reference.embedding for reference in chosen]),
        "qualities": np.array([reference.quality for reference in chosen], np.float32),
        "yaws": np.array([reference.yaw for reference in chosen], np.float32),
    }
    asked = restorer.fidelity
    for fidelity in [None] if asked is None else sorted({asked, 1.0}):
        if fidelity is not None:
            restorer.fidelity = fidelity
        restorer.set_references(crops)
        for side in SIDES:
            tensors[_key(fidelity, side)] = restorer.features(side, side).astype(np.float16)
    restorer.set_references([])
    if asked is not None:
        restorer.fidelity = asked
    return write_atomically(path, lambda temporary: save_file(tensors, temporary, metadata))


def load_person(path: Path | str, restorer: Restorer | None = None) -> Person:
    """Read a .person file.

    Args:
        path: what `save_person` wrote.
        restorer: the one it is to be used with; without, that is not looked at before the first restoration.

    Returns:
        The person, whose references hold no crop but what the model made of it.

    Raises:
        HimeError: missing, damaged, of another version, or made for another model than the restorer's.
    """
    path = Path(path)
    with _open(path) as file:
        metadata = file.metadata()
        names = json.loads(metadata["references"])
        tensors = {name: file.get_tensor(name) for name in ("embedding", "embeddings", "qualities", "yaws")}
        count = len(names)
        shapes = {
            "embedding": (EMBEDDING_SIZE,),
            "embeddings": (count, EMBEDDING_SIZE),
            "qualities": (count,),
            "yaws": (count,),
        }
        for name, shape in shapes.items():
            if tensors[name].shape != shape or not np.isfinite(tensors[name]).all():
                raise _damaged(path, f"{name} is not {'×'.join(map(str, shape))} numbers")
        if restorer is not None:
            _check_model(path, file, restorer.backend)
    references = tuple(
        Reference(
            name=str(name),
            crop=None,
            embedding=tensors["embeddings"][index],
            quality=float(tensors["qualities"][index]),
            yaw=float(tensors["yaws"][index]),
            encoded=_StoredReference(path, index),
        )
        for index, name in enumerate(names)
    )
    return Person(metadata["name"], references, (), tensors["embedding"])


def describe_person(path: Path | str) -> str:
    """What a .person file holds, as text.

    Raises:
        HimeError: as for `load_person`.
    """
    person = load_person(path)
    with _open(Path(path)) as file:
        model, places = file.metadata()["model"], _fidelities(file)
    dial = "" if places == ["none"] else f" at fidelity {' and '.join(places)}"
    lines = [
        f"{person.name}: made for {model}{dial}, {Path(path).stat().st_size / 1e6:.1f} MB, no picture",
        *(
            f"  {reference.name}: quality {reference.quality:.2f}, yaw {reference.yaw:+.2f}"
            for reference in person.references
        ),
        "biometric data: it recognises the person; delete the file and nothing is left",
    ]
    return "\n".join(lines)


def _spread(person: Person) -> list[Reference]:
    """The references to store: for each of the poses in turn the best that is left, in the album's order."""
    rankings = [choose_references(person, yaw, len(person.references)) for yaw in POSES]
    turns = [reference for turn in zip(*rankings, strict=True) for reference in turn]
    chosen = list(dict.fromkeys(turns))[:MOST_REFERENCES]
    return [reference for reference in person.references if reference in chosen]


def _key(fidelity: float | None, side: int) -> str:
    return f"features/{'none' if fidelity is None else f'{fidelity:g}'}/{side}"


def _fidelities(file: Any) -> list[str]:
    """Places of the dial whose features are there, in ascending order."""
    return sorted({key.split("/")[1] for key in file.keys() if key.startswith("features/")})  # noqa: SIM118


def _digest(card: dict[str, Any]) -> str:
    """Of all that the features depend on, but the dial.

    Raises:
        HimeError: the card is a training checkpoint's, without checksums.
    """
    checksums = card.get("sha256")
    if checksums is None:
        raise HimeError(
            f"{card['name']}: people are encoded for exported models; write one with `hime export`"
        )
    parts = [
        checksums["encode.onnx"],
        checksums["weights.bin"],
        card.get("reconstruction", {}).get("weights"),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _check_model(path: Path, file: Any, backend: Backend) -> None:
    metadata, name = file.metadata(), str(backend.card["name"])
    again = f"make it again from the photos with `hime person add --model {name}"
    if metadata["digest"] != _digest(backend.card):
        made_for = metadata["model"]
        another = "another version of it" if made_for == name else name
        raise HimeError(f"{path}: made for {made_for}, and this is {another}; {again}`")
    if _key(backend.fidelity, SIDES[0]) not in file.keys():  # noqa: SIM118
        places = " and ".join(_fidelities(file))
        raise HimeError(
            f"{path}: made for fidelity {places} of {name}, not {backend.fidelity:g}; "
            f"{again} --fidelity {backend.fidelity:g}`"
        )


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    """The file, of this version; whatever is wrong with it becomes a line."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            version = metadata.get("format")
            if version != FORMAT:
                found = f"version {version}, this program reads {FORMAT}" if version else f"no {SUFFIX} file"
                raise HimeError(f"{path}: {found}; make it again from the photos with `hime person add`")
            yield file
    except FileNotFoundError:
        raise HimeError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise HimeError(f"{path}: cannot be read ({error.strerror or error}); check the file") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, HimeError):
            raise
        raise _damaged(path, " ".join(str(error).split())) from error


def _damaged(path: Path, reason: str) -> HimeError:
    return HimeError(f"{path}: damaged ({reason}); make it again from the photos with `hime person add`")
