"""JPEGs written in strips are those written in one piece."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL.JpegImagePlugin import get_sampling
from test_colours import WIDE, display_p3
from test_picture import save

from hime.pictures import jpeg
from hime.pictures.jpeg import encode_jpeg
from hime.pictures.reading import read_picture
from hime.pictures.writing import write_picture

SMALL = 2_000
"""Pixels to a strip, so that small pictures have many."""


def decoded(content: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(content))
    picture.load()
    return picture


@given(
    height=st.integers(1, 400),
    width=st.integers(1, 130),
    grey=st.booleans(),
    coded=st.sampled_from(
        [{"quality": 95}, {"quality": 30}, {"qtables": [range(1, 65), range(3, 67)]}, {"progressive": True}]
    ),
    subsampling=st.sampled_from([0, 1, 2, None]),
)
def test_strips_are_the_picture(
    height: int, width: int, grey: bool, coded: dict[str, Any], subsampling: int | None
) -> None:
    random = np.random.default_rng(height * width)
    noise = PIL.Image.fromarray(random.integers(0, 256, (height, width, 3), np.uint8))
    picture = noise.convert("L") if grey else noise
    options = {**coded, "comment": b"hello", "dpi": (300, 300)}
    if subsampling is not None:
        options["subsampling"] = subsampling
    if grey and "qtables" in coded:
        options["qtables"] = coded["qtables"][:1]
    whole = io.BytesIO()
    picture.save(whole, "JPEG", **options)

    def rows(part: slice) -> PIL.Image.Image:
        return picture.crop((0, part.start, width, part.stop))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jpeg, "STRIP", SMALL)
        content = encode_jpeg(rows, (height, width), options)
    found, wanted = decoded(content), decoded(whole.getvalue())
    assert np.array_equal(found, wanted)
    assert found.info == wanted.info
    assert found.quantization == wanted.quantization
    assert get_sampling(found) == get_sampling(wanted)
    rows_of_a_strip = max(1, SMALL // (16 * width)) * 16
    strips = -(-height // rows_of_a_strip)
    restarts = sum(content.count(bytes([0xFF, 0xD0 + number])) for number in range(8))
    assert restarts == (0 if strips <= 2 or "progressive" in coded else strips - 1)


@pytest.mark.parametrize("alpha", [False, True])
def test_a_large_jpeg_keeps_its_colours_and_what_it_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alpha: bool
) -> None:
    image = PIL.Image.fromarray(np.tile(np.repeat(np.array([WIDE], np.uint8), 32, 1), (300, 1, 1)))
    if alpha:
        image.putalpha(PIL.Image.linear_gradient("L").resize(image.size))
    picture = read_picture(save(tmp_path / "a.png", image, "PNG", icc_profile=display_p3()))
    assert picture.beyond is not None
    whole = write_picture(tmp_path / "whole.jpg", picture.image, picture)
    monkeypatch.setattr(jpeg, "STRIP", SMALL)
    strips = write_picture(tmp_path / "strips.jpg", picture.image, picture)
    assert strips.stat().st_size != whole.stat().st_size  # it was in strips
    with PIL.Image.open(strips) as found, PIL.Image.open(whole) as wanted:
        assert found.info["icc_profile"] == wanted.info["icc_profile"]
        assert np.abs(np.asarray(found).astype(int) - np.asarray(wanted)).max() <= 3  # a half is rounded


def test_what_cannot_be_written_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "STRIP", SMALL)
    picture = PIL.Image.new("RGBA", (16, 900))
    with pytest.raises(OSError, match="RGBA"):
        encode_jpeg(lambda rows: picture.crop((0, rows.start, 16, rows.stop)), (900, 16), {})
