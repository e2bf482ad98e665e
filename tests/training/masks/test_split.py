"""Split: near-duplicates are never on both sides."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from edge_agent.vision.images import decode_picture
from tests.file_sizes import limited_file_size
from tests.training.faces.conftest import write_scenes
from training.masks.split import choose_held_out, duplicate_groups, hashes_of_test_sets, perceptual_hash


def textured(seed: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    return cv2.resize(random.integers(0, 256, (9, 9, 3), np.uint8), (120, 120), interpolation=cv2.INTER_CUBIC)


def apart(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> int:
    return int(np.unpackbits(perceptual_hash(one) ^ perceptual_hash(other)).sum())


def test_a_scaled_brighter_and_recompressed_copy_has_nearly_the_same_hash():
    image = textured(1)
    copy = cv2.resize(image, (70, 70), interpolation=cv2.INTER_AREA)
    copy = decode_picture(cv2.imencode(".jpg", cv2.convertScaleAbs(copy, alpha=0.9, beta=12))[1].tobytes())

    assert apart(image, copy) <= 4


def test_other_pictures_have_other_hashes():
    assert min(apart(textured(1), textured(seed)) for seed in range(2, 30)) > 10


def test_near_duplicates_share_a_group_also_over_several_steps():
    first = np.zeros(8, np.uint8)
    second, third, other = first.copy(), first.copy(), np.full(8, 255, np.uint8)
    second[0], third[0] = 0b111, 0b111111

    groups = duplicate_groups(np.array([first, other, second, third]), duplicate_bits=3)

    assert groups[0] == groups[2] == groups[3] != groups[1]


def test_whole_groups_are_held_out():
    groups = np.repeat(np.arange(50), 2)

    held_out = choose_held_out(groups, ["one"] * 100, fraction=0.2, seed=1)

    assert 20 <= held_out.sum() <= 22
    assert all(held_out[groups == group].all() or not held_out[groups == group].any() for group in range(50))


def test_each_source_contributes_its_share():
    sources = ["few"] * 20 + ["many"] * 200

    held_out = choose_held_out(np.arange(220), sources, fraction=0.25, seed=1)

    assert held_out[:20].sum() == 5
    assert held_out[20:].sum() == 50


def test_an_additional_source_does_not_change_the_held_out_pictures():
    alone = choose_held_out(np.arange(40), ["one"] * 40, fraction=0.25, seed=1)
    beside = choose_held_out(np.arange(90), ["one"] * 40 + ["another"] * 50, fraction=0.25, seed=1)

    assert (alone == beside[:40]).all()


def test_a_picture_that_is_added_to_a_test_set_is_kept_out_of_later_runs_too(tmp_path):
    test_set = tmp_path / "elsewhere"
    test_set.mkdir()
    cv2.imwrite(str(test_set / "1.png"), textured(1))
    before = hashes_of_test_sets([test_set], folder=tmp_path / "packs")
    cv2.imwrite(str(test_set / "2.png"), textured(2))

    after = hashes_of_test_sets([test_set], folder=tmp_path / "packs")

    assert (len(before), len(after)) == (1, 2)
    assert np.array_equal(after[1], perceptual_hash(textured(2)))


def test_every_picture_of_a_test_split_is_kept_out_whatever_its_faces(tmp_path):
    scenes = write_scenes(tmp_path / "scenes", count=3, split="test")
    content = json.loads(scenes.read_text())
    content["categories"][0]["name"] = "face"
    scenes.write_text(json.dumps(content))

    assert len(hashes_of_test_sets([scenes], folder=tmp_path)) == 3


def test_an_interrupted_run_leaves_no_partial_hashes(tmp_path):
    test_set = tmp_path / "elsewhere"
    test_set.mkdir()
    cv2.imwrite(str(test_set / "1.png"), textured(1))
    with limited_file_size(100), pytest.raises(OSError, match="too large"):
        hashes_of_test_sets([test_set], folder=tmp_path / "packs")

    assert len(hashes_of_test_sets([test_set], folder=tmp_path / "packs")) == 1
