"""A file of an older version is brought up to date, and nothing that a person wrote is lost."""

from __future__ import annotations

import json

import pytest
import yaml

from edge_agent.config import Config
from edge_agent.config_file import load_config
from edge_agent.config_migration import migrate
from edge_agent.errors import ConfigError
from edge_agent.old_keys import OLD_KEYS

OLD = """\
# Our door, installed by Ann
device: {id: door-3}

# How many readings
voting:
  readings: 7   # more than the default

  window: 20

# people
tracking:
  # closer
  reach_fraction: 1.5
  overlap_fraction: 0.3
  forget_seconds: 3.0  # kept
mqtt: {host: broker.local, ended: false}   # ours
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(OLD, encoding="utf-8")
    return path


def test_an_old_key_is_named_with_what_replaced_it_and_the_command_that_helps(file):
    with pytest.raises(ConfigError) as caught:
        load_config(file)

    first, *lines = str(caught.value).splitlines()
    assert first == f"{file}:"
    assert "line 5    voting: is a key of an older version" in lines[0]
    assert "rules.tell_when_ended" in lines[3]
    assert f"'edge-agent config --migrate {file}'" in lines[4]


def test_the_new_file_holds_every_value_that_still_counts(file):
    migrate(file)

    config = load_config(file)
    assert (config.device.id, config.mqtt.host, config.tracking.forget_seconds) == ("door-3", "broker.local", 3.0)
    assert config.rules.tell_when_ended is False
    assert config.verdicts == Config().verdicts


def test_no_comment_and_no_number_of_the_old_file_is_lost(file):
    migrated = migrate(file)

    new = file.read_text(encoding="utf-8")
    for piece in (
        "# Our door, installed by Ann",
        "readings: 7   # more than",
        "window: 20",
        "# closer",
        "1.5",
        "# kept",
    ):
        assert piece in new
    assert "reach_fraction: 1.5" in new
    assert "# ours" in new
    assert migrated is not None
    assert migrated.backup.read_text(encoding="utf-8") == OLD
    assert len(migrated.changes) == len(OLD_KEYS)


def test_what_is_up_to_date_is_not_touched(file):
    assert migrate(file) is not None
    new = file.read_text(encoding="utf-8")

    assert migrate(file) is None
    assert file.read_text(encoding="utf-8") == new
    assert len(list(file.parent.iterdir())) == 2


def test_no_backup_takes_the_place_of_an_older_one_and_rights_are_kept(file):
    file.chmod(0o640)
    file.with_name("config.yaml.old").write_text("precious", encoding="utf-8")

    migrated = migrate(file)

    assert migrated is not None
    assert migrated.backup.name == "config.yaml.old-2"
    assert file.with_name("config.yaml.old").read_text(encoding="utf-8") == "precious"
    assert file.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "text",
    [
        "tracking: {overlap_fraction: 0.2, reach_fraction: 1.2}",
        "tracking: {overlap_fraction: 0.2, forget_seconds: 4.0, reach_fraction: 1.2}\n",
        "tracking: {forget_seconds: 4.0, reach_fraction: 1.2,\n  overlap_fraction: 0.2}\n",
        "mqtt:\n  ended: false\n",
        "mqtt:\n  ended: false\n  host: there\nrules:\n  # none\n",
        "rules:\nmqtt:\n  host: there\n  ended: no",
        "rules: {}\nmqtt: {ended: false}\n",
        "rules: {dwell_seconds: 2}\nmqtt: {ended: false}\n",
        "rules: {tell_when_ended: true}\nmqtt: {ended: false}\n",
        "voting: {readings: 3}\n# the end\n",
        "voting:\n  readings: 3\n",
        "{voting: {readings: 3}, mqtt: {ended: false, port: 1884}}\n",
        '{"mqtt": {"ended": false}}',
        "voting:\n\nmqtt:\n  port: 1884\n",
        "? voting\n: {readings: 3}\nmqtt: {port: 1884}\n",
    ],
)
def test_a_file_of_any_form_keeps_its_values(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    old = yaml.safe_load(text)

    migrate(file)

    config = load_config(file)
    assert config.mqtt.port == old.get("mqtt", {}).get("port", 1883)
    assert config.tracking.forget_seconds == old.get("tracking", {}).get("forget_seconds", 2.0)
    assert config.rules.dwell_seconds == (old.get("rules") or {}).get("dwell_seconds", 0.0)
    said = (old.get("rules") or {}).get("tell_when_ended", old.get("mqtt", {}).get("ended", True))
    assert config.rules.tell_when_ended is said


def test_every_old_key_is_unknown_today_and_every_new_place_is_known():
    schema = json.dumps(Config.model_json_schema())
    for key in OLD_KEYS:
        assert f'"{key.path[-1]}"' not in schema
        assert not key.becomes or f'"{key.becomes[-1]}"' in schema


@pytest.mark.parametrize("text", ["voting: [", "\x00"])
def test_what_is_no_yaml_is_explained_and_left_as_it_is(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match="not YAML"):
        migrate(file)

    assert file.read_text(encoding="utf-8") == text
    assert list(tmp_path.iterdir()) == [file]
