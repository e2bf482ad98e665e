"""Wiring: how the parts of an agent are put together."""

from __future__ import annotations

import cv2

from edge_agent.config.model import Config
from edge_agent.wiring import open_models


def test_opencv_has_no_threads_of_its_own_beside_those_of_the_cameras() -> None:
    cv2.setNumThreads(2)

    open_models(Config())

    assert cv2.getNumThreads() == 1
