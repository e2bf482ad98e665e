"""Redaction: sources without credentials. Of the whole configuration: tests/test_control.py."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.model import Config
from edge_agent.config.redaction import secret_files, shown_source


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/dev/video0", "/dev/video0"),
        ("/recordings/at@home.mp4", "/recordings/at@home.mp4"),
        ("rtsp://camera.local:554/stream", "rtsp://camera.local:554/stream"),
        ("rtsp://admin:hunter2@camera.local/stream", "rtsp://***@camera.local/stream"),
        ("rtsp://admin:hun@ter/2@camera.local/stream", "rtsp://***@camera.local/stream"),
        ("rtsp:admin:hunter2@camera.local/stream", "rtsp:***@camera.local/stream"),
        ("admin:hunter2@camera.local/stream", "admin:***@camera.local/stream"),
        ("rtsp://[admin:hunter2@camera.local/stream", "rtsp://***@camera.local/stream"),
        ("http://camera.local/video?user=admin&pwd=hunter2", "http://camera.local/video"),
        ("pipe: /opt/camera --password hunter2", "pipe: /opt/camera"),
        ("ffmpeg: -timeout 5 rtsp://admin:hunter2@camera.local/stream?x=1", "ffmpeg: rtsp://***@camera.local/stream"),
        ("ffmpeg: 'rtsp://admin:hunter2@camera.local/a'", "ffmpeg: rtsp://***@camera.local/a"),
        ("jetson-csi: sensor-id=1", "jetson-csi"),
        ("rtsp://camera.local/user=admin_password=hunter2_channel=1.sdp", "rtsp://camera.local/***"),
    ],
)
def test_a_source_is_shown_without_its_credentials(source, shown):
    assert shown_source(source) == shown


@given(
    user=st.text("abc:@/", min_size=1, max_size=5),
    password=st.text("xyz0@/:?#&=", min_size=4, max_size=12).filter(lambda text: text[0] in "xyz0"),
)
def test_no_password_is_ever_shown(user, password):
    assert shown_source(f"rtsp://{user}:{password}@camera.local/stream") == "rtsp://***@camera.local/stream"


def test_every_file_with_a_secret_is_found():
    config = Config.model_validate(
        {
            "mqtt": {
                "username": "door",
                "tls": True,
                "password_file": "/a",
                "cert_file": "/public",
                "key_file": "/b",
                "key_password_file": "/c",
            },
            "console": {"token_file": "/d"},
            "display": {"token_file": "/e"},
            "webhooks": [{"url": "https://host/path"}, {"url": "https://host/other", "secret_file": "/f"}],
        }
    )

    assert secret_files(config) == {
        "mqtt.password_file": Path("/a"),
        "mqtt.key_file": Path("/b"),
        "mqtt.key_password_file": Path("/c"),
        "console.token_file": Path("/d"),
        "display.token_file": Path("/e"),
        "webhooks.1.secret_file": Path("/f"),
    }
