"""A wheel is what is to be published: pages, models, their terms, of this version, small, nothing else.

python .ci/check_wheel.py DIST [--tag vX.Y.Z]
"""

from __future__ import annotations

import argparse
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

LARGEST = 45_000_000
"""Bytes."""
NEEDED = (
    "hime/app/index.html",
    "hime/app/worker.js",
    "hime/app/faces/yunet.onnx",
    "hime/faces/yunet.onnx",
    "hime/pretrained/small-x4-real-p/weights.bin",
    "hime/pretrained/small-x4-real-p/README.md",
    "hime/py.typed",
)
FOREIGN = (".safetensors", ".pyc", ".ts", "/node_modules/", ".git")


def problems(wheel: Path, tag: str | None = None) -> list[str]:
    """What is wrong with a wheel, a line each."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        told = HeaderParser().parsestr(archive.read(metadata).decode("utf-8"))
    found = [f"{wheel.name}: lacks {name}; make wheel builds it" for name in NEEDED if name not in names]
    found += [f"{wheel.name}: holds {name}" for name in names if any(part in name for part in FOREIGN)]
    if wheel.stat().st_size > LARGEST:
        found.append(f"{wheel.name}: {wheel.stat().st_size} bytes, {LARGEST} at the most")
    if tag is not None and tag != f"v{told['Version']}":
        found.append(f"{wheel.name}: is version {told['Version']}, the tag says {tag}")
    if "LicenseRef" not in (told["License-Expression"] or ""):
        found.append(f"{wheel.name}: does not say that its weights have terms of their own")
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dist", type=Path)
    parser.add_argument("--tag")
    options = parser.parse_args()
    wheels = list(options.dist.glob("*.whl"))
    found = (
        problems(wheels[0], options.tag) if len(wheels) == 1 else [f"{options.dist}: {len(wheels)} wheels"]
    )
    print("\n".join(found) or f"{wheels[0].name}: {wheels[0].stat().st_size / 1e6:.1f} MB")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
