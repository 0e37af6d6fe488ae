"""Cards and graphs from anywhere: whatever is in them is a model or one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hime
from hime.cli import main
from hime.errors import HimeError
from hime.restoring.card import read_card
from hime.terminal import shown


@pytest.fixture
def copy(tiny_dial: Path, tiny_model: Path, tmp_path: Path) -> Path:
    """A model with a dial that may be changed, its other end beside it."""
    shutil.copytree(tiny_model, tmp_path / "tiny-x4")
    return shutil.copytree(tiny_dial, tmp_path / "model")


def change(folder: Path, **fields: Any) -> Path:
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    (folder / "card.json").write_text(json.dumps(card | fields), encoding="utf-8")
    return folder


NAN, INFINITY = float("nan"), float("inf")
HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": ["a"]}, "name"),
    ({"name": "../../etc/passwd"}, "name"),
    ({"name": "n" * 10_000}, "name"),
    ({"scale": True}, "scale"),
    ({"scale": 0}, "scale"),
    ({"scale": 10**9}, "scale"),
    ({"scale": 4.0}, "scale"),
    ({"lr_size": -8}, "lr_size"),
    ({"feature_channels": 10**12}, "feature_channels"),
    ({"parameters": -1}, "parameters"),
    ({"parameters": "many"}, "parameters"),
    ({"macs": []}, "macs"),
    ({"macs": {"lr": [8], "references": 3, "total": 1, "encode_per_reference": 1, "restore": 1}}, "macs.lr"),
    (
        {"macs": {"lr": [8, 8], "references": {}, "total": 1, "encode_per_reference": 1, "restore": 1}},
        "macs.r",
    ),
    ({"sha256": {}}, "sha256"),
    ({"sha256": {"encode.onnx": 1, "restore.onnx": None, "weights.bin": []}}, "sha256"),
    ({"weights": "pickle"}, "weights"),
    ({"weights": ["float32"]}, "weights"),
    ({"fidelity": NAN}, "fidelity"),
    ({"fidelity": 1.5}, "fidelity"),
    ({"fidelity": True}, "fidelity"),
    ({"reconstruction": "../tiny-x4"}, "reconstruction"),
    ({"reconstruction": "/etc"}, "reconstruction"),
    ({"reconstruction": ".."}, "reconstruction"),
    ({"reconstruction": "a\\b"}, "reconstruction"),
    ({"reconstruction": "c:x"}, "reconstruction"),
    ({"reconstruction": "a\0b"}, "reconstruction"),
    ({"training": [1]}, "training"),
    ({"architecture": {"channels": 10**9}}, "architecture"),
    ({"architecture": {"channels": {}}}, "architecture"),
    ({"metrics": {"held_out": [INFINITY]}}, "numbers"),
]


@pytest.mark.parametrize(("fields", "named"), HOSTILE, ids=lambda value: str(value)[:40])
def test_every_field_is_checked_before_it_is_used(copy: Path, fields: dict[str, Any], named: str) -> None:
    change(copy, **fields)
    for use in (hime.load, lambda folder: hime.load(folder, fidelity=0.5)):
        with pytest.raises(HimeError, match=rf"card\.json: lacks .*{named}.*; export") as refused:
            use(copy)
        assert "\n" not in str(refused.value)
    assert main(["info", str(copy), "--costs"]) == 1


def test_a_card_of_anything_is_one_line(copy: Path) -> None:
    path = copy / "card.json"
    for content in (
        b"[" * 100_000,
        b"3",
        b"null",
        b"\xff\xfe",
        b'{"format": ' + b"9" * 5000 + b"}",
        b" " * (2 << 20),
    ):
        path.write_bytes(content)
        with pytest.raises(HimeError, match=r"card\.json: (cannot be read|card format)"):
            read_card(copy)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(HimeError, match=r"card\.json: is a pipe"):
        read_card(copy)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
@settings(max_examples=150)
def test_a_card_of_any_values_is_shown_or_refused(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    from hime.cli.info import format_card

    card = json.loads((tiny_model / "card.json").read_text(encoding="utf-8"))
    for field in data.draw(st.lists(st.sampled_from(sorted(card)), min_size=1, max_size=3)):
        if field != "format":
            card[field] = data.draw(json_values)
    folder = tmp_path_factory.mktemp("any")
    (folder / "card.json").write_text(json.dumps(card), encoding="utf-8")
    try:
        taken = read_card(folder)
    except HimeError:
        return
    for line in format_card(taken).split("\n"):
        assert shown(line) == line


def test_a_name_of_control_characters_is_shown_as_codes(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(copy, name="a\x1b[2J\nb", licence="free\x1b[31m\nhime: all is well", date=["\x9b"])
    assert main(["info", str(copy)]) == 0
    told = capsys.readouterr().out
    assert r"a\x1b[2J\nb: ×4" in told
    assert r"licence: free\x1b[31m\nhime: all is well" in told
    assert all(line.isprintable() for line in told.splitlines())


def replace_graph(folder: Path, file: str, outputs: dict[str, Any], inputs: tuple[str, ...]) -> None:
    """Another graph, with constant outputs, and its checksum in the card."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
            for name, value in outputs.items()
        ],
        "hostile",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs],
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in outputs.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, folder / file)
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    checksum = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    change(folder, sha256={**card["sha256"], file: checksum})


@pytest.mark.parametrize(
    ("hr", "scores"),
    [
        (np.zeros((1, 3, 32, 33)), np.zeros((0, 1, 8, 8))),
        (np.zeros(()), np.zeros((0, 1, 8, 8))),
        (np.zeros((1, 3, 32, 32)), np.zeros((5, 1, 8, 8))),
        (np.full((1, 3, 32, 32), NAN), np.zeros((0, 1, 8, 8))),
        (np.zeros((1, 3, 32, 32)), np.full((0, 1, 8, 8, 1), INFINITY)),
    ],
    ids=["size", "scalar", "scores", "no numbers", "dimensions"],
)
def test_what_a_graph_gives_is_checked(
    copy: Path, hr: np.ndarray, scores: np.ndarray, demo_people: Path, tmp_path: Path
) -> None:
    outputs = {"hr": hr.astype(np.float32), "scores": scores.astype(np.float32)}
    replace_graph(copy, "restore.onnx", outputs, ("lr", "features"))
    restorer = hime.load(copy)
    with pytest.raises(HimeError, match=r"tiny-x4-p: gives .* values, not .*; export|that are no numbers"):
        restorer.restore(np.zeros((8, 8, 3), np.uint8))


def test_a_graph_with_another_signature_is_refused(copy: Path) -> None:
    replace_graph(copy, "restore.onnx", {"hr": np.zeros(1, np.float32)}, ("lr",))
    with pytest.raises(HimeError, match=r"restore\.onnx: takes or gives something else"):
        hime.load(copy)
    wrong = {"hr": np.zeros(1, np.int64), "scores": np.zeros(1, np.float32)}
    replace_graph(copy, "restore.onnx", wrong, ("lr", "features"))
    with pytest.raises(HimeError, match=r"restore\.onnx: takes or gives something else"):
        hime.load(copy)


def test_weights_of_half_a_number_are_refused(copy: Path) -> None:
    weights = (copy / "weights.bin").read_bytes()[:-1]
    (copy / "weights.bin").write_bytes(weights)
    card = json.loads((copy / "card.json").read_text(encoding="utf-8"))
    change(copy, sha256={**card["sha256"], "weights.bin": hashlib.sha256(weights).hexdigest()})
    with pytest.raises(HimeError, match=r"weights\.bin: holds no whole number of float"):
        hime.load(copy)
