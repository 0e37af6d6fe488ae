"""A ComfyUI node: the faces of a picture restored with photos of the person.

Copy this file into ComfyUI's ``custom_nodes/`` and say ``pip install ".[faces]"`` in a clone, with the pip of
ComfyUI's environment.
The node is *hime/Restore faces with photos*. Photos of the person come as a batch (*references*: one size for
all, as ComfyUI has batches) or as a folder of files (*references_folder*); without both the faces are
restored without photos, which is less true to them. Runs on the processor.
"""

from __future__ import annotations

import contextlib
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch

import hime
from hime.errors import HimeError, NothingToRestore
from hime.pictures.formats import find_pictures
from hime.pictures.reading import Picture
from hime.restoring.exported import DEFAULT_PHOTO_MODEL
from hime.restoring.photo import fitting_enlargement

AS_THE_MODEL = "as the model"
REMEDIES = {
    "give a larger picture, or --aligned if it is the headshot alone": "give a larger picture",
    "; restore it all the same with --even-sharp": "",
    "restore strangers with --face N or --everyone": "switch on strangers to restore whoever it is",
    "say whose with --face": "give photos of them",
}
"""What hime advises by the options of its command line, and what the node can do instead."""


@lru_cache(maxsize=2)
def _restorer(model: str, _: str) -> hime.Restorer:
    return hime.load(model)


def _state(folder: str | None) -> str:
    """Of the files in a folder and its folders, and the pictures in those that are linked there: another one
    if any of them is; the same for what is no folder, or not known yet.
    """
    if not folder or not folder.strip() or not Path(folder.strip()).is_dir():
        return ""
    files = {path for path in Path(folder.strip()).rglob("*") if path.is_file()}
    with contextlib.suppress(HimeError):  # a folder that may not be read is told where it is used
        files.update(find_pictures(folder.strip()).pictures)  # follows links, which rglob does not
    found = [(str(path), path.stat()) for path in files]
    return str(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found))


def _arrays(images: torch.Tensor) -> list[np.ndarray]:
    """ComfyUI's IMAGE, B×H×W×C in [0, 1] with C from 3 on, as uint8 H×W×3."""
    values = images[..., :3].detach().cpu().float().clamp(0, 1) * 255
    return list(values.round().to(torch.uint8).numpy())


class HimeRestoreFaces:
    """Restores every picture of a batch; also tells what became of each face."""

    CATEGORY = "hime"
    FUNCTION = "restore"
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("image", "report")
    DESCRIPTION = "Restores small faces with photos of the same person (hime)."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI shows."""
        models = sorted(hime.available_models(), key=lambda name: (name != DEFAULT_PHOTO_MODEL, name))
        return {
            "required": {
                "image": ("IMAGE",),
                "model": (models,),
                "enlarge": ([AS_THE_MODEL, "1", "2", "4", "8"],),
                "strangers": ("BOOLEAN", {"default": False, "tooltip": "restore the other faces too"}),
            },
            "optional": {
                "references": ("IMAGE", {"tooltip": "photos of the person"}),
                "references_folder": (
                    "STRING",
                    {"default": "", "tooltip": "photos of the person as files"},
                ),
                "other_model": ("STRING", {"default": "", "tooltip": "a folder, or hf:OWNER/NAME@REVISION"}),
            },
        }

    @classmethod
    def IS_CHANGED(cls, references_folder: str | None = "", other_model: str | None = "", **_: Any) -> str:
        """What ComfyUI compares, beside the inputs, with the last time: the files that they name."""
        return _state(references_folder) + _state(other_model)

    def restore(
        self,
        image: torch.Tensor,
        model: str,
        enlarge: str,
        strangers: bool,
        references: torch.Tensor | None = None,
        references_folder: str = "",
        other_model: str = "",
    ) -> tuple[torch.Tensor, str]:
        """Restore.

        Args:
            image: B×H×W×C in [0, 1].
            model: a name.
            enlarge: by how much the sides grow.
            strangers: restore faces that are not the person's too; without photos all are.
            references: photos of the person, N×H×W×C in [0, 1].
            references_folder: photos of the person, also in its folders; used beside ``references``.
            other_model: taken instead of ``model``.

        Returns:
            B×sH×sW×3 in [0, 1], and a line a face. A picture without anything to restore is enlarged plainly.

        Raises:
            hime.HimeError: what cannot be used; ComfyUI shows the message.
        """
        other_model = other_model.strip()
        restorer = _restorer(other_model or model, _state(other_model))
        people = _people(references, references_folder)
        factor = restorer.scale if enlarge == AS_THE_MODEL else int(enlarge)
        results, report = [], []
        for number, array in enumerate(_arrays(image), start=1):
            try:
                restored = hime.restore_photo(
                    Picture(array), people, restorer, everyone=strangers or not people, enlargement=factor
                )
                results.append(restored.image)
                lines = [
                    f"{face.person or 'a face'}: {_advised(face.warning or face.status)}"
                    for face in restored.faces
                ]
            except NothingToRestore as error:
                fitting = fitting_enlargement(array.shape[:2], factor)  # as of the pictures beside it
                height, width = (fitting * side for side in array.shape[:2])
                plain = PIL.Image.fromarray(array).resize((width, height), PIL.Image.Resampling.LANCZOS)
                results.append(np.asarray(plain))
                lines = [_advised(str(error))]
            report += [f"picture {number}: {line}" for line in lines]
        report += [f"{name} is not used: {reason}" for person in people for name, reason in person.rejected]
        batch = torch.from_numpy(np.stack(results)).float() / 255
        return batch, "\n".join(report)


def _advised(message: str) -> str:
    """The message with the remedies that the node has."""
    for by_option, here in REMEDIES.items():
        message = message.replace(by_option, here)
    return message


def _people(references: torch.Tensor | None, folder: str) -> list[Any]:
    """The person, if there are photos: hime looks at files, so that the batch becomes some.

    Raises:
        hime.HimeError: none of the photos shows the person, so that no face could be known as theirs.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files: list[Path] = []
        for number, array in enumerate([] if references is None else _arrays(references), start=1):
            files.append(Path(temporary) / f"reference {number}.png")
            PIL.Image.fromarray(array).save(files[-1])
        if folder.strip():
            files.append(Path(folder.strip()))
        people = [hime.read_person(files, "the person")] if files else []
    for person in people:
        if person.embedding is None:
            reasons = [f"{name}: {reason}" for name, reason in person.rejected]
            more = [f"{len(reasons) - 3} more"] if len(reasons) > 3 else []
            told = "; ".join(reasons[:3] + more)
            raise HimeError(f"no photo shows the person ({told}); give others, or none to restore without")
    return people


NODE_CLASS_MAPPINGS = {"HimeRestoreFaces": HimeRestoreFaces}
NODE_DISPLAY_NAME_MAPPINGS = {"HimeRestoreFaces": "Restore faces with photos"}
