"""People as files: what a model needs of somebody's photos, without the photos.

    save_person("mum.person", read_person("mum/"), hime.load())
    mum = load_person("mum.person", restorer)          # as `read_person` gives, without crops

A .person file is in the safetensors format. Its tensors: ``embedding`` (128), and for N references
``embeddings`` (N×128), ``qualities`` and ``yaws`` (N), all float32, and ``features/DIGEST/SIDE`` (float16,
N×F×SIDE×SIDE), what a model makes of the references for LR headshots of SIDE×SIDE pixels, DIGEST being that
of the graph and weights that made it. Of a model with a dial both ends are there, so that the file serves
wherever the dial stands. Its metadata: ``format``, ``name``, ``references`` (the photos' file names) and
``models`` (the name of each DIGEST), both in JSON; and, which older files have not, ``contents``: in JSON
the SHA-256 of each photo's file, empty where it was not known, so that a picture is no reference for itself.

It holds no picture, but it is biometric data: the embedding recognises the person, and with the model a
likeness can be made of the features. So a new one is readable for its owner only. Keep it as you would keep
the photos. Who deletes the file has deleted what is in it; what is kept of the photos themselves is in
`hime.faces.cache`.

The features of one size do not do for another, so all sizes are kept for faces up to 32 pixels, where
references give the most, and about every sixth above. In between, the next larger ones are resampled
(bicubically): over six people, that costs less than 0.01 dB. With steps as wide below 32 pixels it would cost
up to 0.07 dB of the 0.2 dB that the references give there, and with the largest size alone more than they
give. Half precision costs nothing (less than 0.001 dB). A reference takes 4.4 MB a model with 32 feature
channels.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from safetensors.numpy import save

from hime.errors import HimeError
from hime.faces.album import Person, Reference
from hime.faces.matching import choose_references
from hime.files import write_atomically
from hime.pictures.arrays import FloatArray
from hime.restoring.card import GRAPHS, WEIGHTS
from hime.restoring.exported import Backend
from hime.restoring.inputs import digests
from hime.restoring.person_file import FORMAT, LONGEST_NAME, MOST_REFERENCES, SUFFIX, StoredFile, key
from hime.restoring.restorer import References, Restorer

SIDES = (*range(16, 33), 36, 40, 44, 48, 56, 64, 80, 96, 112, 128)
"""LR sizes whose features are stored."""
POSES = (0.0, -0.3, 0.3, -0.6, 0.6)
"""Yaws for which references are stored, in turn."""
SAME_FACE = 0.5
"""Cosine of a person's embedding to the mean of the stored references' at the least. It is that of all
photos, of which those stored are a choice: 0.9 where photos are as unlike as those of a person can be."""
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredReference(Reference):
    """A reference in a .person file: no picture, but its features (`hime.restoring.restorer.Encoded`).

    Attributes:
        file: the .person file.
        index: of the reference in it.
    """

    file: StoredFile
    index: int

    @property
    def for_restorer(self) -> Any:
        """What `hime.restoring.restorer.Restorer.set_references` takes: the reference itself."""
        return self

    def features(self, backend: Backend, height: int, width: int) -> FloatArray:
        """What the model made of the reference, for LR headshots of that size: F×H×W.

        Raises:
            HimeError: ``backend`` is another model, or the file was damaged meanwhile.
        """
        _check_model(self.file, backend, str(backend.card["name"]))
        longest = max(height, width)  # as of a photo, the middle is used
        side = min((side for side in SIDES if side >= longest), default=SIDES[-1])
        channels = int(backend.card["feature_channels"])
        stored = self.file.features(_digest(backend), channels, side, self.index).astype(np.float32)
        if not np.isfinite(stored).all():
            raise self.file.damaged("values that are no numbers")
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

    Of more than `MOST_REFERENCES`, those that cover the poses best. Of a model with a dial, both ends encode
    them, wherever it stands.

    Args:
        path: the file to write.
        person: of photos.
        restorer: of an exported model; its references are not touched.

    Raises:
        HimeError: another ending, a name that is too long, no usable photo, the person came from a .person
            file, the model is a training checkpoint or has a dial whose other end is missing, or it cannot be
            written.
    """
    path = Path(path)
    if path.suffix.lower() != SUFFIX:
        raise HimeError(f"{path}: people are kept in files that end in {SUFFIX}; choose another --out")
    check_name(person.name)
    chosen = _spread(person)
    crops = [reference.crop for reference in chosen if reference.crop is not None]
    if not crops or len(crops) < len(chosen) or person.embedding is None:
        raise HimeError(f"{person.name}: no photo that can be used; a {SUFFIX} file is made of photos")
    backends = [end for end in (restorer.backend, restorer.backend.reconstruction) if end is not None]
    models = {_digest(backend): str(backend.card["name"]) for backend in backends}
    contents = digests(reference.path for reference in chosen if reference.path is not None)
    metadata = {
        "format": FORMAT,
        "name": _letters(person.name),
        "references": json.dumps([_letters(reference.name) for reference in chosen], ensure_ascii=False),
        "models": json.dumps(models, ensure_ascii=False),
        "contents": json.dumps(
            ["" if reference.path is None else contents.get(reference.path, "") for reference in chosen]
        ),
    }
    tensors: dict[str, npt.NDArray[Any]] = {
        "embedding": person.embedding,
        "embeddings": np.stack([reference.embedding for reference in chosen]),
        "qualities": np.array([reference.quality for reference in chosen], np.float32),
        "yaws": np.array([reference.yaw for reference in chosen], np.float32),
    }
    references = References(crops)
    for backend in backends:
        for side in SIDES:
            tensors[key(_digest(backend), side)] = references.features(backend, side, side).astype(np.float16)
    content = save(tensors, metadata)
    return write_atomically(path, lambda temporary: temporary.write_bytes(content), mode=0o600)


def check_name(name: str) -> None:
    """Refuse a person's name for which a file has no room, before the work.

    Raises:
        HimeError: it is too long.
    """
    if len(name) > LONGEST_NAME:
        raise HimeError(
            f"{name[:20]}…: is a name of {len(name)} characters; choose one of at most {LONGEST_NAME}"
        )


def _letters(name: str) -> str:
    """A name with ``?`` for bytes of a file's name that are no letters: the format holds text."""
    return name.encode(errors="replace").decode()


def load_person(path: Path | str, restorer: Restorer | None = None) -> Person:
    """Read a .person file.

    Args:
        path: what `save_person` wrote.
        restorer: the one it is to be used with; without, that is not looked at before the first restoration.

    Returns:
        The person, whose references hold no crop but what the model made of it.

    Raises:
        HimeError: missing, damaged, of another version, or made for other models than the restorer needs
            where its dial stands.
    """
    file = StoredFile(Path(path))
    if restorer is not None:
        for backend in restorer.backends:
            _check_model(file, backend, restorer.name)
    embeddings, embedding, qualities, yaws = file.embeddings, file.embedding, file.qualities, file.yaws
    lengths = np.linalg.norm(np.vstack([embeddings, embedding]).astype(np.float64), axis=1)
    if not np.abs(lengths - 1).max() <= UNIT_TOLERANCE:  # also not a number
        raise file.damaged("embeddings that are not of length 1")
    mean = embeddings.sum(axis=0, dtype=np.float64)
    if not float(mean @ embedding) >= SAME_FACE * float(np.linalg.norm(mean)):
        raise file.damaged("the person's embedding is not that of the references")
    if not ((qualities >= 0) & (qualities <= 1)).all() or not (np.abs(yaws) <= 1).all():
        raise file.damaged("qualities or yaws out of their range")
    references = tuple(
        StoredReference(
            name=name,
            picture=None,
            embedding=embeddings[index],
            quality=float(qualities[index]),
            yaw=float(yaws[index]),
            content=file.contents[index] or None,
            file=file,
            index=index,
        )
        for index, name in enumerate(file.references)
    )
    return Person(file.name, references, (), embedding)


def stored_digest(person: Person) -> str:
    """A digest of the .person file that `load_person` read the person from, less the features themselves:
    those are what the models named in it make of the references named in it.
    """
    (file,) = {reference.file for reference in person.references if isinstance(reference, StoredReference)}
    return file.digest


def describe_person(path: Path | str) -> list[str]:
    """What a .person file holds, as lines of text.

    Raises:
        HimeError: as for `load_person`.
    """
    person, file = load_person(path), StoredFile(Path(path))
    return [
        f"{person.name}: made for {' and '.join(file.models.values())}, {file.size / 1e6:.1f} MB, no picture",
        *(
            f"  {reference.name}: quality {reference.quality:.2f}, yaw {reference.yaw:+.2f}"
            for reference in person.references
        ),
        "biometric data: it recognises the person; keep it as you would keep the photos",
    ]


def _spread(person: Person) -> list[Reference]:
    """The references to store: for each of the poses in turn the best that is left, in the album's order."""
    rankings = [choose_references(person, yaw, len(person.references)) for yaw in POSES]
    turns = [reference for turn in zip(*rankings, strict=True) for reference in turn]
    chosen = list(dict.fromkeys(turns))[:MOST_REFERENCES]
    return [reference for reference in person.references if reference in chosen]


def _digest(backend: Backend) -> str:
    """Of all that a model's features depend on.

    Raises:
        HimeError: it is a training checkpoint, without graphs.
    """
    checksums = backend.card.get("sha256", {})
    if not {GRAPHS[0], WEIGHTS} <= checksums.keys():
        raise HimeError(
            f"{backend.card['name']}: people are encoded for exported models; write one with `hime export`"
        )
    return hashlib.sha256(json.dumps([checksums[GRAPHS[0]], checksums[WEIGHTS]]).encode()).hexdigest()


def _check_model(file: StoredFile, backend: Backend, model: str) -> None:
    """Refuse a file without features of ``backend``, which is ``model`` or the other end of its dial."""
    digest, name = _digest(backend), str(backend.card["name"])
    if digest not in file.models:
        another = f"another version of {name}" if name in file.models.values() else name
        raise HimeError(
            f"{file.path}: made for {' and '.join(file.models.values())}, and this is {another}; "
            f"make it again from the photos with `hime person add --model {model}`"
        )
    file.expect_features(digest, int(backend.card["feature_channels"]), SIDES)
