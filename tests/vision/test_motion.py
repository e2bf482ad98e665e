"""Motion gate: opens for a person and stays closed for noise."""

from dataclasses import replace

import numpy as np

from edge_agent.config.model import MotionConfig
from edge_agent.vision.motion import MotionGate
from tests.values import a_frame

SIZE = (400, 300)


def test_the_first_frame_counts_as_change():
    assert MotionGate(MotionConfig()).sees_change(a_frame(size=SIZE))


def test_sensor_noise_is_not_a_change():
    gate = MotionGate(MotionConfig())
    noise = np.random.default_rng(1)
    seen = []
    for step in range(30):
        image = np.clip(120 + noise.normal(0, 8, (300, 400, 3)), 0, 255).astype(np.uint8)
        seen.append(gate.sees_change(replace(a_frame(step / 10), picture=image)))

    assert not any(seen[1:])


def test_a_face_of_sixteen_pixels_that_enters_is_a_change():
    gate = MotionGate(MotionConfig())
    for step in range(5):
        gate.sees_change(a_frame(step / 10, brightness=120, size=SIZE))
    entered = a_frame(1.0, brightness=120, size=SIZE)
    entered.image[100:120, 200:216] = 200

    assert gate.sees_change(entered)


def test_something_left_standing_is_forgotten_after_a_while():
    gate = MotionGate(MotionConfig())
    gate.sees_change(a_frame(brightness=0, size=SIZE))

    seen = [gate.sees_change(a_frame(step / 10, brightness=60, size=SIZE)) for step in range(100)]

    assert seen[0]
    assert not seen[-1]


def test_a_changed_frame_size_is_a_change():
    gate = MotionGate(MotionConfig())
    gate.sees_change(a_frame(size=SIZE))

    assert gate.sees_change(a_frame(size=(320, 300)))


def test_switched_off_every_frame_counts():
    gate = MotionGate(MotionConfig(enabled=False))

    assert all(gate.sees_change(a_frame(step)) for step in range(3))
