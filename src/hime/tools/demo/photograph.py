"""A whole photograph of Lisa, made small as messengers do, restored from her other photos."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from hime.data.people import LISA
from hime.errors import HimeError
from hime.evaluation.measures import Figures
from hime.faces import detect
from hime.faces.album import Person, read_person
from hime.faces.headshot import cut
from hime.files import write_atomically
from hime.pictures.arrays import Image, resize
from hime.pictures.reading import read_image, read_picture
from hime.pictures.sheet import contact_sheet
from hime.pictures.writing import write_image, write_picture
from hime.restoring.exported import DEFAULT_PHOTO_MODEL
from hime.restoring.face import RestoredFace
from hime.restoring.photo import restore_photo
from hime.restoring.restorer import load
from hime.tools.demo.likeness import Likeness, caption, table

PHOTO = "45cm"
"""Of her eight photos one whose gain is a little above the middle: see demo_people/README."""
HEAD = 40
"""Side in pixels of her headshot, with hair and neck, in the photograph that is given."""
QUALITY = 75
"""Of the JPEG that is given, with the colours halved: Pillow's default, and about what messengers send."""
SHOWN = 240
"""Side in pixels of the faces on the sheet."""
LABELS = ("enlarged", "restored without her photos", "restored with her photos")


@dataclass(frozen=True)
class _Compared:
    """The face of the photograph in all its forms, uint8 S×S×3 and as alike as ``figures`` say."""

    pictures: tuple[Image, Image, Image]
    figures: tuple[Figures, Figures, Figures]
    truth: Image


def restore_photograph(out: Path, photo: str = PHOTO) -> str:
    """Make one of Lisa's photographs small, restore it from the others, write it all and the sheet.

    Returns:
        How alike the face is, which photos helped, and the command that does the same.

    Raises:
        HimeError: no such photograph, ``out`` cannot be written to, or the extra ``faces`` is not installed.
    """
    photos = {path.stem: path for path in sorted(LISA.glob("*.jpg"))}
    if photo not in photos:
        raise HimeError(f"{photo}: no photo of Lisa is called so; there are {', '.join(photos)}")
    whole = read_image(photos.pop(photo))
    given = _make_small(whole, out / "given.jpg")
    person = read_person(_put(list(photos.values()), out / "lisa", photo), "lisa")

    restorer = load(DEFAULT_PHOTO_MODEL)
    picture = read_picture(given)
    result = restore_photo(picture, [person], restorer, explain=True)
    face = next(face for face in result.faces if face.restored is not None)
    write_picture(out / "restored.jpg", result.image, picture)
    likeness = Likeness()
    compared = _compare(face, whole, result.image.shape[:2], restorer.scale, likeness)
    sheet = write_image(out / "lisa.png", _sheet(face, compared))

    by_hand = ("hime", "restore", given, "--refs", out / "lisa", "--out", out / "by-hand.jpg")
    height, width = picture.image.shape[:2]
    return "\n".join(
        [
            f"Lisa, {photo}.jpg, made small ({width}×{height} pixels, head {len(face.lr)}; JPEG {QUALITY}) "
            f"and restored by {restorer.name}",
            *table(list(zip(LABELS, compared.figures, strict=True)), likeness.metrics),
            f"({likeness.explained()})",
            *_what_helped(face, person),
            f"{sheet} shows it; the same by hand:",
            f"  {shlex.join(map(str, by_hand))}",
        ]
    )


def _make_small(whole: Image, file: Path) -> Path:
    """Write the photograph so small that the headshot has `HEAD` pixels."""
    face = max(detect(whole), key=lambda face: face.frame.side)
    factor = HEAD / face.frame.side
    small = PIL.Image.fromarray(resize(whole, *(round(side * factor) for side in whole.shape[:2])))
    write_atomically(file, lambda path: small.save(path, "JPEG", quality=QUALITY))
    return file


def _put(photos: list[Path], folder: Path, without: str) -> Path:
    """Copy the photos to a folder; the one to be restored an earlier demo may have put there."""
    for photo in photos:
        write_atomically(folder / photo.name, partial(shutil.copyfile, photo))
    (folder / f"{without}.jpg").unlink(missing_ok=True)
    return folder


def _compare(
    face: RestoredFace, whole: Image, shape: tuple[int, ...], scale: int, likeness: Likeness
) -> _Compared:
    """The truth is the photograph as large as the result, its face cut out where the result's is."""
    assert face.restored is not None
    assert face.without is not None
    side = len(face.restored)
    truth = cut(resize(whole, *shape), face.frame.scaled(scale), side)
    enlarged = PIL.Image.fromarray(face.lr).resize((side, side), PIL.Image.Resampling.LANCZOS)
    pictures = (np.array(enlarged), face.without, face.restored)
    first, second, third = likeness(pictures, truth)
    return _Compared(pictures, (first, second, third), truth)


def _sheet(face: RestoredFace, compared: _Compared) -> Image:
    """Above the face in all its forms, below the photos that it was restored from."""

    def shown(image: Image, resampling: PIL.Image.Resampling) -> Image:
        return np.array(PIL.Image.fromarray(image).resize((SHOWN, SHOWN), resampling))

    bicubic = PIL.Image.Resampling.BICUBIC
    size = f"{len(face.lr)} × {len(face.lr)} pixels"
    forms = [(f"given\n{size}", shown(face.lr, PIL.Image.Resampling.NEAREST))]
    for label, image, figures in zip(LABELS, compared.pictures, compared.figures, strict=True):
        forms.append((f"{label}\n{caption(figures)}", shown(image, bicubic)))
    forms.append(("truth", shown(compared.truth, bicubic)))
    photos = [
        (f"her photo {name}\n{share:.0%} of the result", shown(crop, bicubic))
        for name, share, crop in zip(face.references, face.shares, face.crops, strict=True)
        if crop is not None
    ]
    return contact_sheet([forms, photos], text_size=15)


def _what_helped(face: RestoredFace, person: Person) -> list[str]:
    helped = ", ".join(
        f"{name} {share:.0%}" for name, share in zip(face.references, face.shares, strict=True)
    )
    left = ", ".join(f"{name}: {reason}" for name, reason in person.rejected)
    return [f"photos that helped: {helped}", *([f"not used: {left}"] if left else [])]
