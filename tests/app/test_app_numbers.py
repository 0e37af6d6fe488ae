"""The worker gives what Python gives: headshots, photographs, pictures as they are read."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageCms
import PIL.ImageFilter
import PIL.ImageOps
import pytest
from in_browser import (
    CHROMIUM,
    FLAGS,
    WITHIN,
    engine_page,
    largest_difference,
    needs_browser,
    one_face,
    packed,
    person,
    run,
    unpacked,
)

from hime import cli
from hime.faces.album import read_person
from hime.pictures.reading import read_image
from hime.restoring.card import read_card
from hime.restoring.detail import measure
from hime.restoring.exported import PRETRAINED
from hime.tools.serve import PAGE_MODEL

pytestmark = needs_browser


@pytest.mark.parametrize(
    ("model", "size", "references", "fidelity"),
    [
        ("small-x4", (32, 32), (1, 2, 3), None),
        ("small-x4", (21, 33), (2, 5), None),
        ("small-x4", (32, 32), (), None),
        ("small-x8", (16, 16), (1, 2), None),
        ("small-x4-p", (32, 32), (1, 2), 0.4),
        ("small-x8-p", (16, 16), (1, 2), 1.0),
    ],
)
def test_headshot_equals_python(
    engine: Any,
    demo_people: Path,
    tmp_path: Path,
    model: str,
    size: tuple[int, int],
    references: tuple[int, ...],
    fidelity: float | None,
) -> None:
    engine("([model, fidelity]) => call('open', model, fidelity ?? undefined)", [model, fidelity])
    lr, photos = headshots(tmp_path, demo_people, size, references)
    dial = [] if fidelity is None else ["--fidelity", str(fidelity)]
    assert restored_as_by_python(engine, tmp_path, lr, photos, "--model", model, *dial)


@pytest.mark.parametrize(
    ("dark", "light"), [((0, 0, 0), (255, 255, 255)), ((30, 20, 12), (255, 237, 204))], ids=["grey", "sepia"]
)
def test_headshot_of_one_hue_keeps_it(
    engine: Any, demo_people: Path, tmp_path: Path, dark: tuple[int, ...], light: tuple[int, ...]
) -> None:
    engine("() => call('open', 'small-x8-p')")
    lr, photos = headshots(tmp_path, demo_people, (16, 16), (1, 2))
    PIL.ImageOps.colorize(PIL.Image.open(lr).convert("L"), dark, light).save(lr)
    restored, _ = restored_in_page(engine, lr, photos)
    if dark == (0, 0, 0):
        assert np.ptp(restored, axis=2).max() == 0
    run("restore", lr, "--refs", *photos, "--aligned", "--model", "small-x8-p", "--out", tmp_path / "out.png")
    assert largest_difference(restored, read_image(tmp_path / "out.png")) <= WITHIN


def damaged(folder: Path, demo_people: Path) -> list[Path]:
    """Demo people at several sizes: as they are, blurred, noisy, compressed, not square, and of one level."""
    files = [folder / "flat.png"]
    PIL.Image.new("RGB", (40, 40), (200, 120, 90)).save(files[0])
    noise = np.random.default_rng(0)
    for name, side in (("ada", 128), ("ben", 300), ("eva", 57)):
        face = PIL.Image.open(demo_people / name / "0.webp").convert("RGB").resize((side, side))
        files.append(folder / f"{name}.png")
        face.crop((0, 0, side, side - side // 5)).save(files[-1])
        for blur in (1, 2, 5):
            files.append(folder / f"{name}-blurred-{blur}.png")
            face.filter(PIL.ImageFilter.GaussianBlur(blur * side / 256)).save(files[-1])
        files.append(folder / f"{name}-noisy.png")
        levels = np.asarray(face) + noise.normal(0, 20, (side, side, 3))
        PIL.Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(files[-1])
        files.append(folder / f"{name}-compressed.png")
        face.save(folder / "compressed.jpg", quality=15)
        PIL.Image.open(folder / "compressed.jpg").save(files[-1])
    return files


def test_detail_equals_python(engine: Any, demo_people: Path, tmp_path: Path) -> None:
    sides = []
    for file in damaged(tmp_path, demo_people):
        found = engine("async (file) => call('measure', await image(file))", packed(file))
        expected = measure(read_image(file))
        assert found["side"] == pytest.approx(expected.side, rel=1e-3), file.name
        assert found["noise"] == pytest.approx(expected.noise, rel=1e-3), file.name
        assert found["blocks"] == pytest.approx(expected.blocks, abs=1e-4), file.name
        sides.append(expected.side)
    assert min(sides) < 20
    assert max(sides) > 90


def headshots(
    folder: Path, demo_people: Path, size: tuple[int, int], references: tuple[int, ...]
) -> tuple[Path, list[Path]]:
    """A demo person's headshot of that size, and those photos."""
    lr = folder / "lr.png"
    headshot = PIL.Image.open(demo_people / "ada" / "0.webp").convert("RGB")
    headshot.resize(size, PIL.Image.Resampling.BICUBIC).save(lr)
    photos = []
    for number in references:
        photos.append(folder / f"{number}.png")
        PIL.Image.open(demo_people / "ada" / f"{number}.webp").convert("RGB").save(photos[-1])
    return lr, photos


def restored_as_by_python(
    evaluate: Callable[..., Any], folder: Path, lr: Path, photos: list[Path], *options: str
) -> bool:
    """Whether the model that is open gives what `hime restore --aligned` gives with these options."""
    refs = ["--refs", *photos] if photos else []
    run("restore", lr, *refs, "--aligned", *options, "--out", folder / "out.png")
    restored, shares = restored_in_page(evaluate, lr, photos)
    same = largest_difference(restored, read_image(folder / "out.png")) <= WITHIN
    return same and len(shares) == len(photos)


def restored_in_page(
    evaluate: Callable[..., Any], lr: Path, photos: list[Path]
) -> tuple[np.ndarray, list[float]]:
    """The headshot, and what each photo gave, by the model that is open."""
    png, shares = evaluate(
        """async ([lr, references]) => {
          const photos = await Promise.all(references.map(image));
          const { image: restored, shares } = await call("restoreHeadshot", await image(lr), photos);
          const again = await call("restoreHeadshot", await image(lr), null); // with the photos of before
          if (String(again.shares) !== String(shares)) throw new Error("other photos than before");
          return [await png(restored), shares];
        }""",
        [packed(lr), [packed(photo) for photo in photos]],
    )
    return unpacked(png), shares


def test_graphics_card_gives_the_same(driver: Any, address: str, demo_people: Path, tmp_path: Path) -> None:
    """WebGPU, here computed by the processor, so that it is taken only by a slowing clock."""
    flags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
    page = engine_page(browser, address)
    page.workers[0].evaluate(
        "() => { let [now, step] = [0, 1024]; performance.now = () => (now += step *= 0.9); }"
    )
    page.evaluate("call('open', 'small-x8')")
    told = page.evaluate(
        """async () => {
          for (const start = Date.now(); runsOn.length < 2 && Date.now() < start + 120_000; )
            await new Promise((resolve) => setTimeout(resolve, 50));
          return runsOn.at(-1);
        }"""
    )
    assert told.startswith("Runs on the graphics card: the same results")
    lr, photos = headshots(tmp_path, demo_people, (16, 16), (1,))  # shapes of the trial: ready for them
    assert restored_as_by_python(page.evaluate, tmp_path, lr, photos, "--model", "small-x8")
    browser.close()


def several_faces(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """Three people, of whom the second is wanted; rendered Ben is too like her to be somebody else."""
    picture = PIL.Image.new("RGB", (330, 120), (120, 110, 90))
    for number, (name, side) in enumerate((("carl", 70), ("ada", 48), ("eva", 60))):
        face = PIL.Image.open(demo_people / name / "0.webp").convert("RGB").resize((side, side))
        picture.paste(face, (20 + 105 * number, 30))
    picture.save(folder / "several.png")
    return folder / "several.png", person(folder, "ada", demo_people)


def many_photos(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """Ada, and more photos of her than are used."""
    picture = PIL.Image.new("RGB", (120, 120), (120, 110, 90))
    picture.paste(PIL.Image.open(demo_people / "ada" / "2.webp").convert("RGB").resize((56, 56)), (30, 30))
    picture.save(folder / "small.png")
    return folder / "small.png", sorted((demo_people / "ada").glob("*.webp"))


def real_photo(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """A photograph made small, and others of the same person as they are."""
    if shared is None:
        pytest.skip("no shared folder of photographs: set HIME_SHARED")
    photos = shared / "photos" / "lisa"
    small = PIL.Image.open(photos / "lisa1.jpg").convert("RGB")
    small.resize((96, 128), PIL.Image.Resampling.BICUBIC).save(folder / "lisa.png")
    return folder / "lisa.png", [photos / f"lisa{number}.jpg" for number in (2, 3)]


def real_group(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """A photograph of several people, made small; other photos of one of them."""
    if shared is None:
        pytest.skip("no shared folder of photographs: set HIME_SHARED")
    source = shared / "photos" / "several_faces" / "7429_189620.jpg"
    group = PIL.Image.open(source).convert("RGB")
    group.resize((group.width // 4, group.height // 4), PIL.Image.Resampling.BICUBIC).save(
        folder / "group.png"
    )
    return folder / "group.png", sorted((shared / "photos" / "people" / "7429").glob("*.jpg"))[:2]


def blurred_face(folder: Path, demo_people: Path, shared: Path | None) -> tuple[Path, list[Path]]:
    """A face of 300 pixels that shows as much as one of 40 would, and another photo of the same person."""
    photos = demo_people.parent / "lisa"
    photo = PIL.Image.open(photos / "60cm.jpg").convert("RGB").resize((540, 720)).crop((50, 120, 490, 560))
    photo.filter(PIL.ImageFilter.GaussianBlur(3)).save(folder / "blurred.png")
    return folder / "blurred.png", [photos / "lisa2.jpg"]


@pytest.mark.parametrize(
    ("case", "strength", "beyond"),
    [
        (one_face, 1, 0),
        (one_face, 0.5, 0),
        (several_faces, 1, 0),
        (many_photos, 1, 0),
        (real_photo, 1, 0),
        (real_group, 1, 0),
        (
            blurred_face,
            1,
            1e-4,
        ),  # its second pass makes more of a level more or less in the first one's result
    ],
)
def test_photograph_equals_python(
    engine: Any,
    demo_people: Path,
    shared_if_any: Path | None,
    tmp_path: Path,
    case: Callable[..., Any],
    strength: float,
    beyond: float,
) -> None:
    """But for a share of ``beyond`` of the values, which differ by twice as much at the most."""
    picture, photos = case(tmp_path, demo_people, shared_if_any)
    asked = ["restore", picture, "--model", PAGE_MODEL, "--strength", str(strength), "--refs", *photos]
    run(*asked, "--crop", "--out", tmp_path / "face.png")
    run(*asked, "--out", tmp_path / "whole.png")
    faces, whole, rejected = engine(
        """async ([model, picture, photos, strength]) => {
          await call("open", model);
          await call("setReferences", []);
          const { references, rejected } = await call("readPhotos", photos.map(file));
          await call("setReferences", references);
          const key = Math.random();
          let [faces, isComplete] = [[], false];
          const asked = [key, file(picture), null, { evenSharp: false, strength }];
          while (!isComplete) ({ faces, isComplete } = await call("restore", ...asked));
          const restored = faces.flatMap((face) => face.restored ? [face.restored] : []);
          const whole = await call("putBack");
          return [await Promise.all(restored.map(png)), await png(whole.image), rejected];
        }""",
        [PAGE_MODEL, packed(picture), [packed(photo) for photo in photos], strength],
    )
    assert rejected == []
    (face,) = faces
    for png, name in ((face, "face.png"), (whole, "whole.png")):
        found, expected = unpacked(png), read_image(tmp_path / name)
        assert largest_difference(found, expected) <= (2 * WITHIN if beyond else WITHIN)
        assert (np.abs(found.astype(int) - expected) > WITHIN).mean() <= beyond


def test_face_that_is_sharp_for_its_size_stays(
    engine: Any, demo_people: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In the words of Python, which measured the same."""
    picture = demo_people.parent / "lisa" / "45cm.jpg"
    assert cli.main(["restore", str(picture), "--everyone", "--out", str(tmp_path)]) == 0
    told = "the face is sharp for its size (396 pixels with hair and neck)"
    assert told in capsys.readouterr().err
    with pytest.raises(Exception, match=re.escape(told)):
        engine(
            """async ([model, picture]) => {
              await call("open", model);
              await call("setReferences", []);
              for (const key = Math.random(); ; ) await call("restore", key, file(picture), null);
            }""",
            [PAGE_MODEL, packed(picture)],
        )


def test_a_face_said_to_be_the_persons_that_is_hardly_like_them_is_told(
    engine: Any, demo_people: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Eva, said to be Lisa: in the words of Python, but that the page has no names."""
    picture, _ = several_faces(tmp_path, demo_people, None)
    photo = demo_people.parent / "lisa" / "lisa2.jpg"
    run("restore", picture, "--face", "3", "--refs", photo, "--out", tmp_path / "eva.png")
    told = re.search(r"hardly like .*", capsys.readouterr().err)
    assert told is not None
    warnings = engine(
        """async ([model, picture, photo]) => {
          await call("open", model);
          await call("setReferences", (await call("readPhotos", [file(photo)])).references);
          const key = Math.random();
          const { boxes } = await call("look", key, file(picture));
          const { faces } = await call("restore", key, file(picture), boxes[2]);
          return faces.map(({ warning }) => warning);
        }""",
        [PAGE_MODEL, packed(picture), packed(photo)],
    )
    number = re.compile(r"-?\d\.\d\d")
    assert warnings[:2] == [None, None]
    assert number.sub("", warnings[2]) == number.sub("", told[0].replace("lisa2", "the person"))
    assert float(number.findall(warnings[2])[0]) == pytest.approx(float(number.findall(told[0])[0]), abs=0.02)


def test_a_result_less_like_the_person_stays_where_the_milder_model_cannot_be_loaded(
    browser: Any, address: str, demo_people: Path, tmp_path: Path
) -> None:
    """Of many that anybody could be, and of their opposites, some are less like the result than the input."""
    picture, photos = one_face(tmp_path, demo_people, None)
    page = engine_page(browser, address)
    other = f"**/models/{read_card(PRETRAINED / PAGE_MODEL)['reconstruction']}/*"
    page.route(other, lambda route: route.abort())
    page.evaluate("model => call('open', model)", PAGE_MODEL)
    told: list[list[str | None]] = []
    for _ in range(2):
        told.append(
            page.evaluate(
                """async ([picture, ...photos]) => {
                  const { references } = await call("readPhotos", photos.map(file));
                  const told = [];
                  const anywhere = { left: 0, top: 0, width: 0, height: 0 };  // there is one face
                  for (const turn of [1, -1, 2, -2, 3, -3, 4, -4]) {
                    const somebody = { length: 128 };
                    const embedding = Float32Array.from(somebody, (_, place) => Math.sin(turn * place) / 8);
                    await call("setReferences", references.map((reference) => ({ ...reference, embedding })));
                    const { faces } = await call("restore", Math.random(), file(picture), anywhere);
                    told.push(faces[0].warning);
                  }
                  await call("setReferences", []);
                  return told;
                }""",
                [packed(picture), *map(packed, photos)],
            )
        )
        page.unroute(other)
    page.close()
    less = "less like the person than the input was"
    # Behind another warning where the face is hardly like that person too.
    kept, milder = ({text[text.index(less) :] for text in texts if text and less in text} for texts in told)
    assert kept == {f"{less}, and the milder model cannot be loaded: look at it with care"}
    assert milder
    assert all(text.startswith(f"{less}, so the milder result was taken") for text in milder)


@pytest.mark.parametrize(("sides", "calls"), [((110, 22), [1, 2]), ((22, 22), [2])])
def test_large_picture_gives_the_first_face_before_all_are_found(
    engine: Any, demo_people: Path, tmp_path: Path, sides: tuple[int, int], calls: list[int]
) -> None:
    """Of what is seen at a glance at once; where nothing is, the first answer is the whole one."""
    picture = PIL.Image.new("RGB", (2200, 1400), (120, 110, 90))
    for number, (name, side) in enumerate(zip(("ada", "ben"), sides, strict=True)):
        face = PIL.Image.open(demo_people / name / "0.webp").convert("RGB").resize((side, side))
        picture.paste(face, (300 + 1300 * number, 700))
    picture.save(tmp_path / "large.png")
    answers = engine(
        """async ([model, picture]) => {
          await call("open", model);
          await call("setReferences", []);
          const [key, answers] = [Math.random(), []];
          while (!answers.at(-1)?.isComplete) answers.push(await call("restore", key, file(picture), null));
          return answers.map(({ faces }) => faces.map(({ box, restored }) => [box.left, restored.width]));
        }""",
        [PAGE_MODEL, packed(tmp_path / "large.png")],
    )
    assert [len(faces) for faces in answers] == calls
    for (left, width), start, side in zip(answers[-1], (300, 1600), sides, strict=True):
        assert start - side / 2 < left < start + side
        assert width == pytest.approx(4 * side, rel=0.35)


def test_pictures_are_upright_and_in_srgb(engine: Any, demo_people: Path, tmp_path: Path) -> None:
    """As Python reads them, for every orientation of EXIF and with a profile that swaps red and blue."""
    upright = PIL.Image.open(person(tmp_path, "ada", demo_people)[0])
    turns = {
        2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        3: PIL.Image.Transpose.ROTATE_180,
        4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        5: PIL.Image.Transpose.TRANSPOSE,
        6: PIL.Image.Transpose.ROTATE_90,
        7: PIL.Image.Transpose.TRANSVERSE,
        8: PIL.Image.Transpose.ROTATE_270,
    }
    files = []
    for orientation in range(1, 9):
        exif = PIL.Image.Exif()
        exif[PIL.ExifTags.Base.Orientation] = orientation
        stored = upright.transpose(turns[orientation]) if orientation in turns else upright
        files.append(tmp_path / f"orientation{orientation}.jpg")
        stored.save(files[-1], quality=95, subsampling=0, exif=exif)
    profile = PIL.ImageCms.ImageCmsProfile(PIL.ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    files.append(tmp_path / "profile.png")
    PIL.Image.merge("RGB", upright.split()[::-1]).save(files[-1], icc_profile=swapped)
    for file in files:
        crop = engine(
            """async (photo) => {
              await call("setReferences", []);
              const { references } = await call("readPhotos", [file(photo)]);
              return png(references[0].crop);
            }""",
            packed(file),
        )
        (reference,) = read_person([file]).references
        assert reference.crop is not None
        assert largest_difference(unpacked(crop), reference.crop) <= WITHIN, file.name
