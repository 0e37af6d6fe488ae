"""Restoring files: inputs and references from files and folders, results and reports to files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hime.errors import HimeError
from hime.files import write_atomically
from hime.images import SUFFIXES, Image, images_in, read_image, write_image
from hime.progress import track
from hime.restorer import Restoration, Restorer

MAX_LR_SIDE = 512
"""Longest side of an input in pixels: a small headshot. Memory and time grow with its area."""
OTHER_PICTURES = (".avif", ".bmp", ".gif", ".heic", ".jp2", ".tif", ".tiff")
"""Endings that mean a picture file, but one that is not written here: never taken for a folder's name."""


@dataclass(frozen=True)
class Summary:
    """What `restore_files` did: the files written, and a line for each that could not be used."""

    written: list[Path]
    failed: list[str]


def restore_files(
    restorer: Restorer,
    inputs: Sequence[Path | str],
    references: Sequence[Path | str],
    out: Path | str,
    *,
    report: bool = False,
    max_lr_side: int = MAX_LR_SIDE,
) -> Summary:
    """Restore every input with the same person's references.

    A file that cannot be used is told in the summary, and the others are done all the same. An input that
    is among the references too is not used as a reference for itself.

    Args:
        restorer: the model; its references are replaced.
        inputs: small headshots: picture files, and folders of them.
        references: photos of the person: picture files, and folders of them; none restores without.
        out: for one input file, the picture to write; otherwise a folder, for NAME.png of each input.
        report: write beside each result a JSON file of the same name: ``input``, ``output``, ``model``,
            ``fidelity`` (null without a dial), ``scale``, ``lr`` and ``hr`` (height, width),
            ``references`` (``file`` and ``share`` of each).
        max_lr_side: longest side of an input in pixels.

    Raises:
        HimeError: nothing can be done: a folder holds no picture, no reference can be read, or a result
            would overwrite an input or a reference or another result.
    """
    files = pictures(inputs)
    reference_files = pictures(references)
    outputs = _output_paths(inputs, files, Path(out))
    _refuse_overwriting(outputs, [*files, *reference_files])

    failed: list[str] = []
    photos: list[tuple[Path, Image]] = []
    for path in reference_files:
        try:
            photos.append((path, read_image(path)))
        except HimeError as error:
            failed.append(str(error))
    if reference_files and not photos:
        raise HimeError(f"none of the {len(reference_files)} references can be used; the first: {failed[0]}")

    written: list[Path] = []
    current: list[Path] | None = None
    for path, output in track(list(zip(files, outputs, strict=True)), restorer.name):
        try:
            lr = read_image(path)
            if max(lr.shape[:2]) > max_lr_side:
                raise HimeError(
                    f"{path}: {lr.shape[1]}×{lr.shape[0]} pixels is no small headshot (at most {max_lr_side} "
                    "a side); cut out the face, make it smaller, or raise --max-lr-side"
                )
            used = [(name, photo) for name, photo in photos if not name.samefile(path)]
            if [name for name, _ in used] != current:
                restorer.set_references([photo for _, photo in used])
                current = [name for name, _ in used]
            try:
                restored = restorer.restore(lr)
            except HimeError as error:
                raise HimeError(f"{path}: {error}") from error
            write_image(output, restored.image)
            if report:
                _write_report(restorer, path, output, lr, restored, current or [])
        except HimeError as error:
            failed.append(str(error))
        else:
            written.append(output)
    return Summary(written, failed)


def pictures(paths: Sequence[Path | str]) -> list[Path]:
    """Picture files of ``paths``: a folder stands for those in it, sorted by name; each file once.

    Raises:
        HimeError: a folder without any.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        files = images_in(path) if path.is_dir() else [path]
        if not files:
            raise HimeError(f"{path}: no picture in it ({', '.join(SUFFIXES)}); check the path")
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _output_paths(inputs: Sequence[Path | str], files: Sequence[Path], out: Path) -> list[Path]:
    suffix = out.suffix.lower()
    if suffix in (*SUFFIXES, *OTHER_PICTURES) and not out.is_dir():
        if len(inputs) > 1 or Path(inputs[0]).is_dir():
            raise HimeError(f"{out}: is one picture for {len(files)} inputs; give a folder as --out")
        if suffix in OTHER_PICTURES:
            raise HimeError(f"{out}: cannot write {suffix}; use one of {', '.join(SUFFIXES)}")
        return [out]
    if out.exists() and not out.is_dir():
        raise HimeError(f"{out}: is a file, not a folder; choose another --out")
    outputs = [out / f"{file.stem}.png" for file in files]
    output, times = Counter(outputs).most_common(1)[0]
    if times > 1:
        same = [str(file) for file, path in zip(files, outputs, strict=True) if path == output]
        raise HimeError(f"{' and '.join(same)} would both become {output}; restore them in two calls")
    return outputs


def _refuse_overwriting(outputs: Sequence[Path], sources: Sequence[Path]) -> None:
    read = {source.resolve() for source in sources}
    for output in outputs:
        if output.resolve() in read:
            raise HimeError(f"{output}: would overwrite what is read from there; choose another --out")


def _write_report(
    restorer: Restorer,
    source: Path,
    output: Path,
    lr: Image,
    restored: Restoration,
    references: Sequence[Path],
) -> None:
    report: dict[str, Any] = {
        "input": str(source),
        "output": str(output),
        "model": restorer.name,
        "fidelity": restorer.fidelity,
        "scale": restorer.scale,
        "lr": list(lr.shape[:2]),
        "hr": list(restored.image.shape[:2]),
        "references": [
            {"file": str(file), "share": round(share, 4)}
            for file, share in zip(references, restored.shares, strict=True)
        ],
    }
    write_json(output.with_suffix(".json"), report)


def write_json(path: Path | str, value: object) -> Path:
    """Write a value as JSON that is pleasant to read, whole or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    content = text.encode("utf-8", errors="replace")  # a file's name may hold bytes that are no letters
    return write_atomically(path, lambda temporary: temporary.write_bytes(content))
