"""Empty pictures: contain no people, and those for selection are not used for reporting."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_agent.errors import ConfigError
from edge_agent.vision.images import read_picture
from tests.faces import COLLINS, portrait
from tests.training.faces.conftest import RELEASED, write_scenes
from training.cli import main
from training.faces.empty import (
    MARGIN_FRACTION,
    MAX_SIDE_PX,
    MIN_SIDE_PX,
    SPLITS,
    background_crop,
    on_plain_colour,
    texture,
    write_empty,
)

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.domain import Image

NO_FACES = np.zeros((0, 4), np.float32)


def numbered(width: int, height: int) -> Image:
    """A picture whose first two colours say where each pixel was."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.asarray(np.stack([columns, rows, np.zeros_like(rows)], axis=-1), np.uint8)


def write_split_scenes(folder: Path) -> Path:
    """Drawn scenes, two of each split."""
    scenes = write_scenes(folder, count=4)
    content = json.loads(scenes.read_text())
    for image in content["images"][2:]:
        image["split"] = "test"
    scenes.write_text(json.dumps(content))
    return scenes


def test_a_background_contains_no_faces_or_their_surroundings():
    face = np.array([[20, 20, 60, 60]], np.float32)

    for seed in range(20):
        part = background_crop(numbered(250, 200), face, np.random.default_rng(seed))

        assert part is not None
        assert min(part.shape[:2]) >= MIN_SIDE_PX
        left, top = part[0, 0, :2]
        assert left >= 60 + 40 * MARGIN_FRACTION or top >= 60 + 40 * MARGIN_FRACTION


def test_a_crowd_has_no_background():
    everywhere = np.array([[0, 0, 250, 200]], np.float32)

    assert background_crop(numbered(250, 200), everywhere, np.random.default_rng(1)) is None


def test_a_picture_that_is_too_small_has_no_background():
    assert background_crop(numbered(80, 200), NO_FACES, np.random.default_rng(1)) is None


@pytest.mark.parametrize("kind", range(6))
def test_a_texture_is_a_picture_and_the_same_for_the_same_seed(kind):
    one, same = (texture(np.random.default_rng(3), kind) for _ in range(2))

    assert one.dtype == np.uint8
    assert one.ndim == 3
    assert one.std() > 1
    np.testing.assert_array_equal(one, same)


@pytest.mark.tensorflow
def test_every_split_gets_separate_pictures(tmp_path, capsys):
    scenes = write_split_scenes(tmp_path / "scenes")
    objects = tmp_path / "objects"
    objects.mkdir()
    for number in range(len(SPLITS)):
        cv2.imwrite(str(objects / f"{number}.png"), np.full((40, 30, 3), 50 * number, np.uint8))
    places = ("--scenes", str(scenes), "--detector", str(RELEASED), "--pictures", str(objects))

    assert main(["empty", str(tmp_path / "empty"), *places, "--max-backgrounds", "2"]) == 0

    said = capsys.readouterr().out.splitlines()
    folders = [str(tmp_path / "empty" / split) for split in SPLITS]
    assert [line.partition(":")[0] for line in said] == folders
    for split in SPLITS:
        pictures = list((tmp_path / "empty" / split).iterdir())
        assert {path.name.partition("-")[0] for path in pictures} >= {"sample", "texture", "object"}
        assert all(read_picture(path).size for path in pictures)


def test_transparent_pixels_get_a_colour(tmp_path):
    picture = np.zeros((40, 30, 4), np.uint8)
    picture[10:20, 10:20] = (0, 0, 255, 255)
    cv2.imwrite(str(tmp_path / "a.png"), picture)

    (drawn,) = on_plain_colour([tmp_path / "a.png"], np.random.default_rng(1))

    assert drawn.shape == (40, 30, 3)
    assert drawn[15, 15].tolist() == [0, 0, 255]
    assert drawn[0, 0].tolist() not in ([0, 0, 255], [0, 0, 0])


def test_a_damaged_picture_of_an_object_is_left_out(tmp_path, caplog):
    (tmp_path / "a.png").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "b.png"), np.full((40, 30, 3), 90, np.uint8))

    (drawn,) = on_plain_colour([tmp_path / "a.png", tmp_path / "b.png"], np.random.default_rng(1))

    assert drawn.shape == (40, 30, 3)
    assert "a.png: skipped" in caplog.text


def test_a_folder_with_content_is_not_overwritten(tmp_path):
    (tmp_path / "a.png").touch()

    with pytest.raises(ConfigError, match="is not empty; give a new folder"):
        write_empty(
            tmp_path,
            scenes=tmp_path / "a.json",
            folders=(),
            uncurated=(),
            detector=tmp_path / "a.onnx",
            max_backgrounds=1,
            seed=1,
        )


@pytest.mark.tensorflow
def test_uncurated_pictures_with_a_face_are_left_out_and_the_others_serve_for_training_only(tmp_path):
    scenes = write_split_scenes(tmp_path / "scenes")
    folder = tmp_path / "game"
    folder.mkdir()
    cv2.imwrite(str(folder / "portrait.png"), portrait(COLLINS))
    large = texture(np.random.default_rng(1), 1)
    cv2.imwrite(str(folder / "wall.jpg"), cv2.resize(large, (1200, 800)))
    (folder / "damaged.png").write_bytes(b"no picture")
    places = ("--scenes", str(scenes), "--detector", str(RELEASED), "--uncurated", str(folder))

    assert main(["empty", str(tmp_path / "empty"), *places, "--max-backgrounds", "1"]) == 0

    assert not list(tmp_path.glob("empty/[vt]e*/uncurated-*"))
    pictures = [read_picture(path) for path in sorted(tmp_path.glob("empty/train/uncurated-*"))]
    # The whole wall and a part of it.
    assert len(pictures) == 2
    assert max(pictures[0].shape) == MAX_SIDE_PX
    assert all(picture.shape != portrait(COLLINS).shape for picture in pictures)
