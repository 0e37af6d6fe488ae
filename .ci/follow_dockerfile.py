"""Follows the Dockerfile where Docker is missing: its steps in a folder and a virtual environment.

``FROM python`` becomes the environment, ``COPY`` and ``RUN pip`` are done in it, ``USER`` becomes a user
without rights where we are root; then the entry point is tried as a user would (`first_steps.py`), cut off
from the network by `unshare`. A step that it does not know is an error. Linux only.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
NOBODY = 65534


def steps(dockerfile: Path) -> list[tuple[str, str]]:
    """Instruction and what follows it."""
    text = dockerfile.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def copy(arguments: str, root: Path) -> None:
    """``COPY``: patterns below the repository into a folder of the image."""
    *patterns, target = arguments.split()
    folder = root / target.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in patterns:
        found = list(REPOSITORY.glob(pattern))
        if not found:
            raise SystemExit(f"COPY {pattern}: there is none; say make wheel")
        for path in found:
            shutil.copy(path, folder)


def follow(root: Path) -> tuple[list[str], dict[str, str], str]:
    """Do the steps; the entry point, the environment and the user it ends with."""
    environment = {**os.environ, "PATH": f"{root / 'venv' / 'bin'}:{os.environ['PATH']}", "HOME": str(root)}
    environment.pop("PYTHONPATH", None)
    entry, user = [], "root"
    for instruction, value in steps(REPOSITORY / "Dockerfile"):
        print(instruction, value, flush=True)
        if instruction == "FROM" and value.startswith("python:"):
            venv.create(root / "venv", with_pip=True)
        elif instruction == "COPY":
            copy(value, root)
        elif instruction == "RUN" and value.startswith("useradd "):
            print("  (a user without rights stands for it)")
        elif instruction == "RUN":
            subprocess.run(["sh", "-ec", value.replace("/tmp/", f"{root}/tmp/")], env=environment, check=True)
        elif instruction == "ENV":
            name, _, text = value.partition("=")
            environment[name] = text
        elif instruction == "USER":
            user = value
        elif instruction == "ENTRYPOINT":
            entry = json.loads(value)
        elif instruction not in ("WORKDIR", "EXPOSE", "CMD"):
            raise SystemExit(f"Dockerfile: {instruction} {value}: this script does not know that step")
    return entry, environment, user


def main() -> None:
    """Follow, then try."""
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        entry, environment, user = follow(root)
        if user in ("", "root", "0"):
            raise SystemExit("Dockerfile: the image runs as root")
        photos = root / "photos"
        photos.mkdir()
        command = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--map-root-user", "--net"]
        if os.getuid() == 0:
            for folder in (root, photos):
                folder.chmod(0o777)
            command += ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        # That there is no network, and who runs it, is tried too: the rest proves nothing without.
        tried = (
            "import os, socket\n"
            f"assert os.getuid() != 0 or {os.getuid()} != 0, 'root'\n"
            "try: socket.create_connection(('1.1.1.1', 53), 3)\n"
            "except OSError: pass\n"
            "else: raise SystemExit('there is a network')"
        )
        subprocess.run([*command, "python", "-c", tried], env=environment, check=True)
        subprocess.run(
            [
                root / "venv" / "bin" / "python",
                REPOSITORY / ".ci" / "first_steps.py",
                "--folder",
                photos,
                *command,
                *entry,
            ],
            env=environment,
            check=True,
        )
        print("the image's steps work: without a network, as a user without rights")


if __name__ == "__main__":
    sys.exit(main())
