"""The run folder: what it holds, whose it is, and which training may go on there."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny import SIZE, SOURCES, TINY, launch, wait_for_state

from hime import HimeError
from hime.data.people import DEMO_PEOPLE
from hime.files import told_before_moving, write_atomically
from hime.training.checkpoint import load_model
from hime.training.loop import train
from hime.training.photos import Photos
from hime.training.presets import override
from hime.training.run_folder import Description, RunFolder


def test_another_configuration_is_refused(whole: Path) -> None:
    with pytest.raises(HimeError, match=r"other values of sampling\.blank, learning_rate;") as refusal:
        train(override(TINY, ["learning_rate=1e-3", "sampling.blank=0.5"]), SOURCES, whole)
    assert "\n" not in str(refusal.value)
    with pytest.raises(HimeError, match=r"other values of model_changes\.channels, architecture\.channels;"):
        train(override(TINY, ["model.channels=16"]), SOURCES, whole)
    with pytest.raises(HimeError, match="other values of steps"):
        train(TINY, SOURCES, whole, steps=12)
    names = [path.name for path in sorted(DEMO_PEOPLE.iterdir()) if path.is_dir()]
    with pytest.raises(HimeError, match=r"other values of data\."):
        train(TINY, [(DEMO_PEOPLE, names[1:])], whole)


def test_a_finished_run_stays_as_it_is(whole: Path) -> None:
    before = (whole / "last.safetensors").read_bytes()
    summary = train(TINY, SOURCES, whole, preset="small-x4")
    assert (summary.first_step, summary.last_step) == (8, 8)
    assert (whole / "last.safetensors").read_bytes() == before


def test_the_length_may_be_changed_when_asked(tmp_path: Path) -> None:
    train(TINY, SOURCES, tmp_path, stop_at=4)
    summary = train(TINY, SOURCES, tmp_path, steps=6, change_steps=True)
    assert summary.last_step == 6
    assert json.loads((tmp_path / "config.json").read_text())["config"]["steps"] == 6


def test_fewer_steps_than_are_done_are_refused(tmp_path: Path) -> None:
    train(TINY, SOURCES, tmp_path, stop_at=4)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(HimeError, match="4 steps are done, --steps 3 is less; give at least 4") as refusal:
        train(TINY, SOURCES, tmp_path, steps=3, change_steps=True)
    assert "\n" not in str(refusal.value)
    assert (tmp_path / "config.json").read_bytes() == before
    assert train(TINY, SOURCES, tmp_path, steps=4, change_steps=True).last_step == 4


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(temporary: Path, _: Path) -> None:
        left.append(temporary)
        raise Killed

    left: list[Path] = []
    for name in ("config.json", "last.safetensors"):
        with pytest.raises(Killed), told_before_moving(killed):
            write_atomically(tmp_path / name, lambda path: path.write_bytes(b"part"))
        left[-1].write_bytes(b"part")  # one that is killed removes nothing
    others = [tmp_path / ".hime-restored.jsonl", tmp_path / ".hime-0123456789abcdef"]
    others[0].write_bytes(b"")
    others[1].mkdir()  # as an export's
    with RunFolder(tmp_path).owned():
        pass
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in others)


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    train(TINY, SOURCES, tmp_path, stop_at=1)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["config"]["flow_rate"]
    del config["config"]["sampling"]["wrong_person"]  # begun before it came
    del config["config"]["loss"]["identity"]
    del config["architecture"]["fusion"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert train(TINY, SOURCES, tmp_path, stop_at=2).first_step == 1
    changed = override(TINY, ["sampling.wrong_person=0.1"])
    with pytest.raises(HimeError, match=r"other values of sampling\.wrong_person;"):
        train(changed, SOURCES, tmp_path, stop_at=3)


@pytest.mark.parametrize("held_out", [TINY.held_out_fraction, 0])
def test_a_run_that_took_repeats_for_others_does_not_go_on(tmp_path: Path, held_out: float) -> None:
    config = override(TINY, [f"held_out_fraction={held_out}"])
    train(config, SOURCES * 2, tmp_path, stop_at=1)
    recorded = json.loads((tmp_path / "config.json").read_text())
    assert recorded["data"].pop("distinct") == 6
    (tmp_path / "config.json").write_text(json.dumps(recorded))  # as before repeats were the same person
    with pytest.raises(HimeError, match=r"other values of data\.distinct"):
        train(config, SOURCES * 2, tmp_path, stop_at=2)


def test_a_run_without_references_that_mirrored_unasked_does_not_go_on(tmp_path: Path) -> None:
    config = override(TINY, ["references=0", "sampling.flip=none"])
    train(config, SOURCES, tmp_path, stop_at=1)
    assert train(config, SOURCES, tmp_path, stop_at=1).first_step == 1
    without(tmp_path, "flip")
    with pytest.raises(HimeError, match=r"other values of data\.flip"):
        train(config, SOURCES, tmp_path, stop_at=2)


def without(run: Path, *fingerprints: str) -> None:
    """Make config.json what it was before it had them."""
    contents = json.loads((run / "config.json").read_text())
    for name in fingerprints:
        del contents["data"][name]
    (run / "config.json").write_text(json.dumps(contents))


def test_other_targets_are_refused(tmp_path: Path, photos: Photos) -> None:
    config = override(TINY, ["held_out_fraction=0"])
    first, second = photos.names[::2], photos.names[1::2]
    train(config, SOURCES, tmp_path, stop_at=1, targets=first)
    assert (
        train(config, SOURCES, tmp_path, stop_at=1, targets=[*first[::-1], "no/such/photo"]).first_step == 1
    )
    with pytest.raises(HimeError, match=r"other values of data\.targets_fingerprint;"):
        train(config, SOURCES, tmp_path, targets=second)
    without(tmp_path, "targets_fingerprint")  # begun before it was noted: goes on, and is noted
    assert train(config, SOURCES, tmp_path, stop_at=2, targets=first).first_step == 1
    with pytest.raises(HimeError, match=r"other values of data\.targets_fingerprint;"):
        train(config, SOURCES, tmp_path, targets=second)


def test_how_many_targets_and_labels_there_are_is_told(
    tmp_path: Path, photos: Photos, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(photos)
    numbered = photos.names[4].replace("/", "-2/", 1)  # as a photo of one of the repeats is called
    np.savez(
        tmp_path / "labels.npz",
        names=np.array([*photos.names[:3], numbered, "no/such/photo"]),
        points=np.full((5, 68, 2), 0.5, np.float16),
        parsing=np.zeros((5, SIZE, SIZE), np.uint8),
    )
    config = override(TINY, ["held_out_fraction=0", f"labels={tmp_path / 'labels.npz'}"])
    wrong = ["no/a/1", "no/b/2", "no/c/3"]
    train(config, SOURCES * 2, tmp_path / "run", stop_at=1, targets=[photos.names[0], *wrong])
    told = capsys.readouterr().err
    assert (
        f"3 of the 4 targets are none of the photos, such as no/a/1; photos are called {photos.names[0]}"
        in told
    )
    assert f"labels.npz: labels of 7 of {2 * count} photos" in told
    assert f"{2 * count} photos of 12 people, 2 of them targets, 8 steps" in told


def test_other_labels_under_the_same_name_are_refused(tmp_path: Path, photos: Photos) -> None:
    def write(value: float) -> None:
        points, parsing = np.full((36, 68, 2), value, np.float32), np.zeros((36, 4, 4), np.uint8)
        np.savez(tmp_path / "labels.npz", names=np.array(photos.names), points=points, parsing=parsing)

    config, run = override(TINY, [f"labels={tmp_path / 'labels.npz'}"]), tmp_path / "run"
    write(0.5)
    train(config, SOURCES, run, stop_at=1)
    write(0.25)
    with pytest.raises(HimeError, match=r"other values of data\.labels_fingerprint;"):
        train(config, SOURCES, run)
    without(run, "labels_fingerprint")
    assert train(config, SOURCES, run, stop_at=2).first_step == 1


@pytest.mark.parametrize(
    "content",
    [
        *("", "{}", "[]", "null", "[" * 100_000),
        *('{"config": {}}', '{"config": [], "data": {}}', '{"config": {}, "data": {}}'),
    ],
)
def test_a_damaged_description_is_told(whole: Path, tmp_path: Path, content: str) -> None:
    shutil.copy(whole / "last.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(HimeError, match=r"cannot be read .*; choose another --out") as refusal:
        train(TINY, SOURCES, tmp_path)
    assert str(tmp_path / "config.json") in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert (tmp_path / "config.json").read_text() == content


def test_two_trainings_cannot_share_a_folder(tmp_path: Path) -> None:
    process = launch(["steps=100000", "checkpoint_seconds=0.5"], tmp_path)
    try:
        wait_for_state(tmp_path, process)
        with pytest.raises(HimeError, match="another training is running there"):
            train(TINY, SOURCES, tmp_path)
    finally:
        process.kill()
        process.communicate()


def test_checkpoints_do_not_tell_where_files_lay() -> None:
    config = dataclasses.replace(TINY, init="/home/me/runs/first", labels="/home/me/faces/labels.npz")
    data = {"sources": ["faces"], "people": 2, "photos": 9, "fingerprint": "0"}
    metadata = Description("small-x4", config, data, "fp32").metadata(1, [])
    told = json.loads(metadata["training"])["config"]
    assert (told["init"], told["labels"]) == ("first", "labels.npz")
    assert "/home/me" not in json.dumps(metadata)
    assert Description("small-x4", config, data, "fp32").as_json()["config"]["labels"] == config.labels


def test_checkpoints_tell_what_their_weights_began_with(whole: Path, tmp_path: Path) -> None:
    def trained_in(run: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(load_model(run)[1]["training"])
        return found

    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    shutil.copytree(whole, first)
    train(override(TINY, [f"init={first}", "steps=2"]), SOURCES, second, preset="second", stop_at=1)
    shutil.rmtree(first)  # a run goes on without what it began with
    train(override(TINY, [f"init={first}", "steps=2"]), SOURCES, second, preset="second")
    train(override(TINY, [f"init={second}", "steps=1"]), SOURCES, third)
    before = trained_in(whole)
    assert "earlier" not in before
    told = [
        {key: training[key] for key in ("preset", "data", "people", "photos", "steps", "batch_size")}
        for training in (before, trained_in(second))
    ]
    told[0]["init"] = None  # that is where the chain begins: with fresh weights
    assert trained_in(second)["earlier"] == told[:1]
    assert trained_in(third)["earlier"] == told
    assert [part["preset"] for part in told] == ["small-x4", "second"]


def test_a_run_of_before_that_goes_on_tells_of_nothing_earlier(whole: Path, tmp_path: Path) -> None:
    config = override(TINY, [f"init={whole}", "steps=2"])
    train(config, SOURCES, tmp_path, stop_at=1)
    recorded = json.loads((tmp_path / "config.json").read_text())
    del recorded["earlier"]
    (tmp_path / "config.json").write_text(json.dumps(recorded))
    train(config, SOURCES, tmp_path)
    assert "earlier" not in json.loads(load_model(tmp_path)[1]["training"])


def test_what_a_run_leaves(whole: Path) -> None:
    config = json.loads((whole / "config.json").read_text())
    assert config["preset"] == "small-x4"
    assert config["architecture"]["channels"] == 8
    assert config["data"]["photos"] == 30
    events = EventAccumulator(str(whole / "tensorboard"))
    events.Reload()
    assert [entry.step for entry in events.Scalars("train/pixel")] == [2, 4, 6, 8]
    assert {"train/learning_rate", "train/gradient_norm", "held_out/bicubic"} <= set(events.Tags()["scalars"])
    assert [entry.step for entry in events.Images("held_out/samples")] == [4, 8]
