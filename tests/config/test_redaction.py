"""Redaction: sources without credentials. Of the whole configuration: tests/test_control.py."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config.load import load_config
from edge_agent.config.model import Config
from edge_agent.config.redaction import masked, secret_files, secrets_in, secrets_of, shown_source
from edge_agent.config.render import as_yaml
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import MASK, mask


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
        ("http://camera.local/s3cr3tTOKEN123/snapshot.jpg", "http://camera.local/***/snapshot.jpg"),
        ("rtsps://camera.local:7441/AbCdEfGhIjKlMnOp?enableSrtp", "rtsps://camera.local:7441/***"),
        ("rtsp://camera.local/live/3f2b8c1e-77aa-4e0b-9c65-0d5f4a1b2c3d/main", "rtsp://camera.local/live/***/main"),
        ("rtsp://a1b2c3d4e5f6.example:554/h264Preview_01_main", "rtsp://a1b2c3d4e5f6.example:554/h264Preview_01_main"),
        ("http://camera.local/cgi-bin/snapshot.cgi", "http://camera.local/cgi-bin/snapshot.cgi"),
        ("rtsp://camera.local/Streaming/Channels/101", "rtsp://camera.local/Streaming/Channels/101"),
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


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("ffmpeg -i rtsp://admin:hunter2@camera/live", "rtsp://admin:hunter2@camera/live: 401 Unauthorized"),
        ("ffmpeg -i rtsp://admin:hunter2@camera/live", "user admin with hunter2 is refused"),
        ("ffmpeg -i rtsp://admin:hun%40ter2@camera/live", "password hun@ter2 and hun%40ter2 refused"),
        ("ffmpeg -i rtsp://admin:hun@ter2@camera/live", "rtsp://admin:hun@ter2@camera/live refused"),
        ("gst-launch-1.0 rtspsrc location=rtsp://camera user-id=admin user-pw=hunter2 ! x", "pw hunter2 refused"),
        ("camera --password hunter2", "cannot log in with 'hunter2'"),
        ("camera -u admin:hunter2", "hunter2 is refused"),
        ("camera http://camera/video?user=admin&pwd=hunter2", "http://camera/video?user=admin&pwd=hunter2: 401"),
        ("camera http://camera/a1hunter2b3c/x.jpg", "GET /a1hunter2b3c/x.jpg: 401"),
        ("camera", "found password=hunter2 in http://admin:hunter2@camera"),
    ],
)
def test_credentials_are_redacted_from_program_output(command, output):
    shown = mask(output, secrets_in(command.split()))

    assert "ter2" not in shown
    assert "***" in shown


def test_output_without_credentials_is_unchanged():
    output = "[rtsp @ 0x55] Connection to tcp://camera:554 failed: Connection refused"

    assert mask(output, secrets_in(["ffmpeg", "-i", "rtsp://camera:554/live"])) == output


def test_the_password_in_a_pipe_command_is_removed():
    config = Config(cameras={"door": {"source": "pipe: ffmpeg -i rtsp://me:pass77@camera.local/live -f mjpeg -"}})

    assert mask("401 for pass77", secrets_of(config)) == "401 for ***"


def test_the_password_after_an_option_of_a_pipe_command_is_removed_too():
    config = Config(cameras={"door": {"source": "pipe: curl -u me:optionpass9 http://camera.local/mjpeg"}})

    assert "optionpass9" not in mask("curl said: optionpass9 is wrong", secrets_of(config))


def test_short_query_values_are_not_redacted_within_numbers():
    config = Config(cameras={"door": {"source": "rtsp://camera.local/live?channel=1&key=longer-secret"}})

    assert mask("11 frames, longer-secret", secrets_of(config)) == "11 frames, ***"


def test_tokens_and_passwords_in_the_address_of_models_and_broker_are_redacted():
    config = Config.model_validate(
        {
            "mqtt": {"transport": "websockets", "websocket_path": "/mqtt/s3cr3tTOKEN123"},
            "rollout": {"url": "https://me:hunter2@host/t0k3nOf99Models/tuf", "root_file": "/root.json"},
        }
    )

    assert mask("hunter2 at t0k3nOf99Models, s3cr3tTOKEN123", secrets_of(config)) == "*** at ***, ***"
    shown = masked(config)
    assert shown.mqtt.websocket_path == "/mqtt/***"
    assert shown.rollout.url == "https://***@host/***/tuf"


def test_short_values_of_the_brokers_websocket_are_not_redacted_within_numbers():
    mqtt = {
        "transport": "websockets",
        "websocket_path": "/mqtt?v=1&key=longer-secret",
        "websocket_headers": {"X-Site": "2"},
    }

    assert mask("12 frames, longer-secret", secrets_of(Config(mqtt=mqtt))) == "12 frames, ***"


SECRETIVE = {
    "cameras": {
        "door": {"source": "rtsp://anna:hunter2@camera.local/stream?channel=1&token=hunter3"},
        "yard": {"source": "pipe: curl -u anna:hunter4 http://camera.local/mjpeg?size=2"},
    },
    "mqtt": {
        "transport": "websockets",
        "websocket_path": "/mqtt?key=hunter5",
        "websocket_headers": {"Authorization": "Bearer hunter6"},
        "username": "door",
    },
    "webhooks": [{"url": "https://hooks.example.org/services/hunter7"}],
}


def test_a_masked_configuration_has_everything_but_the_secrets():
    config = masked(Config.model_validate(SECRETIVE))

    assert "hunter" not in config.model_dump_json()
    assert config.cameras["door"].source == f"rtsp://{MASK}@camera.local/stream?channel=1&token={MASK}"
    assert config.cameras["yard"].source == f"pipe: curl -u {MASK} http://camera.local/mjpeg?size=2"
    assert config.mqtt.username == "door"
    assert config.webhooks[0].url == f"https://hooks.example.org/{MASK}"


def test_a_configuration_without_secrets_is_not_changed_by_masking():
    config = Config.model_validate(
        {
            "cameras": {"door": {"source": "rtsp://camera.local/stream?channel=1"}, "yard": {"source": "rpicam"}},
            "webhooks": [{"url": "http://localhost:8000"}],
        }
    )

    assert masked(config) == config


def test_every_masked_value_is_rejected_in_a_file(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(as_yaml(masked(Config.model_validate(SECRETIVE)), only_changes=True), encoding="utf-8")

    with pytest.raises(ConfigError) as raised:
        load_config(file)

    places = ("cameras.door.source", "cameras.yard.source", "websocket_path", "websocket_headers", "webhooks.0.url")
    lines = str(raised.value).splitlines()
    for place in places:
        assert any(place in line and "--show-secrets" in line for line in lines), place
