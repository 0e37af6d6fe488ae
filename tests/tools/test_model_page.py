"""A model's page says what its card says, in the form of the Hub, and lies beside every released model."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from hime.cli import main
from hime.restoring.card import FILES, PAGE, read_card, trainings_of
from hime.restoring.exported import PRETRAINED
from hime.tools.export import export
from hime.tools.model_page import model_page

REPOSITORY = Path(__file__).parents[2]
RELEASED = sorted(
    card.parent for root in (PRETRAINED, REPOSITORY / "models") for card in root.glob("*/card.json")
)


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_every_released_model_has_the_page_of_its_card(folder: Path) -> None:
    page = (folder / PAGE).read_text(encoding="utf-8")
    told = f"hime info {folder.relative_to(REPOSITORY)} --readme > {folder.relative_to(REPOSITORY)}/{PAGE}"
    assert page == model_page(read_card(folder)), f"write it anew: {told}"


def test_the_card_of_small_x8_tells_all_that_its_weights_were_trained_on() -> None:
    """The first release, then 2,500 people on a GPU, then the same on a processor: docs/experiments.md."""
    trainings = trainings_of(read_card(PRETRAINED / "small-x8")["training"])
    assert [(part["steps"], part["batch_size"]) for part in trainings] == [
        (20_000, 8),
        (1337, 256),
        (2100, 128),
    ]
    assert trainings[0]["init"] is None


@pytest.mark.parametrize("folder", RELEASED, ids=lambda folder: folder.name)
def test_the_hub_reads_what_the_card_says(folder: Path) -> None:
    """The Hub's own reader, which refuses a model-index that is none."""
    card, page = read_card(folder), ModelCard.load(folder / PAGE)
    held_out = card["metrics"].get("held_out")  # some were trained on everybody
    assert page.data.pipeline_tag == "image-to-image"
    assert page.data.datasets == card["training"]["data"]
    assert page.data.license == "other"  # all were trained on photos that are for research only
    if held_out is None:
        assert page.data.eval_results is None
    else:
        assert page.data.model_name == card["name"]
        found = [result.metric_value for result in page.data.eval_results]
        assert found[:2] == [held_out["with_references"], held_out["without_references"]]
        assert found[2:] == ([held_out["lpips"]] if held_out.get("lpips") else [])
    for told in (card["licence"], *(card["sha256"][file] for file in FILES), f"hf:OWNER/{card['name']}@"):
        assert told in page.text
    assert ("It has a dial" in page.text) == ("reconstruction" in card)
    assert ("trained to look real" in page.text) == card["name"].endswith("-p")


def test_export_writes_it_and_replaces_it(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = export(tiny_run, tmp_path / "mine")
    written = (folder / PAGE).read_text(encoding="utf-8")
    assert written == model_page(read_card(folder))
    assert "The weights: none, they are random." in written
    assert "Nothing is told in the card." in written
    export(tiny_run, folder)  # a page is no foreign file
    assert main(["info", str(folder), "--readme"]) == 0
    assert capsys.readouterr().out == written


def test_a_licence_that_the_hub_knows_is_called_so(tiny_model: Path) -> None:
    card = read_card(tiny_model)
    assert ModelCard(model_page(card | {"licence": "Apache-2.0"})).data.license == "apache-2.0"
    assert ModelCard(model_page(card)).data.license == "other"


def test_the_page_tells_what_the_weights_began_with(tiny_model: Path) -> None:
    earlier = [{"data": ["lfw"], "people": 542, "steps": 8}, {"data": ["celeba", "lfw"], "people": 1759}]
    training = {"data": ["frames"], "people": 78, "earlier": earlier}
    page = ModelCard(model_page(read_card(tiny_model) | {"training": training}))
    assert page.data.datasets == ["celeba", "frames", "lfw"]
    assert "Trained with `hime train`: data frames, people 78. The weights began with those of" in page.text
    began = page.text[page.text.index("another training (") :]
    assert began.index("people 1,759; before it data") < began.index("Wild, people 542, steps 8)")
    assert "well-known adults" in page.text  # though the last training has seen nobody of them


@pytest.mark.parametrize(
    "fields",
    [
        {"training": {"earlier": [3, {"data": 1, "steps": None}, {"data": [[]]}], "data": "celeba"}},
        {"training": {"earlier": "celeba"}},
        {"training": {"data": 3, "config": "x", "people": [1]}, "metrics": []},
        {"training": {"data": [None, {"a": 1}], "config": {"lr_sizes": ["x"], "loss": 1}}},
        {"metrics": {"held_out": {"with_references": None, "lpips": "x"}}, "licence": ["a"], "date": {}},
        {"name": "a\nb: [", "licence": "---\n# free\x1b[2J"},
    ],
)
def test_cards_of_anything_have_a_page(tiny_model: Path, fields: dict[str, object]) -> None:
    page = model_page(read_card(tiny_model) | fields)
    assert ModelCard(page).data.library_name == "hime-sr"
    assert "\x1b" not in page
    assert "\n# free" not in page
