"""What `edge-agent config` prints is a configuration file itself."""

from edge_agent.config import Config
from edge_agent.config_file import load_config
from edge_agent.config_text import as_yaml


def test_what_is_written_reads_back_the_same(tmp_path):
    config = load_config(
        None, overrides=["faces.min_score=0.5", "cameras.door.source=rtsp://10.0.0.7/1", "mqtt.tls=true"]
    )
    file = tmp_path / "config.yaml"
    file.write_text(as_yaml(config), encoding="utf-8")

    assert load_config(file) == config


def test_changes_hold_only_what_differs_and_read_back_the_same(tmp_path):
    config = load_config(None, overrides=["faces.min_score=0.5", "cameras={door: {source: rtsp://10.0.0.7/1}}"])
    text = as_yaml(config, only_changes=True)
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")

    assert [line.strip() for line in text.splitlines() if line] == [
        "cameras:",
        "door:",
        "source: rtsp://10.0.0.7/1",
        "faces:",
        "min_score: 0.5",
    ]
    assert load_config(file) == config


def test_the_default_configuration_has_no_changes():
    assert as_yaml(Config(), only_changes=True) == "# Every key has its default.\n"
