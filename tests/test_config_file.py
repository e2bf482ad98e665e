"""Configuration file: all mistakes are reported together, each with its line and key."""

import sys
from pathlib import Path

import pytest

from edge_agent.config.load import load_config
from edge_agent.config.model import CameraConfig, Config
from edge_agent.errors import ConfigError
from edge_agent.foreign_text import MASK


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


def test_an_unknown_key_is_reported_with_its_line_and_the_nearest_known_key(tmp_path):
    file = write(tmp_path, "device: {id: door}\n\nmotoin:\n  enabled: false\n")

    assert complaint(file) == ["line 3 motoin: unknown key; did you mean 'motion'?"]


def test_an_unknown_key_in_a_section_or_camera_is_reported_alike(tmp_path):
    file = write(tmp_path, "mqtt:\n  prot: 1883\ncameras:\n  door:\n    sorce: /dev/video0\n")

    assert complaint(file) == [
        "line 2 mqtt.prot: unknown key; did you mean 'port'?",
        "line 5 cameras.door.sorce: unknown key; did you mean 'source'?",
    ]


def test_a_key_without_a_similar_one_gets_the_list_of_known_keys(tmp_path):
    assert complaint(write(tmp_path, "log: {zzz: 1}\n")) == ["line 1 log.zzz: unknown key; known here: level"]


def test_mistakes_are_reported_together_in_the_order_of_lines(tmp_path):
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


def test_contradicting_keys_are_reported(tmp_path):
    file = write(tmp_path, "mqtt:\n  password_file: secret\n")

    assert complaint(file) == ["line 1 mqtt: password_file is given but username is empty"]


def test_a_console_reachable_from_other_machines_needs_a_password_or_a_token(tmp_path):
    (line,) = complaint(write(tmp_path, "console:\n  host: 0.0.0.0\n  cert_file: door.pem\n"))

    assert line.startswith("line 1 console: ")
    assert all(key in line for key in ("cert_file", "key_file", "host 0.0.0.0", "password_file", "token_file"))
    for key in ("password_file", "token_file"):
        file = write(tmp_path, f"console: {{host: '::', {key}: secret}}\n")
        assert getattr(load_config(file).console, key) == tmp_path / "secret"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_console_on_loopback_needs_neither(tmp_path, host):
    assert load_config(write(tmp_path, f"console: {{host: '{host}'}}\n")).console.is_loopback


def test_text_that_yaml_reads_as_a_number_must_be_quoted(tmp_path):
    assert complaint(write(tmp_path, "device:\n  id: 17\n")) == ["line 2 device.id: 17 is not text; put it in quotes"]


@pytest.mark.parametrize(
    ("section", "key"), [("mqtt", "port"), ("faces", "min_score"), ("crops", "keep_days"), ("console", "port")]
)
@pytest.mark.parametrize("value", ["on", "no"])
def test_a_boolean_is_no_number(tmp_path, section, key, value):
    (line,) = complaint(write(tmp_path, f"{section}: {{{key}: {value}}}\n"))

    assert line.startswith(f"line 1 {section}.{key}: ")
    assert "is not a number" in line


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("mqtt: localhost\n", "line 1 mqtt: 'localhost' "),
        ("mqtt:\n  host:broker.local\n", "line 1 mqtt: "),
        ("cameras:\n  source: rpicam\n", "line 2 cameras.source: "),
        ("cameras:\n  door: /dev/video0\n", "line 2 cameras.door: "),
    ],
)
def test_a_value_instead_of_a_section_is_rejected_with_the_form_of_a_section(tmp_path, text, place):
    (line,) = complaint(write(tmp_path, text))

    assert line.startswith(place)
    assert "name: value" in line


def test_a_duplicate_key_is_rejected(tmp_path):
    file = write(tmp_path, "mqtt: {port: 1}\nlog: {}\nmqtt: {host: a}\n")

    assert complaint(file) == ["line 3 mqtt: is a duplicate of line 1"]


def test_invalid_yaml_is_reported_with_its_line(tmp_path):
    (line,) = complaint(write(tmp_path, "mqtt:\n  host: [a\nlog: {}\n"))

    assert line.startswith("line 3 not YAML:")


def test_a_list_instead_of_keys_is_rejected(tmp_path):
    assert complaint(write(tmp_path, "- a\n")) == ["line 1 holds a list where keys are expected"]


def test_the_error_for_a_missing_file_names_the_command_that_creates_one(tmp_path):
    with pytest.raises(ConfigError, match=r"no such file; 'edge-agent config > .*nowhere\.yaml'"):
        load_config(tmp_path / "nowhere.yaml")


def test_the_error_for_an_inaccessible_file_names_what_gives_access(tmp_path):
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)

    with pytest.raises(ConfigError, match="sudo"):
        load_config(loop)


def test_a_file_that_is_not_utf8_is_rejected(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_bytes(b"device: {id: \xff\xfe}\n")

    assert complaint(file) == ["line 1 is not UTF-8 text; save the file as UTF-8"]


def test_a_file_that_is_too_large_for_a_configuration_is_not_read(tmp_path):
    file = tmp_path / "config.yaml"
    with file.open("wb") as sparse:
        sparse.truncate(10**12)

    with pytest.raises(ConfigError, match="larger than"):
        load_config(file)


def test_text_of_the_wrong_form_is_explained_without_a_pattern(tmp_path):
    file = write(
        tmp_path,
        "mqtt: {topic_prefix: 'a/#', client_id: 'a b', websocket_path: mqtt, host: 'a ', alpn: ä, tls: true}\n"
        "webhooks: [{url: example.com/x}, {url: 'https://user:pw@example.com'}]\n"
        "rollout: {url: 'https://models.example.org/', group: a b}\n"
        'cameras:\n  front door: {fourcc: mjpg, title: "a\\nb"}\nconsole: {host: http://localhost}\n',
    )

    lines = complaint(file)

    assert len(lines) == 13
    assert not any("^" in line or "***" in line for line in lines)
    assert any(line.startswith("line 5 cameras.front door: must consist of letters, digits") for line in lines)


def test_a_list_is_not_said_to_be_empty_because_its_values_are_wrong(tmp_path):
    file = write(tmp_path, "rules: {violations: [no_mask]}\ncameras: {}\n")

    assert [line.partition(": ")[0] for line in complaint(file)] == ["line 1 rules.violations.0", "line 2 cameras"]


def test_a_single_value_in_place_of_a_list_is_not_masked(tmp_path):
    file = write(tmp_path, "rules: {quiet_hours: 22:00-06:00}\n")

    assert complaint(file) == ["line 1 rules.quiet_hours: is not a list; write it in [ ]"]


def test_set_replaces_an_item_of_a_list_as_errors_name_it(tmp_path):
    file = write(tmp_path, "webhooks: [{url: 'http://one'}, {url: 'http://two'}]\n")

    config = load_config(file, overrides=["webhooks.1.url=http://three"])

    assert [webhook.url for webhook in config.webhooks] == ["http://one", "http://three"]
    assert complaint(file, "webhooks.1.timeout=x")[0].startswith("--set webhooks.1.timeout: unknown key")


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("webhooks.1.url=http://two", "webhooks.1.url: no such item; the file has 1, "),
        ("webhooks.-1.url=http://two", "webhooks.-1.url: no such item; the file has 1, "),
        ("webhooks.url=http://two", "webhooks.url: no such item; the file has 1, "),
        ("rules.violations.0=without_mask", "rules.violations.0: no such item; the file has 0, "),
        ("cameras.door.rules.quiet_hours.0=22:00-06:00", "cameras.door.rules.quiet_hours.0: no such item; "),
        ("mqtt.port.x=1", "mqtt.port.x: mqtt.port is a single value"),
        ("mqtt.ca_file.path=a", "mqtt.ca_file.path: mqtt.ca_file is a single value"),
    ],
)
def test_set_of_something_that_does_not_exist_names_the_given_key(tmp_path, override, key):
    file = write(tmp_path, "webhooks: [{url: 'http://one'}]\n")

    (line,) = complaint(file, override)

    assert line.startswith(f"--set {key}")


def test_set_changes_no_other_camera_that_shares_an_alias(tmp_path):
    file = write(tmp_path, "cameras:\n  a: &same {source: /dev/video0}\n  b: *same\n")

    config = load_config(file, overrides=["cameras.a.source=/dev/video1"])

    assert [camera.source for camera in config.cameras.values()] == ["/dev/video1", "/dev/video0"]


def test_set_overrides_the_file_and_is_validated(tmp_path):
    file = write(tmp_path, "mqtt: {port: 1883}\n")

    assert load_config(file, overrides=["mqtt.port=8883"]).mqtt.port == 8883
    assert complaint(file, "mqtt.port=x", "nonsense") == [
        "--set mqtt.port: 'x' is not a whole number",
        "--set nonsense: has to be KEY=VALUE",
    ]


def test_relative_paths_are_relative_to_the_folder_of_the_file(tmp_path):
    (tmp_path / "door.mp4").touch()
    file = write(tmp_path, "state_dir: state\ncameras:\n  a: {source: door.mp4}\n  b: {source: /dev/video0}\n")

    config = load_config(file)

    assert config.state == tmp_path / "state"
    assert config.cameras["a"].source == str(tmp_path / "door.mp4")
    assert config.cameras["b"].source == "/dev/video0"


def test_a_detector_without_its_network_is_rejected(tmp_path):
    file = write(tmp_path, "faces:\n  detector: yunet\n")

    assert complaint(file) == ["line 1 faces: detector 'yunet' needs the path of its network under 'model'"]


def test_a_device_id_that_is_invalid_in_a_topic_is_rejected(tmp_path):
    (line,) = complaint(write(tmp_path, "device: {id: a/b}\n"))

    assert line.startswith("line 1 device.id: ")


def test_a_key_or_section_without_a_value_has_its_default(tmp_path):
    file = write(
        tmp_path,
        "mqtt:\n  # port: 1884\ndevice: {id: }\ncameras:\n  door: {source: /dev/video1, read_timeout_seconds: }\n",
    )

    config = load_config(file, overrides=["faces.min_score="])

    assert config == load_config(None, overrides=["cameras={door: {source: /dev/video1}}"])
    assert config.mqtt.model_fields_set == set()


def test_an_unknown_key_is_rejected_even_without_a_value(tmp_path):
    assert complaint(write(tmp_path, "motoin:\n")) == ["line 1 motoin: unknown key; did you mean 'motion'?"]


def test_an_invalid_date_must_be_quoted(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yaml: .*month must be in 1\.\.12.*put it in quotes"):
        load_config(write(tmp_path, "device: {id: 2026-13-01}\n"))
    assert load_config(None, overrides=["device.id=2026-13-01"]).device.id == "2026-13-01"


def test_a_number_that_is_too_large_must_be_quoted(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.yaml: .*put it in quotes"):
        load_config(write(tmp_path, f"threads: 1{':00' * 400}.0\n"))


@pytest.mark.parametrize("escape", [r"\0", r"\ud800"])
@pytest.mark.parametrize("key", ["state_dir", "masks: {model", "mqtt: {username"])
def test_an_escape_that_stands_for_no_character_is_rejected_with_its_line(tmp_path, key, escape):
    file = write(tmp_path, f'threads: 1\n{key}: "a{escape}"' + "}\n" * ("{" in key))

    (line,) = complaint(file)

    assert line.startswith("line 2 not YAML: ")


def test_a_webhook_that_is_given_twice_is_rejected(tmp_path):
    split = (("a", "alert"), ("b", "alert"), ("a", "status"))
    webhooks = [f"{{url: 'https://alerts.example/{path}', events: [{kind}]}}" for path, kind in split]

    assert len(load_config(write(tmp_path, f"webhooks: [{', '.join(webhooks[1:])}]\n")).webhooks) == 2
    (line,) = complaint(write(tmp_path, f"webhooks: [{', '.join(webhooks)}]\n"))
    assert line.startswith("line 1 webhooks: 0 and 2 ")


def test_a_key_that_is_a_list_is_rejected_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"line 2 +not YAML: .*unhashable key"):
        load_config(write(tmp_path, "threads: 1\n? [a, b]\n: 2\n"))


@pytest.mark.parametrize("limit", [1000, 1_000_000], ids=lambda limit: f"limit {limit}")
def test_a_value_that_contains_itself_is_rejected(tmp_path, limit):
    before = sys.getrecursionlimit()
    # Some libraries raise it beyond the size of a thread's stack.
    sys.setrecursionlimit(limit)
    try:
        with pytest.raises(ConfigError, match="nested too deeply"):
            load_config(write(tmp_path, "device: &device\n  id: *device\n"))
    finally:
        sys.setrecursionlimit(before)


def test_the_retention_of_crops_is_limited(tmp_path):
    assert complaint(write(tmp_path, "crops: {keep_days: 36501}\n")) == [
        "line 1 crops.keep_days: 36501 is more than 36500.0, the most allowed"
    ]


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan"])
def test_a_number_without_a_value_is_rejected(tmp_path, number):
    (line,) = complaint(write(tmp_path, f"crops: {{keep_days: {number}}}\n"))

    assert line.startswith("line 1 crops.keep_days: ")


def test_paths_on_the_command_line_are_relative_to_the_working_directory(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    file = write(tmp_path, "masks: {model: a.tflite}\n")

    config = load_config(file, overrides=["crops.dir=crops", "mqtt.topic_prefix=site"])

    assert config.crops_folder == here / "crops"
    assert config.mask_model == tmp_path / "a.tflite"
    assert config.mqtt.topic_prefix == "site"


@pytest.mark.parametrize(
    "override", ["masks={model: a.tflite}", "webhooks=[{url: 'http://localhost/', secret_file: a.tflite}]"]
)
def test_so_are_those_inside_of_a_section_or_list(tmp_path, monkeypatch, override):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    config = load_config(write(tmp_path, ""), overrides=[override])

    assert here / "a.tflite" in {config.mask_model, *(webhook.secret_file for webhook in config.webhooks)}


def test_a_recording_on_the_command_line_is_not_one_beside_the_file(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for folder in (tmp_path, here):
        (folder / "door.mp4").touch()

    cameras = load_config(write(tmp_path, ""), overrides=["cameras.door.source=door.mp4"]).cameras

    assert cameras["door"].source == str(here / "door.mp4")


def test_a_source_whose_name_is_too_long_for_a_file_is_left_to_the_camera():
    source = "x" * 300

    assert load_config(None, overrides=[f"cameras.door.source={source}"]).cameras["door"].source == source


def test_a_detection_rate_below_the_timeout_of_tracks_is_rejected(tmp_path):
    file = write(
        tmp_path, "tracking: {lost_timeout_seconds: 1}\ncameras:\n  door: {detect_fps: 0.5}\n  gate: {detect_fps: 0}\n"
    )

    (only,) = complaint(file)
    assert "cameras.door.detect_fps" in only
    assert "tracking.lost_timeout_seconds" in only
    assert load_config(file, overrides=["tracking.lost_timeout_seconds=6"]).cameras["door"].detect_fps == 0.5


@pytest.mark.parametrize("rate", ["0.49", "0.001", "-1", ".nan"])
def test_a_detection_rate_too_low_for_any_decision_is_rejected(tmp_path, rate):
    text = f"tracking: {{lost_timeout_seconds: 1e+6}}\ncameras: {{door: {{detect_fps: {rate}}}}}\n"

    assert [line.split()[2] for line in complaint(write(tmp_path, text))] == ["cameras.door.detect_fps:"]
    governor = write(tmp_path, f"governor: {{min_detect_fps: {rate}}}\n")
    assert [line.split()[2] for line in complaint(governor)] == ["governor.min_detect_fps:"]


@pytest.mark.parametrize(("read_timeout_seconds", "silence_seconds"), [(30.0, 30.0), (0.1, 4.0)])
def test_a_camera_at_the_lowest_rate_is_not_silent(read_timeout_seconds, silence_seconds):
    camera = CameraConfig(read_timeout_seconds=read_timeout_seconds, detect_fps=0.5)

    assert Config(cameras={"door": camera}).max_silence_seconds == silence_seconds


def test_rules_without_a_violation_are_rejected(tmp_path):
    assert complaint(write(tmp_path, "rules: {violations: []}\n")) == [
        "line 1 rules.violations: needs 1 or more values"
    ]


def test_a_device_id_with_a_line_break_is_rejected(tmp_path):
    assert len(complaint(write(tmp_path, 'device: {id: "a\\n"}\n'))) == 1


def test_an_unsupported_scheme_and_a_url_as_broker_are_rejected(tmp_path):
    file = write(tmp_path, "cameras:\n  door:\n    source: ftp://x/1\nmqtt:\n  host: mqtt://broker\n")

    source, host = complaint(file)

    assert source.startswith("line 3 cameras.door.source: ftp://")
    assert "rtsp://" in source
    assert host.startswith("line 5 mqtt.host: 'mqtt://broker'")
    assert "'port'" in host


@pytest.mark.parametrize(
    ("source", "way"),
    [
        ("rtmp://10.0.0.9/bcs", "ffmpeg: rtmp://"),
        ("udp://@:1234", "ffmpeg: udp://"),
        ("SRT://10.0.0.9:9000", "ffmpeg: srt://"),
        ("file:///srv/the%20door.mp4", "/srv/the door.mp4"),
    ],
)
def test_an_unsupported_address_is_rejected_with_the_supported_form(tmp_path, source, way):
    (line,) = complaint(write(tmp_path, f'cameras:\n  door:\n    source: "{source}"\n'))

    assert way in line


@pytest.mark.parametrize(
    "address",
    [
        "rtsp://",
        "rtsp:///live",
        "http://admin:hunter2@/snapshot.jpg",
        "rtsp://admin:hunter2@camera.local:none/live",
        "rtsp://admin:hunter2@camera.local:99999/live",
        "rtsp://admin:hunter2@[127.0.0.1/live",
        "rtsp://admin:hun/ter2@camera.local/live",
        "https://camera..local/live",
    ],
)
def test_an_address_of_no_host_or_port_is_rejected_without_its_password(tmp_path, address):
    (line,) = complaint(write(tmp_path, f"cameras:\n  door:\n    source: {address}\n"))

    assert line.startswith("line 3 cameras.door.source: ")
    assert "%40" in line
    assert MASK not in line
    assert "hun" not in line


@pytest.mark.parametrize("prefix", ["maskwatch/", "/maskwatch", "site//door", "$share/x", "my site"])
@pytest.mark.parametrize("key", ["topic_prefix: {}", "home_assistant: {{prefix: {}}}"])
def test_a_topic_prefix_that_subscriptions_would_not_match_is_rejected(tmp_path, key, prefix):
    quoted = f'"{prefix}"'
    (line,) = complaint(write(tmp_path, f"mqtt:\n  {key.format(quoted)}\n"))

    assert repr(prefix) in line


@pytest.mark.parametrize("section", ["mqtt", "console"])
def test_a_host_may_be_in_brackets_and_must_not_contain_a_port(tmp_path, section):
    for host in ("[::1]", "::1"):
        config = load_config(write(tmp_path, f'{section}: {{host: "{host}"}}\n'))
        assert getattr(config, section).host == "::1"
    for host in ("door.local:8883", "[::1]:1883", "door:", "door:mqtt", "localhost:8080", "admin:hunter2@door"):
        (line,) = complaint(write(tmp_path, f'{section}: {{host: "{host}"}}\n'))
        assert line.startswith(f"line 1 {section}.host: ")
        assert "hunter2" not in line


@pytest.mark.parametrize("path", ["hook/ä", "a hook", "hook?token=sécret"])
def test_a_webhook_url_that_cannot_be_sent_is_rejected_without_its_secret(tmp_path, path):
    (line,) = complaint(write(tmp_path, f"webhooks:\n  - {{url: 'https://alerts.example/{path}'}}\n"))

    assert "%20" in line
    assert path not in line


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("rollout.url", "rollout: {url: 'https:///models'}"),
        ("rollout.url", "rollout: {url: 'https://models:none'}"),
        ("webhooks.0.url", "webhooks: [{url: 'https://alerts..example/hook'}]"),
    ],
)
def test_a_url_of_no_host_or_port_is_rejected(tmp_path, key, text):
    (line,) = complaint(write(tmp_path, f"{text}\n"))

    assert line.startswith(f"line 1 {key}: ")


@pytest.mark.parametrize("section", ["mqtt", "console"])
@pytest.mark.parametrize("host", ["broker..local", ".broker", "b" * 64])
def test_a_host_that_is_no_name_is_rejected(tmp_path, section, host):
    (line,) = complaint(write(tmp_path, f"{section}: {{host: {host}}}\n"))

    assert line.startswith(f"line 1 {section}.host: '{host}' is no host name")


@pytest.mark.parametrize("prefix", ["a\\x01b", "a\\u200bb", "a\\ufeffb", "b" * 70_000])
def test_a_topic_prefix_that_cannot_be_read_or_sent_is_rejected(tmp_path, prefix):
    (line,) = complaint(write(tmp_path, f'mqtt: {{topic_prefix: "{prefix}"}}\n'))

    assert line.startswith("line 1 mqtt.topic_prefix: ")
    assert len(line) < 200


@pytest.mark.parametrize("host", ["viewer@broker", "viewer:secret@broker:1883", "mqtt://viewer:secret@broker"])
def test_a_broker_host_with_a_user_is_rejected_without_showing_the_password(tmp_path, host):
    (line,) = complaint(write(tmp_path, f'mqtt: {{host: "{host}"}}\n'))

    assert "'username'" in line
    assert "secret" not in line


def has_no_entry(user):
    raise KeyError(user)


def test_an_unknown_home_folder_is_reported_with_its_line(tmp_path, monkeypatch):
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
def test_a_host_name_is_made_valid_in_topics(monkeypatch, host, name):
    monkeypatch.setattr("platform.node", lambda: host)

    assert load_config(None).device.name == name


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("device: {id: door}\n", encoding="utf-8-sig")

    assert load_config(file).device.name == "door"


def test_schemes_are_case_insensitive(tmp_path):
    file = write(tmp_path, "cameras:\n  door:\n    source: RTSP://User@10.0.0.9/Stream\n")

    assert load_config(file).cameras["door"].source == "rtsp://User@10.0.0.9/Stream"


def test_a_single_label_is_rejected(tmp_path):
    file = write(tmp_path, "masks:\n  labels: [with_mask]\n")

    assert complaint(file) == ["line 2 masks.labels: needs at least two different labels, or none for all"]


def test_a_secret_key_is_rejected_without_showing_it(tmp_path):
    file = write(tmp_path, "crops:\n  encrypt_for: [AGE-SECRET-KEY-1QQQ]\n")

    (line,) = complaint(file)
    assert line.startswith("line 2 crops.encrypt_for.0: ")
    assert "QQQ" not in line


def test_text_that_is_not_a_public_key_is_rejected(tmp_path):
    (line,) = complaint(write(tmp_path, "crops:\n  encrypt_for: [nonsense]\n"))

    assert line.startswith("line 2 crops.encrypt_for.0: ")
    assert all(prefix in line for prefix in ("age1", "ssh-ed25519", "ssh-rsa"))


def test_rules_of_a_camera_override_the_section(tmp_path):
    file = write(
        tmp_path,
        "rules: {min_face_px: 40, dwell_seconds: 2}\n"
        "cameras:\n  door: {rules: {min_face_px: 24, dwell_seconds: }}\n  gate: {}\n",
    )

    config = load_config(file)

    # 24 is the default, but given explicitly.
    assert (config.rules_of("door").min_face_px, config.rules_of("door").dwell_seconds) == (24, 2.0)
    assert config.rules_of("gate") == config.rules


def test_mistakes_in_the_rules_of_a_camera_are_reported_with_their_lines(tmp_path):
    file = write(
        tmp_path,
        "cameras:\n  door:\n    rules:\n      smalest_face_px: 24\n      quiet_hours:\n        - 06:00-07:00\n"
        "        - at night\n      exclusion_zones:\n        - [[0, 0], [0.5, 0]]\n"
        "        - [[0, 0], [0.5, 1.5], [1, 0]]\n        - [[0, 0], [0.5, 0.5], [1, 1]]\n"
        "      time_zone: Middle/Earth\n",
    )

    assert [line.partition(": ")[0] for line in complaint(file)] == [
        "line 4 cameras.door.rules.smalest_face_px",
        "line 7 cameras.door.rules.quiet_hours.1",
        "line 9 cameras.door.rules.exclusion_zones.0",
        "line 10 cameras.door.rules.exclusion_zones.1.1.1",
        "line 11 cameras.door.rules.exclusion_zones.2",
        "line 12 cameras.door.rules.time_zone",
    ]
