"""A Ray of the tests, photographs to restore, and an object store: real ones, each started once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ray_job import contents

from hime.pictures.arrays import resize
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from integration.command_line import run

BUCKET = "archive"


def photograph(person: Path, number: int) -> np.ndarray:
    """A small photograph of a person, of which no two are the same."""
    image = np.full((100, 100, 3), (180, 170, 150), np.uint8)
    image[10:90, 10:90] = resize(read_image(person / "0.webp"), 80, 80)
    image[:4, :4] = number
    return image


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory, demo_people: Path) -> Path:
    """A folder of twelve photographs of two people, some of them in a folder of their own, and no picture."""
    folder = tmp_path_factory.mktemp("archive") / "photos"
    for number in range(12):
        name = f"{'later/' * (number % 3 == 0)}{number:02}.png"
        write_image(folder / name, photograph(demo_people / ("ada", "ben")[number % 2], number))
    (folder / "05.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory, demo_people: Path) -> Path:
    """A folder of two people with two photos each."""
    people = tmp_path_factory.mktemp("people")
    for name in ("ada", "ben"):
        (people / name).mkdir()
        for number in (1, 2):
            shutil.copy(demo_people / name / f"{number}.webp", people / name)
    return people


@pytest.fixture(scope="session")
def plain(
    photos: Path, people: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """What the plain loop makes of the photographs: name → content."""
    out = tmp_path_factory.mktemp("plain")
    assert run("restore", photos, "--refs", people, "--out", out, "--model", tiny_model) == 1  # no picture
    return contents(out)


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """The URL of a bucket in a server of S3 on this machine."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_of = pytest.importorskip("moto.server", reason="moto is not installed")
    import fsspec

    server = server_of.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir(BUCKET)
        yield f"s3://{BUCKET}"
    server.stop()


@pytest.fixture(scope="session")
def ray_address(object_store: str) -> Iterator[str]:
    """The address of a Ray with two processors, in whose environment the object store is."""
    ray = pytest.importorskip("ray", reason="Ray is not installed (extra cluster)")
    from hime.cluster.engine import Pool, connected

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with connected(Pool(concurrency=2)):
            yield str(ray.get_runtime_context().gcs_address)
