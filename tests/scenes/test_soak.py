"""Soak: a run of seconds, so that the long one does not fail only in a nightly job."""

from edge_agent.config.model import shipped
from tests.scenes.soak import soak


def test_the_example_is_analysed_and_raises_alerts(tmp_path):
    result = soak([shipped("examples") / "street_door.mp4"], folder=tmp_path, seconds=20.0, settings=[])

    assert result["video_seconds"] >= 20.0
    assert result["analysed"] > 100
    assert result["alerts"] > 0
    assert result["settled_bytes"] > 0
