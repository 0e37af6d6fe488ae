"""Faces followed over frames: where they are, that they do not tremble, who they are."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hime.faces.album import Person, read_person
from hime.faces.detection import detect
from hime.faces.headshot import Frame
from hime.restoring.video.cast import ClipReference, roles, with_references
from hime.restoring.video.faces import fitted_reference
from hime.restoring.video.findings import Findings, Workplace, find, load_candidate, read_findings
from hime.restoring.video.plan import Pose, plan_track, share_of
from hime.restoring.video.reading import open_clip
from hime.restoring.video.smoothing import SteadyTrack, steady_tracks
from restoring.video.scenes import Actor, leaving, scene, still, write_clip


def found(path: Path, folder: Path) -> Findings:
    workplace = Workplace(folder)
    workplace.begin({})
    find(open_clip(path), workplace, lambda _: None, 1)
    return read_findings(workplace)


def tremble(places: np.ndarray) -> float:
    """Root mean square of the second differences."""
    return float(np.sqrt((np.diff(places, 2, axis=0) ** 2).mean()))


def test_a_face_is_where_it_is_and_does_not_tremble(tmp_path: Path) -> None:
    def path(number: int) -> tuple[float, float, float, float]:
        x = 160 + 60 * math.sin(number / 10)
        return x, 120 + 20 * math.cos(number / 7), 90 + 20 * math.sin(number / 15), 0.2 * math.sin(number / 9)

    frames = scene([Actor("ada", path)], 60)
    clip = write_clip(tmp_path / "a.mp4", frames)
    findings = found(clip, tmp_path / "work")
    (track,) = steady_tracks(findings, 25)
    assert (track.start, track.end) == (0, 60)
    truth = np.array([path(number) for number in range(60)])
    apart = track.frames - truth
    side = truth[:, 2]
    # The detector's own opinion of where a rendered face is differs by a part of its side; that may stay.
    apart -= np.median(apart, axis=0)
    assert np.abs(apart[:, :2]).max() < 0.03 * side.min()
    assert np.abs(apart[:, 2] / side).max() < 0.05
    assert np.abs(apart[:, 3]).max() < 0.09
    alone = np.array([Frame.of(detect(image)[0].landmarks).centre for image in frames[:20]])
    own = (track.frames - truth)[:20, :2]
    assert tremble(own) < 0.6 * tremble(alone - truth[:20, :2])


def test_no_lag_where_a_face_sets_out_and_stops(tmp_path: Path) -> None:
    def path(number: int) -> tuple[float, float, float, float]:
        return 80 + 6.0 * min(max(0, number - 15), 20), 120, 80, 0

    findings = found(write_clip(tmp_path / "a.mp4", scene([Actor("ben", path)], 50)), tmp_path / "work")
    (track,) = steady_tracks(findings, 25)
    apart = track.frames[:, 0] - np.array([path(number)[0] for number in range(50)])
    assert np.abs(apart - np.median(apart)).max() < 2.0


def test_a_cut_ends_a_track_and_flash_of_the_same_scene_does_not(tmp_path: Path) -> None:
    before, after = Actor("ada", still(110, 120, 90), last=19), Actor("ada", still(210, 110, 90), first=20)
    findings = found(write_clip(tmp_path / "a.mp4", scene([before, after], 40, cut=20)), tmp_path / "work")
    assert findings.cuts.tolist() == [0, 20]
    first, second = steady_tracks(findings, 25)
    assert (first.start, first.end, second.start, second.end) == (0, 20, 20, 40)
    assert first.weight.min() == second.weight.min() == 1, "nothing fades at a cut"
    both = roles([first, second], findings, [])
    assert [len(role.tracks) for role in both] == [2], "one person"


def test_two_people_are_two_and_each_keeps_their_own_frames(tmp_path: Path, demo_people: Path) -> None:
    people = [read_person([demo_people / n / f"{i}.webp" for i in (1, 2, 3)], n) for n in ("ada", "ben")]
    actors = [
        Actor("ada", still(80, 120, 110)),
        Actor("ben", still(240, 120, 110)),
    ]
    path = write_clip(tmp_path / "a.mp4", scene(actors, 30))
    findings = found(path, tmp_path / "work")
    tracks = steady_tracks(findings, 25)
    assert len(tracks) == 2
    cast = roles(tracks, findings, people)
    assert [role.name for role in cast] == ["ada", "ben"]
    assert [round(role.tracks[0].frames[0, 0] / 80) for role in cast] == [1, 3]
    workplace, clip = Workplace(tmp_path / "work"), open_clip(path)
    for role in cast:
        complete = with_references(
            role, findings, lambda index: load_candidate(workplace, findings, index, clip)
        )
        own = [reference for reference in complete.references if reference.candidate is not None]
        assert own
        assert {reference.candidate.track for reference in own if reference.candidate} == {
            role.tracks[0].number
        }
        assert any(reference.photo is not None for reference in complete.references)
    strangers = roles(tracks, findings, [people[1]])
    assert [role.name for role in strangers] == ["ben", "person 1"]
    assert [len(role.tracks) for role in strangers] == [1, 1]


def test_who_is_not_in_the_clip_has_no_track(tmp_path: Path, demo_people: Path) -> None:
    dan = read_person([demo_people / "dan" / f"{i}.webp" for i in (1, 2)], "dan")
    findings = found(
        write_clip(tmp_path / "a.mp4", scene([Actor("ada", still(160, 120, 100))], 12)), tmp_path / "work"
    )
    cast = roles(steady_tracks(findings, 25), findings, [dan])
    assert [(role.name, len(role.tracks)) for role in cast] == [("dan", 0), ("person 1", 1)]
    nobody = Person("nobody", (), (), None)
    assert [len(role.tracks) for role in roles(steady_tracks(findings, 25), findings, [nobody])] == [0, 1]


def test_an_interrupted_first_pass_finds_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hime.restoring.video.findings.CHUNK", 10)
    path = write_clip(tmp_path / "a.mp4", scene([Actor("ada", leaving(5, 30, 120, 60))], 36))
    whole = found(path, tmp_path / "whole")
    clip, workplace = open_clip(path), Workplace(tmp_path / "work")
    for stop in (7, 14, 33):

        class Stopped(Exception):
            pass

        def progress(done: int, stop: int = stop) -> None:
            if done > stop:
                raise Stopped

        workplace.begin({})
        with pytest.raises(Stopped):
            find(clip, workplace, progress, 1)
    find(clip, workplace, lambda _: None, 1)
    again = read_findings(workplace)
    for name in ("pts", "cuts", "seen", "who", "who_embeddings", "candidates", "candidate_embeddings"):
        assert np.array_equal(getattr(whole, name), getattr(again, name), equal_nan=True), name
    workplace.begin({"another": "task"})
    assert workplace.count("found") == 0


def track_of(sides: np.ndarray, tilts: float | np.ndarray = 0.0) -> SteadyTrack:
    frames = np.zeros((len(sides), 4))
    frames[:, 2], frames[:, 3] = sides, tilts
    return SteadyTrack(0, 0, frames, np.ones(len(sides)))


@given(st.floats(8, 300), st.floats(8, 300), st.just(0.0) | st.floats(-1, 1), st.integers(40, 200))
def test_nothing_jumps_when_a_face_crosses_a_limit(
    first: float, last: float, tilt: float, count: int
) -> None:
    sides = np.exp(np.linspace(np.log(first), np.log(last), count))
    plan = plan_track(track_of(sides, np.linspace(0, tilt, count)), 64, 25)
    step = float(np.abs(np.diff(np.log(sides))).max(initial=0))
    assert np.abs(np.diff(plan.share)).max() <= 1.5 * 16 * step + 1e-9
    weights: list[dict[Pose, float]] = []
    for number in range(count):
        poses = plan.poses(number)
        assert sum(share for _, share in poses) == pytest.approx(1)
        weights.append(dict(poses))
        for pose, share in poses:
            if share > 0.5:
                assert abs(math.log(pose.pixels / sides[number])) < 0.07
                assert abs(pose.angle - tilt * number / (count - 1)) < math.radians(8)
            assert pose.window >= pose.pixels
            assert pose.window % 2 == 0
    if step < 0.01 and tilt == 0:  # otherwise one may follow on another within the passage
        for before, after in pairwise(weights):
            assert max(abs(before.get(p, 0) - after.get(p, 0)) for p in {*before, *after}) < 0.4


def test_a_side_that_trembles_about_a_limit_keeps_its_pose() -> None:
    middle = math.sqrt(Pose(14, 0).pixels * Pose(15, 0).pixels)
    wave = np.sin(np.arange(100))
    plan = plan_track(track_of(middle * np.exp(0.015 * wave), math.radians(4) + 0.03 * wave), 64, 25)
    assert len({tuple(row) for row in plan.pose.tolist()}) == 1


def test_a_reference_lies_as_the_face_does(demo_people: Path) -> None:
    """Turned and sized for a pose, a photo's own face has that angle and that share of the window."""
    (photo,) = read_person([demo_people / "ada" / "1.webp"], "ada").references
    reference = ClipReference(photo.name, None, photo.yaw, photo.quality, 100, photo)
    for pose in (Pose(16, 0), Pose(17, 2), Pose(15, -3)):
        image = fitted_reference(reference, pose, 256)
        assert image.shape == (256, 256, 3)
        frame = Frame.of(detect(image)[0].landmarks)
        assert frame.angle == pytest.approx(pose.angle, abs=0.08)
        if not pose.tilt:  # the corners of a turned photo are empty, which the detector minds
            assert frame.side == pytest.approx(256 * pose.pixels / pose.window, rel=0.1)
        assert frame.centre == pytest.approx((127.5, 127.5), abs=6)


def test_far_is_restored_and_near_is_not() -> None:
    sides = np.array([8.0, 12, 14, 16, 40, 64, 70, 80, 300])
    share = share_of(sides, 64)
    assert share[[0, 1]].tolist() == [0, 0]
    assert 0 < share[2] < 1
    assert share[[3, 4, 5]].tolist() == [1, 1, 1]
    assert 0 < share[6] < 1
    assert share[[7, 8]].tolist() == [0, 0]
