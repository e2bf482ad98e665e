"""Camera health: frozen, covered and wrongly sized pictures are detected, valid ones are not reported."""

import cv2
import numpy as np
import pytest

from edge_agent.camera.health import AVERAGED_SIZE, CameraHealth, contrast_levels
from edge_agent.config.model import CameraConfig
from tests.recordings import a_picture

RANDOM = np.random.default_rng(7)


def noisy(picture, *, brightness=1.0, levels=3.0):
    """A picture with sensor noise, so that no two are the same."""
    return np.clip(picture * brightness + RANDOM.normal(0, levels, picture.shape), 0, 255).astype(np.uint8)


def a_room():
    """A grey room with a lamp and a door."""
    picture = np.full((120, 160, 3), 90.0)
    picture[10:30, 20:50] = 240
    picture[40:, 100:130] = 30
    return picture


def watch(faults, pictures, *, begin_at=0.0, seconds=0.5):
    """Codes of the faults after each picture."""
    return [
        [fault.code for fault in faults.observe(picture, at=begin_at + number * seconds)]
        for number, picture in enumerate(pictures)
    ]


def test_bit_identical_pictures_are_frozen_until_one_pixel_changes():
    faults = CameraHealth(CameraConfig(frozen_seconds=10))
    frozen = noisy(a_room())
    changed = frozen.copy()
    changed[77, 33, 1] ^= 1

    seen = watch(faults, [frozen] * 22)
    after = faults.observe(changed, at=11.0)

    assert seen.index(["camera_frozen"]) == 20
    assert after == ()


def test_rare_pictures_that_differ_in_few_rows_are_not_frozen():
    faults = CameraHealth(CameraConfig(frozen_seconds=10))
    pictures = [a_room().astype(np.uint8) for _ in range(5)]
    for minute, picture in enumerate(pictures):
        # As a camera's clock in a scene without noise.
        picture[5:9, : 10 * minute] = 0

    assert watch(faults, pictures, seconds=60.0) == [[]] * 5


def test_a_still_room_is_not_frozen_by_day_or_night():
    for brightness in (1.0, 0.2, 0.05):
        faults = CameraHealth(CameraConfig(frozen_seconds=10, covered_seconds=10))
        pictures = (noisy(a_room(), brightness=brightness) for _ in range(120))

        assert watch(faults, pictures) == [[]] * 120


def test_a_black_picture_is_covered_and_not_frozen():
    faults = CameraHealth(CameraConfig(frozen_seconds=10, covered_seconds=5))

    seen = watch(faults, [np.zeros((120, 160, 3), np.uint8)] * 60)

    assert seen[-1] == ["camera_covered"]
    assert ["camera_frozen"] not in seen


@pytest.mark.parametrize("brightness", [0, 60, 250], ids=["black", "tape", "dazzled"])
def test_a_covered_lens_is_reported_after_a_delay_and_until_it_is_uncovered(brightness):
    faults = CameraHealth(CameraConfig(covered_seconds=10))
    covered = np.full((120, 160, 3), float(brightness))

    seen = watch(faults, [noisy(a_room())] * 2 + [noisy(covered) for _ in range(40)] + [noisy(a_room())] * 4)

    # Checked once a second.
    assert seen.index(["camera_covered"]) in (22, 23)
    assert seen[41] == ["camera_covered"]
    assert seen[-1] == []


def test_a_person_passing_close_to_the_lens_does_not_count_as_covered():
    faults = CameraHealth(CameraConfig(covered_seconds=10))
    back = np.full((120, 160, 3), 40.0)
    pictures = ([noisy(a_room())] * 4 + [noisy(back)] * 8) * 5

    assert [] in watch(faults, pictures)
    assert ["camera_covered"] not in watch(faults, pictures, begin_at=100.0)


def test_an_unexpected_size_is_reported_with_both_sizes():
    faults = CameraHealth(CameraConfig(frame_size=(640, 480)))

    (fault,) = faults.observe(a_picture(0), at=0.0)

    assert fault.code == "camera_wrong_size"
    assert fault.text.startswith("delivers 160x120 instead of frame_size 640x480")
    assert CameraHealth(CameraConfig(frame_size=(160, 120))).observe(a_picture(0), at=0.0) == ()


def test_disabled_checks_report_nothing():
    faults = CameraHealth(CameraConfig(frozen_seconds=0, covered_seconds=0))

    assert watch(faults, [np.zeros((120, 160, 3), np.uint8)] * 20, seconds=1000.0) == [[]] * 20


@pytest.mark.reference_data
@pytest.mark.parametrize("brightness", [1.0, 0.1, 0.05], ids=["as it is", "a tenth", "a twentieth"])
@pytest.mark.parametrize("name", ["masked_at_laptop", "unmasked_outdoors", "puts_mask_on_close_up"])
def test_real_recordings_have_no_fault_by_day_or_night(shared, name, brightness):
    faults = CameraHealth(CameraConfig(frozen_seconds=1, covered_seconds=1))
    capture = cv2.VideoCapture(str(shared / "videos" / f"{name}.mp4"))
    number = 0
    while True:
        there, picture = capture.read()
        if not there:
            break
        number += 1
        if brightness < 1 and number % 10:
            continue
        judged = noisy(picture, brightness=brightness) if brightness < 1 else np.asarray(picture, np.uint8)
        assert faults.observe(judged, at=number / 25) == ()
    assert number > 100


@pytest.mark.parametrize("size", [(1279, 721), (1024, 768)])
@pytest.mark.parametrize("brightness", [1.0, 0.02])
def test_the_contrast_of_a_large_picture_matches_area_averaging(size, brightness):
    picture = noisy(cv2.resize(a_room(), size, interpolation=cv2.INTER_NEAREST), brightness=brightness)

    means = cv2.cvtColor(cv2.resize(picture, AVERAGED_SIZE, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    darkest, brightest = np.percentile(means, (1, 99))

    assert contrast_levels(picture) == pytest.approx(brightest - darkest, abs=1.5)
