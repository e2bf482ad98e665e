"""Rendering: the output of `edge-agent config` is a valid configuration file."""

from edge_agent.config.load import load_config
from edge_agent.config.model import Config
from edge_agent.config.render import as_yaml


def test_the_output_is_read_back_unchanged(tmp_path):
    config = load_config(
        None, overrides=["faces.min_score=0.5", "cameras.door.source=rtsp://10.0.0.7/1", "mqtt.tls=true"]
    )
    file = tmp_path / "config.yaml"
    file.write_text(as_yaml(config), encoding="utf-8")

    assert load_config(file) == config


def test_changes_have_only_differences_and_are_read_back_unchanged(tmp_path):
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


def test_rules_written_for_a_camera_are_shown_even_if_they_are_the_default(tmp_path):
    overrides = [
        "rules={min_face_px: 40, quiet_hours: ['mon-fri 22:00-06:00']}",
        "cameras={door: {rules: {min_face_px: 24, exclusion_zones: [[[0, 0], [0.5, 0], [0, 1]]]}}, gate: {}}",
    ]
    config = load_config(None, overrides=overrides)
    file = tmp_path / "config.yaml"
    for only_changes in (False, True):
        file.write_text(as_yaml(config, only_changes=only_changes), encoding="utf-8")

        assert load_config(file) == config
        assert load_config(file).rules_of("door") == config.rules_of("door")
    assert config != load_config(None, overrides=[*overrides, "cameras.gate.rules.min_face_px=24"])


def test_webhooks_are_written_as_they_are_read(tmp_path):
    config = load_config(
        None, overrides=["webhooks=[{url: 'https://a.example/x', events: [alert]}, {url: 'http://b'}]"]
    )
    file = tmp_path / "config.yaml"
    for only_changes in (False, True):
        file.write_text(as_yaml(config, only_changes=only_changes), encoding="utf-8")

        assert load_config(file) == config
