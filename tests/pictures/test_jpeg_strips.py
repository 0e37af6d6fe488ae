"""A JPEG in strips holds what the whole one holds."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hime.pictures.jpeg_strips
from hime.pictures.jpeg import scan_jpeg
from hime.pictures.jpeg_strips import encode_in_strips


def decoded(content: bytes) -> np.ndarray:
    with PIL.Image.open(io.BytesIO(content)) as picture:
        return np.array(picture)


@given(
    st.integers(1, 400),
    st.integers(1, 90),
    st.sampled_from([16, 48, 64]),
    st.sampled_from(["RGB", "L"]),
    st.sampled_from([{}, {"subsampling": 0}, {"subsampling": 1}, {"subsampling": 2}]),
)
@settings(max_examples=80, deadline=None)
def test_strips_are_the_whole(
    height: int, width: int, rows: int, mode: str, sampling: dict[str, int]
) -> None:
    image = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    options: dict[str, Any] = {
        "quality": 90,
        "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0",
        "comment": b"a",
        **sampling,
    }

    def finished(part: np.ndarray) -> PIL.Image.Image:
        return PIL.Image.fromarray(part).convert(mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hime.pictures.jpeg_strips, "LONGEST", rows)
        content = encode_in_strips(image, finished, options)
    whole = io.BytesIO()
    finished(image).save(whole, "JPEG", **options)
    assert np.array_equal(decoded(content), decoded(whole.getvalue()))
    assert content.count(b"\xff\xe1") == whole.getvalue().count(b"\xff\xe1")
    assert scan_jpeg(content).end == len(content)
    with PIL.Image.open(io.BytesIO(content)) as one, PIL.Image.open(whole) as other:
        assert one.info == other.info


def test_the_widest_picture_there_is() -> None:
    """Where a strip of the usual height would hold more units than there may be between two markers."""
    image = np.random.default_rng(0).integers(0, 256, (100, 65_500, 3), np.uint8)
    content = encode_in_strips(image, PIL.Image.fromarray, {"quality": 20, "subsampling": 0})
    whole = io.BytesIO()
    PIL.Image.fromarray(image).save(whole, "JPEG", quality=20, subsampling=0)
    assert np.array_equal(decoded(content), decoded(whole.getvalue()))
