"""A wrong configuration is explained completely, with its places, before a camera is touched."""

import sys
from pathlib import Path

import pytest

from edge_agent.config.load import load_config
from edge_agent.config.model import Config
from edge_agent.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def complaint(file: Path, *overrides: str) -> list[str]:
    """The lines of the error, without the first, which names the file."""
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides=overrides)
    first, *lines = str(caught.value).splitlines()
    assert first == f"{file}:"
    return [" ".join(line.split()) for line in lines]


def test_an_empty_file_is_the_default_configuration(tmp_path):
    assert load_config(write(tmp_path, "# nothing\n")) == Config() == load_config(None)


def test_a_typo_names_file_line_key_and_the_nearest_known_key(tmp_path):
    file = write(tmp_path, "device: {id: door}\n\nmotoin:\n  enabled: false\n")

    assert complaint(file) == ["line 3 motoin: unknown key; did you mean 'motion'?"]


def test_a_typo_inside_a_section_or_a_camera_is_explained_alike(tmp_path):
    file = write(tmp_path, "mqtt:\n  prot: 1883\ncameras:\n  door:\n    sorce: /dev/video0\n")

    assert complaint(file) == [
        "line 2 mqtt.prot: unknown key; did you mean 'port'?",
        "line 5 cameras.door.sorce: unknown key; did you mean 'source'?",
    ]


def test_a_key_like_no_other_gets_the_list_of_known_ones(tmp_path):
    assert complaint(write(tmp_path, "log: {zzz: 1}\n")) == ["line 1 log.zzz: unknown key; known here: level"]


def test_several_mistakes_are_reported_together_in_the_order_of_their_lines(tmp_path):
    file = write(
        tmp_path,
        "faces:\n  detector: yolo\nmqtt:\n  port: abc\nmotoin: {}\ncrops:\n  jpeg_quality: 101\n  keep_days: soon\n",
    )

    assert complaint(file) == [
        "line 2 faces.detector: 'yolo' is not one of 'tflite', 'yunet', 'ssd' or 'haar'",
        "line 4 mqtt.port: 'abc' is not a whole number",
        "line 5 motoin: unknown key; did you mean 'motion'?",
        "line 7 crops.jpeg_quality: 101 is more than 100, the most allowed",
        "line 8 crops.keep_days: 'soon' is not a number",
    ]


def test_keys_that_contradict_each_other_are_said_to(tmp_path):
    file = write(tmp_path, "mqtt:\n  password_file: secret\n")

    assert complaint(file) == ["line 1 mqtt: password_file is given but username is empty"]


def test_a_console_that_others_can_reach_needs_a_password_or_a_token(tmp_path):
    (line,) = complaint(write(tmp_path, "console:\n  host: 0.0.0.0\n  cert_file: door.pem\n"))

    assert line == (
        "line 1 console: cert_file and key_file go together; host 0.0.0.0 can be reached by others, who would see the "
        "cameras: name a password_file or a token_file, or set host: 127.0.0.1"
    )
    for key in ("password_file", "token_file"):
        file = write(tmp_path, f"console: {{host: '::', {key}: secret}}\n")
        assert getattr(load_config(file).console, key) == tmp_path / "secret"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_console_that_only_this_machine_can_reach_needs_neither(tmp_path, host):
    assert load_config(write(tmp_path, f"console: {{host: '{host}'}}\n")).console.is_loopback


def test_text_that_yaml_took_for_a_number_is_to_be_quoted(tmp_path):
    assert complaint(write(tmp_path, "device:\n  id: 17\n")) == ["line 2 device.id: 17 is not text; put it in quotes"]


def test_a_section_written_as_a_value_is_refused(tmp_path):
    assert complaint(write(tmp_path, "mqtt: localhost\n")) == ["line 1 mqtt: 'localhost' is not a section of keys"]


def test_a_key_that_stands_twice_is_refused_because_one_would_be_lost(tmp_path):
    file = write(tmp_path, "mqtt: {port: 1}\nlog: {}\nmqtt: {host: a}\n")

    assert complaint(file) == ["line 3 mqtt: is a duplicate of line 1"]


def test_broken_yaml_names_the_line(tmp_path):
    (line,) = complaint(write(tmp_path, "mqtt:\n  host: [a\nlog: {}\n"))

    assert line.startswith("line 3 not YAML:")


def test_a_file_that_is_a_list_is_refused(tmp_path):
    assert complaint(write(tmp_path, "- a\n")) == ["line 1 holds ['a'] where keys are expected"]


def test_a_missing_file_says_how_to_begin_one(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file; 'edge-agent config > .*nowhere\.yaml'"):
        load_config(tmp_path / "nowhere.yaml")


def test_a_file_in_another_encoding_is_refused(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_bytes(b"device: {id: \xff\xfe}\n")

    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(file)


def test_set_goes_before_the_file_and_its_mistakes_are_found_too(tmp_path):
    file = write(tmp_path, "mqtt: {port: 1883}\n")

    assert load_config(file, overrides=["mqtt.port=8883"]).mqtt.port == 8883
    assert complaint(file, "mqtt.port=x", "nonsense") == [
        "--set mqtt.port: 'x' is not a whole number",
        "--set nonsense: has to be KEY=VALUE",
    ]


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path):
    (tmp_path / "door.mp4").touch()
    file = write(tmp_path, "state_dir: state\ncameras:\n  a: {source: door.mp4}\n  b: {source: /dev/video0}\n")

    config = load_config(file)

    assert config.state == tmp_path / "state"
    assert config.cameras["a"].source == str(tmp_path / "door.mp4")
    assert config.cameras["b"].source == "/dev/video0"


def test_a_detector_that_needs_a_network_says_so(tmp_path):
    file = write(tmp_path, "faces:\n  detector: yunet\n")

    assert complaint(file) == ["line 1 faces: detector 'yunet' needs the path of its network under 'model'"]


def test_a_device_name_that_would_break_a_topic_is_refused(tmp_path):
    (line,) = complaint(write(tmp_path, "device: {id: a/b}\n"))

    assert line == "line 1 device.id: may hold letters, digits, '.', '_' and '-' only, 63 at most"


def test_a_key_or_section_without_a_value_has_its_default(tmp_path):
    file = write(
        tmp_path,
        "mqtt:\n  # port: 1884\ndevice: {id: }\ncameras:\n  door: {source: /dev/video1, read_timeout_seconds: }\n",
    )

    config = load_config(file, overrides=["faces.min_score="])

    assert config == load_config(None, overrides=["cameras={door: {source: /dev/video1}}"])
    assert config.mqtt.model_fields_set == set()


def test_a_key_that_nobody_knows_is_refused_also_without_a_value(tmp_path):
    assert complaint(write(tmp_path, "motoin:\n")) == ["line 1 motoin: unknown key; did you mean 'motion'?"]


def test_what_looks_like_a_date_and_is_none_is_explained(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yaml: .*month must be in 1\.\.12.*put it in quotes"):
        load_config(write(tmp_path, "device: {id: 2026-13-01}\n"))
    assert load_config(None, overrides=["device.id=2026-13-01"]).device.id == "2026-13-01"


@pytest.mark.parametrize("limit", [1000, 1_000_000], ids=lambda limit: f"limit {limit}")
def test_a_value_that_contains_itself_is_explained(tmp_path, limit):
    before = sys.getrecursionlimit()
    # Some libraries raise it beyond what the stack of a thread holds.
    sys.setrecursionlimit(limit)
    try:
        with pytest.raises(ConfigError, match="nested too deeply"):
            load_config(write(tmp_path, "device: &device\n  id: *device\n"))
    finally:
        sys.setrecursionlimit(before)


def test_crops_cannot_be_kept_for_longer_than_a_calendar_reaches(tmp_path):
    assert complaint(write(tmp_path, "crops: {keep_days: .inf}\n")) == [
        "line 1 crops.keep_days: inf is more than 36500.0, the most allowed"
    ]


def test_paths_on_the_command_line_count_from_where_the_person_is(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    file = write(tmp_path, "masks: {model: a.tflite}\n")

    config = load_config(file, overrides=["crops.dir=crops", "mqtt.topic_prefix=site"])

    assert config.crops_folder == here / "crops"
    assert config.mask_model == tmp_path / "a.tflite"
    assert config.mqtt.topic_prefix == "site"


def test_a_rate_at_which_everybody_is_forgotten_between_two_frames_is_refused(tmp_path):
    file = write(tmp_path, "cameras:\n  door: {detect_fps: 0.2}\n  gate: {detect_fps: 0}\n")

    assert complaint(file) == [
        "line 1 the file: cameras.door.detect_fps (0.2) leaves 5 s between frames, and "
        "tracking.lost_timeout_seconds (2) is shorter: no track would last"
    ]
    assert load_config(file, overrides=["tracking.lost_timeout_seconds=6"]).cameras["door"].detect_fps == 0.2


def test_an_agent_that_would_never_alert_is_refused(tmp_path):
    assert complaint(write(tmp_path, "rules: {violations: []}\n")) == [
        "line 1 rules.violations: needs 1 or more values"
    ]


def test_a_device_name_has_no_end_of_line(tmp_path):
    assert len(complaint(write(tmp_path, 'device: {id: "a\\n"}\n'))) == 1


def test_an_address_of_an_unknown_kind_and_a_broker_written_as_an_address_are_refused(tmp_path):
    file = write(tmp_path, "cameras:\n  door:\n    source: ftp://x/1\nmqtt:\n  host: mqtt://broker\n")

    source, host = complaint(file)

    assert source.startswith("line 3 cameras.door.source: ftp:// is no kind of address that can be watched; known are")
    assert host.startswith("line 5 mqtt.host: 'mqtt://broker' is a whole address")


@pytest.mark.parametrize(
    ("source", "way"),
    [
        ("rtmp://10.0.0.9/bcs", "ffmpeg: rtmp://"),
        ("udp://@:1234", "ffmpeg: udp://"),
        ("SRT://10.0.0.9:9000", "ffmpeg: srt://"),
        ("file:///srv/the%20door.mp4", "/srv/the door.mp4"),
    ],
)
def test_an_address_that_is_watched_in_another_way_is_refused_with_that_way(tmp_path, source, way):
    (line,) = complaint(write(tmp_path, f'cameras:\n  door:\n    source: "{source}"\n'))

    assert way in line


@pytest.mark.parametrize("prefix", ["maskwatch/", "/maskwatch", "site//door", "$share/x", "my house"])
@pytest.mark.parametrize("key", ["topic_prefix: {}", "home_assistant: {{prefix: {}}}"])
def test_a_topic_that_nobody_would_subscribe_to_is_refused(tmp_path, key, prefix):
    quoted = f'"{prefix}"'
    (line,) = complaint(write(tmp_path, f"mqtt:\n  {key.format(quoted)}\n"))

    assert repr(prefix) in line


def test_a_broker_s_host_is_understood_in_brackets_and_refused_with_its_port(tmp_path):
    assert load_config(write(tmp_path, 'mqtt: {host: "[::1]"}\n')).mqtt.host == "::1"
    assert load_config(write(tmp_path, 'mqtt: {host: "fe80::1"}\n')).mqtt.host == "fe80::1"
    for host in ("broker.local:8883", "[::1]:1883"):
        (line,) = complaint(write(tmp_path, f'mqtt: {{host: "{host}"}}\n'))
        assert "port: " in line


@pytest.mark.parametrize("host", ["viewer@broker", "viewer:secret@broker:1883", "mqtt://viewer:secret@broker"])
def test_a_broker_s_host_with_a_user_is_refused_without_a_word_of_the_password(tmp_path, host):
    (line,) = complaint(write(tmp_path, f'mqtt: {{host: "{host}"}}\n'))

    assert "mqtt.username" in line
    assert "secret" not in line


def has_no_entry(user):
    raise KeyError(user)


def test_a_home_that_is_not_known_is_a_mistake_with_its_line(tmp_path, monkeypatch):
    (line,) = complaint(write(tmp_path, "state_dir: ~nobodyhere/x\n"))
    assert line.startswith("line 1 state_dir: '~nobodyhere/x'")

    with pytest.raises(ConfigError, match="nobodyhere"):
        load_config(None, overrides=["state_dir=~nobodyhere/x"])

    for name in ("HOME", "XDG_STATE_HOME", "STATE_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", has_no_entry)
    with pytest.raises(ConfigError, match="state_dir"):
        load_config(None)


@pytest.mark.parametrize(("host", "name"), [("pi+#/1.local", "pi-1"), ("K\u00fcche", "K-che"), ("+", "maskwatch")])
def test_a_host_s_name_is_made_safe_for_topics(monkeypatch, host, name):
    monkeypatch.setattr("platform.node", lambda: host)

    assert load_config(None).device.name == name


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("device: {id: door}\n", encoding="utf-8-sig")

    assert load_config(file).device.name == "door"


def test_schemes_know_no_case(tmp_path):
    file = write(tmp_path, "cameras:\n  door:\n    source: RTSP://User@10.0.0.9/Stream\n")

    assert load_config(file).cameras["door"].source == "rtsp://User@10.0.0.9/Stream"


def test_one_label_alone_is_nothing_to_tell_apart(tmp_path):
    file = write(tmp_path, "masks:\n  labels: [with_mask]\n")

    assert complaint(file) == ["line 2 masks.labels: needs at least two different labels, or none for all"]


def test_a_secret_key_where_a_public_one_belongs_is_refused_and_not_repeated(tmp_path):
    file = write(tmp_path, "crops:\n  encrypt_for: [AGE-SECRET-KEY-1QQQ]\n")

    (line,) = complaint(file)
    assert "holds a secret key" in line
    assert "QQQ" not in line


def test_something_that_is_no_key_at_all_is_told_how_keys_begin(tmp_path):
    (line,) = complaint(write(tmp_path, "crops:\n  encrypt_for: [somebody]\n"))

    assert line.endswith("no public key of age: they begin with age1, ssh-ed25519 or ssh-rsa")


def test_rules_of_a_camera_are_its_own_keys_and_those_of_the_section_for_the_rest(tmp_path):
    file = write(
        tmp_path,
        "rules: {min_face_px: 40, dwell_seconds: 2}\n"
        "cameras:\n  door: {rules: {min_face_px: 24, dwell_seconds: }}\n  gate: {}\n",
    )

    config = load_config(file)

    # 24 is the default, and was asked for all the same.
    assert (config.rules_of("door").min_face_px, config.rules_of("door").dwell_seconds) == (24, 2.0)
    assert config.rules_of("gate") == config.rules


def test_mistakes_in_the_rules_of_a_camera_are_explained_like_those_of_the_section(tmp_path):
    file = write(
        tmp_path,
        "cameras:\n  door:\n    rules:\n      smalest_face_px: 24\n      quiet_hours:\n        - 06:00-07:00\n"
        "        - at night\n      exclusion_zones:\n        - [[0, 0], [0.5, 0]]\n"
        "        - [[0, 0], [0.5, 1.5], [1, 0]]\n        - [[0, 0], [0.5, 0.5], [1, 1]]\n"
        "      time_zone: Middle/Earth\n",
    )

    assert complaint(file) == [
        "line 4 cameras.door.rules.smalest_face_px: unknown key; did you mean 'min_face_px'?",
        "line 7 cameras.door.rules.quiet_hours.1: 'at night' is not a period such as 22:00-06:00, "
        "sat,sun 00:00-24:00 or mon-fri 12:00-13:30",
        "line 9 cameras.door.rules.exclusion_zones.0: has 2 corners; a polygon needs at least 3",
        "line 10 cameras.door.rules.exclusion_zones.1.1.1: 1.5 is more than 1.0, the most allowed",
        "line 11 cameras.door.rules.exclusion_zones.2: has all its corners on one line, and so no inside",
        "line 12 cameras.door.rules.time_zone: 'Middle/Earth' is no time zone known here; "
        "'timedatectl list-timezones' shows them",
    ]
