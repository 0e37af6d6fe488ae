"""The ComfyUI node, called as ComfyUI calls it, by what it says of itself, with pictures as it has them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

import hime
from hime.errors import HimeError

pytest.importorskip("cv2", reason="the extra faces is not installed")
NODE = Path(__file__).parents[2] / "integrations" / "comfyui" / "hime_node.py"
GROUND = (70, 90, 60)


@pytest.fixture(scope="module")
def custom_nodes() -> ModuleType:
    """Loaded by its path, as ComfyUI loads the files of ``custom_nodes/``."""
    spec = importlib.util.spec_from_file_location("custom_nodes.hime_node", NODE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def call(module: ModuleType, **inputs: Any) -> tuple[torch.Tensor, str]:
    """What ComfyUI does with a node: defaults of the widgets, the function by name, a value a return type."""
    node = module.NODE_CLASS_MAPPINGS["HimeRestoreFaces"]
    types = node.INPUT_TYPES()
    given = {}
    for name, (kind, *options) in {**types["required"], **types["optional"]}.items():
        if name in inputs:
            given[name] = inputs.pop(name)
        elif isinstance(kind, list):
            given[name] = kind[0]
        elif options and "default" in options[0]:
            given[name] = options[0]["default"]
    assert not inputs
    result = getattr(node(), node.FUNCTION)(**given)
    assert len(result) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    return result


def loaded(image: PIL.Image.Image) -> torch.Tensor:
    """As ComfyUI's node *Load Image* gives a picture: float32 1×H×W×3 in [0, 1]."""
    return torch.from_numpy(np.array(image.convert("RGB")).astype(np.float32) / 255.0)[None]


def face(demo_people: Path, name: str, number: int) -> PIL.Image.Image:
    with PIL.Image.open(demo_people / name / f"{number}.webp") as opened:
        return opened.convert("RGB")


def picture(demo_people: Path, name: str) -> PIL.Image.Image:
    canvas = PIL.Image.new("RGB", (170, 130), GROUND)
    canvas.paste(face(demo_people, name, 0).resize((44, 44)), (60, 40))
    return canvas


def photo(demo_people: Path, name: str, number: int) -> PIL.Image.Image:
    canvas = PIL.Image.new("RGB", (300, 260), (90, 100, 120))
    canvas.paste(face(demo_people, name, number), (80, 60))
    return canvas


@pytest.fixture
def references(demo_people: Path) -> torch.Tensor:
    return torch.cat([loaded(photo(demo_people, "ada", number)) for number in (1, 2, 3)])


def test_a_batch_is_restored_with_photos(
    custom_nodes: ModuleType, demo_people: Path, references: torch.Tensor
) -> None:
    given = torch.cat([loaded(picture(demo_people, "ada"))] * 2)
    kept = given.clone()
    restored, report = call(custom_nodes, image=given, references=references)
    assert restored.shape == (2, 4 * 130, 4 * 170, 3)
    assert restored.dtype == torch.float32
    assert 0 <= float(restored.min()) < float(restored.max()) <= 1
    assert torch.equal(given, kept)
    assert torch.equal(restored[0], restored[1])
    assert report.splitlines()[:2] == ["picture 1: the person: restored", "picture 2: the person: restored"]
    without, _ = call(custom_nodes, image=given[:1])
    assert float((restored[0] - without[0]).abs().max()) > 0.02  # the photos made the difference
    corner = restored[0, :40, :40]
    assert float((corner - torch.tensor(GROUND) / 255).abs().max()) < 0.01


def test_a_large_batch_in_which_one_has_no_face(
    custom_nodes: ModuleType, demo_people: Path, references: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above a size the enlargement is halved, of the picture that is enlarged plainly too."""
    monkeypatch.setattr("hime.restoring.photo.MAX_RESULT_PIXELS", 170 * 130 * 5)
    empty = torch.full((1, 130, 170, 3), 0.4)
    given = torch.cat([loaded(picture(demo_people, "ada")), empty])
    results, report = call(custom_nodes, image=given, references=references)
    assert results.shape == (2, 2 * 130, 2 * 170, 3)
    assert report.startswith("picture 1: the person: restored\npicture 2: no face found")


def test_photos_added_to_the_folder_are_noticed(custom_nodes: ModuleType, tmp_path: Path) -> None:
    changed = custom_nodes.NODE_CLASS_MAPPINGS["HimeRestoreFaces"].IS_CHANGED
    inputs = {"references_folder": f" {tmp_path} ", "other_model": "", "enlarge": "2"}
    empty = changed(**inputs)
    (tmp_path / "a.png").write_bytes(b"a")
    one = changed(**inputs)
    assert one == changed(**inputs)
    (tmp_path / "a.png").write_bytes(b"ab")
    assert len({empty, one, changed(**inputs), changed(references_folder="", other_model="hf:a/b")}) == 4
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026" / "b.png").write_bytes(b"b")
    assert changed(**inputs) not in (empty, one)
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    (tmp_path / "itself").symlink_to(tmp_path)
    assert changed(**inputs)
    assert changed(references_folder=None, other_model=None) == changed()  # of what another node will give


def test_photos_added_to_a_linked_folder_are_noticed(
    custom_nodes: ModuleType, demo_people: Path, tmp_path: Path
) -> None:
    changed = custom_nodes.NODE_CLASS_MAPPINGS["HimeRestoreFaces"].IS_CHANGED
    (tmp_path / "given").mkdir()
    (tmp_path / "album").mkdir()
    (tmp_path / "given" / "link").symlink_to(tmp_path / "album")
    empty = changed(references_folder=str(tmp_path / "given"))
    photo(demo_people, "ada", 1).save(tmp_path / "album" / "1.png")
    one = changed(references_folder=str(tmp_path / "given"))
    photo(demo_people, "ada", 2).save(tmp_path / "album" / "1.png")
    assert len({empty, one, changed(references_folder=str(tmp_path / "given"))}) == 3


def test_photos_come_from_a_folder_too(
    custom_nodes: ModuleType, demo_people: Path, references: torch.Tensor, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        photo(demo_people, "ada", number).save(tmp_path / f"reference {number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    given = loaded(picture(demo_people, "ada"))
    by_folder = call(custom_nodes, image=given, references_folder=str(tmp_path))
    by_batch = call(custom_nodes, image=given, references=references)
    assert torch.equal(by_folder[0], by_batch[0])
    assert by_folder[1] == by_batch[1]
    (tmp_path / "2026").mkdir()
    for path in tmp_path.glob("*.png"):
        path.rename(tmp_path / "2026" / path.name)
    below = call(custom_nodes, image=given, references_folder=f" {tmp_path} ")
    assert torch.equal(by_folder[0], below[0])
    assert by_folder[1] == below[1]


def test_a_folder_without_photos_is_refused(
    custom_nodes: ModuleType, demo_people: Path, references: torch.Tensor, tmp_path: Path
) -> None:
    """Also beside a batch; without the refusal everybody would be restored, and without photos."""
    (tmp_path / "notes.txt").write_text("no picture")
    given = loaded(picture(demo_people, "ada"))
    for more in ({}, {"references": references}):
        with pytest.raises(HimeError, match=f"{tmp_path}: no picture in it"):
            call(custom_nodes, image=given, references_folder=str(tmp_path), **more)


def test_photos_that_do_not_show_the_person_are_refused(
    custom_nodes: ModuleType, demo_people: Path, references: torch.Tensor
) -> None:
    """No face would be known as theirs, and the picture come back as if it were to blame."""
    given = loaded(picture(demo_people, "ada"))
    empty = torch.full((4, 260, 300, 3), 0.4)
    told = r"^no photo shows the person \(reference 1\.png: no face found; .*; 1 more\); give others, or none"
    for strangers in (False, True):
        with pytest.raises(HimeError, match=told):
            call(custom_nodes, image=given, references=empty, strangers=strangers)
    _, report = call(custom_nodes, image=given, references=torch.cat([empty[:1], references]))
    assert report.splitlines() == [
        "picture 1: the person: restored",
        "reference 1.png is not used: no face found",
    ]


def test_remedies_are_those_of_the_node(
    custom_nodes: ModuleType, demo_people: Path, references: torch.Tensor
) -> None:
    """Not options of the command line, which it does not have."""
    with PIL.Image.open(demo_people.parent / "lisa" / "45cm.jpg") as sharp:
        of_sharp = loaded(sharp)
    for inputs, told in (
        ({"image": torch.full((1, 130, 170, 3), 0.4)}, "no face found; give a larger picture"),
        (
            {"image": loaded(picture(demo_people, "carl")), "references": references},
            "its face is not the person; switch on strangers to restore whoever it is",
        ),
        (
            {"image": of_sharp, "enlarge": "1"},
            "nothing to restore: the face is sharp for its size (396 pixels with hair and neck)",
        ),
    ):
        _, report = call(custom_nodes, **inputs)
        assert report == f"picture 1: {told}"
    restoring = Path(hime.__file__).parent / "restoring"
    source = (restoring / "photo.py").read_text() + (restoring / "face.py").read_text()
    assert [remedy for remedy in custom_nodes.REMEDIES if remedy not in source] == []


def test_who_is_somebody_else_is_left(
    custom_nodes: ModuleType, demo_people: Path, references: torch.Tensor
) -> None:
    given = loaded(picture(demo_people, "carl"))
    left, report = call(custom_nodes, image=given, references=references, enlarge="2")
    assert "its face is not the person" in report
    assert left.shape == (1, 260, 340, 3)
    restored, report = call(custom_nodes, image=given, references=references, enlarge="2", strangers=True)
    assert report.splitlines()[0] == "picture 1: a face: restored"
    assert float((restored - left).abs().max()) > 0.02


def test_pictures_with_alpha_and_half_precision_are_taken(
    custom_nodes: ModuleType, demo_people: Path
) -> None:
    given = loaded(picture(demo_people, "ada"))
    with_alpha = torch.cat([given, torch.ones_like(given[..., :1])], dim=-1).half()
    restored, _ = call(custom_nodes, image=with_alpha)
    assert restored.shape[-1] == 3


def test_what_cannot_be_used_is_told(custom_nodes: ModuleType, demo_people: Path, tmp_path: Path) -> None:
    given = loaded(picture(demo_people, "ada"))
    with pytest.raises(HimeError, match="no such model"):
        call(custom_nodes, image=given, other_model=str(tmp_path / "none"))
    with pytest.raises(HimeError, match=f"^{tmp_path / 'none'}: no such model"):
        call(custom_nodes, image=given, other_model=f" {tmp_path / 'none'} ")
    with pytest.raises(HimeError, match="none"):
        call(custom_nodes, image=given, references_folder=str(tmp_path / "none"))
