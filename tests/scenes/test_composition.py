"""Composition: scenes show what their script states, identically in every run."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.domain import Box
from tests.scenes.composition import Actor, Camera, Look, Scene, Stop, shots
from tests.scenes.figures import Figure

GREY = np.full((120, 160, 3), 90, np.uint8)
STILL = (Stop(0, 80, 40, 20), Stop(1, 80, 40, 20))
QUIET = Camera(noise_levels=0.0, drift_fraction=0.0, jpeg_quality=100)


def a_figure(brightness=255, *, face_px=40):
    """A bright block whose face is its upper half."""
    pixels = np.full((2 * face_px, face_px, 4), 255, np.uint8)
    pixels[..., :3] = brightness
    return Figure(pixels, Box(0, 0, face_px, face_px))


def an_actor(*, path=STILL, looks=None, name="one", movement=0.0, seed=1):
    return Actor(name, path, looks or (Look(0.0, a_figure(), "without_mask"),), movement, seed)


def a_scene(*actors, camera=QUIET, foreground=None, seconds=1.0):
    return Scene("made up", seconds, GREY, actors, 0, camera=camera, foreground=foreground)


def test_a_scene_is_the_same_on_every_run():
    scene = a_scene(an_actor(movement=1.0), camera=Camera(noise_levels=5.0, flicker_fraction=0.2))

    for one, other in zip(shots(scene), shots(scene), strict=True):
        assert np.array_equal(one.image, other.image)
        assert one.seen == other.seen


def test_faces_are_drawn_at_their_ground_truth():
    shot = next(shots(a_scene(an_actor())))

    (one,) = shot.seen
    assert one.box == Box(70, 30, 90, 50)
    assert one.visible_fraction == pytest.approx(1.0)
    bright = np.argwhere(shot.image.mean(axis=2) > 200)
    assert bright.min(axis=0) == pytest.approx((30, 70), abs=1)
    assert bright.max(axis=0) == pytest.approx((70, 90), abs=1)


def test_the_ground_truth_follows_the_path():
    mover = an_actor(path=(Stop(0.0, 40, 40, 20), Stop(1.0, 120, 60, 40)))
    seen = [shot.seen[0].box for shot in shots(a_scene(mover))]

    assert seen[5].centre == pytest.approx((80, 50))
    assert seen[5].width_px == 30


def test_a_figure_in_front_hides_those_behind():
    behind = an_actor(name="behind", path=(Stop(0, 80, 40, 20), Stop(1, 80, 40, 20)))
    before = an_actor(name="before", path=(Stop(0, 90, 40, 30), Stop(1, 90, 40, 30)))
    seen = {one.actor: one.visible_fraction for one in next(shots(a_scene(behind, before))).seen}

    assert seen["before"] == pytest.approx(1.0)
    assert seen["behind"] == pytest.approx(0.25, abs=0.1)


def test_the_foreground_hides_all_figures():
    front = np.zeros((120, 160, 4), np.uint8)
    front[:, :80, 3] = 255
    (one,) = next(shots(a_scene(an_actor(), foreground=front))).seen

    assert one.visible_fraction == pytest.approx(0.5, abs=0.06)


def test_a_face_that_is_cut_off_by_the_edge_is_seen_in_part():
    leaving = an_actor(path=(Stop(0, 0, 40, 20), Stop(1, 0, 40, 20)))
    (one,) = next(shots(a_scene(leaving))).seen

    assert one.visible_fraction == pytest.approx(0.5)


def test_a_mask_that_is_being_put_on_is_neither_on_nor_off():
    looks = (Look(0.0, a_figure(), "without_mask"), Look(0.5, a_figure(10), "with_mask"))
    labels = [shot.seen[0].label for shot in shots(a_scene(an_actor(looks=looks)))]

    assert [labels[0], labels[6], labels[9]] == ["without_mask", None, "with_mask"]


def test_people_move_and_posters_do_not():
    def steps(movement):
        scene = a_scene(an_actor(movement=movement), seconds=1.0)
        centres = np.array([shot.seen[0].box.centre for shot in shots(scene)])
        return np.abs(np.diff(centres, axis=0)).sum()

    assert steps(1.0) > 0.5
    assert steps(0.0) == 0


def test_motion_blur_applies_to_moving_figures():
    mover = an_actor(path=(Stop(-1.0, -400, 40, 20), Stop(1.0, 560, 40, 20)))
    sharp, blurred = (
        next(shots(a_scene(mover, camera=camera))).image.astype(int)
        for camera in (QUIET, Camera(noise_levels=0.0, drift_fraction=0.0, exposure_seconds=0.05, jpeg_quality=100))
    )

    assert np.abs(np.diff(blurred, axis=1)).max() < np.abs(np.diff(sharp, axis=1)).max()


def test_noise_changes_from_frame_to_frame():
    one, other = list(shots(a_scene(camera=Camera(noise_levels=4.0))))[:2]

    difference = one.image.astype(int) - other.image
    assert 2 < difference.std() < 8
