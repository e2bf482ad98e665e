"""Command line of the agent: output and exit status of every command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest

from edge_agent.cli import main
from edge_agent.config.model import shipped
from edge_agent.domain import Box
from edge_agent.vision.images import read_picture
from tests.faces import COLLINS, HOPPER, face_box, portrait
from tests.journeys.agent import EXAMPLE, run_command
from tests.mosquitto import Mosquitto, free_port

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "alert.schema.json").read_text(encoding="utf-8"))


def lines(text: str) -> list[dict[str, Any]]:
    """Parse every line of stdout as JSON."""
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "bare.png"), portrait(COLLINS))
    cv2.imwrite(str(folder / "masked.png"), portrait(HOPPER, masked=True))
    return folder


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crops")


@pytest.fixture(scope="module")
def replayed(crops: Path) -> list[dict[str, Any]]:
    """The JSON lines of a replay of the example: its alerts, then a summary."""
    done = run_command("replay", "--json", "--crops", crops, EXAMPLE)

    assert done.returncode == 0, done.stderr
    return lines(done.stdout)


# detect


def test_detect_prints_a_line_per_picture_with_boxes_in_its_pixels(pictures):
    done = run_command("detect", "--json", pictures)

    assert done.returncode == 0, done.stderr
    bare, masked = lines(done.stdout)
    assert (bare["path"], bare["width"], bare["height"]) == (str(pictures / "bare.png"), 512, 512)
    assert set(bare["elapsed_ms"]) == {"faces", "masks"}
    (face,) = bare["faces"]
    assert set(face) == {"box", "face_score", "label", "label_score", "scores"}
    assert face["label"] == "without_mask"
    assert face["scores"]["without_mask"] == face["label_score"]
    assert Box(*face["box"]).overlap(face_box(COLLINS)) > 0.4
    assert [one["label"] for one in masked["faces"]][:1] in ([], ["with_mask"])


def test_an_unreadable_picture_is_reported_and_the_others_are_analysed(pictures):
    (pictures / "aaa.jpg").write_bytes(b"not a picture")
    (pictures / "empty.jpg").touch()

    done = run_command("detect", "--json", pictures, pictures / "missing.png")

    assert done.returncode == 1
    found = {Path(line["path"]).name: line for line in lines(done.stdout)}
    assert {name for name, line in found.items() if "error" in line} == {"aaa.jpg", "empty.jpg", "missing.png"}
    assert found["bare.png"]["faces"]


def test_detect_draws_into_copies_and_never_over_an_original(pictures, tmp_path):
    done = run_command("detect", "--annotate", tmp_path / "seen", pictures)

    assert done.returncode == 0, done.stderr
    drawn = read_picture(tmp_path / "seen" / "pictures" / "bare.jpg")
    assert drawn.shape == (512, 512, 3)
    assert (drawn != portrait(COLLINS)).any()
    assert "no mask" in done.stdout

    cv2.imwrite(str(pictures / "own.jpg"), portrait(COLLINS))
    refused = run_command("detect", "--annotate", tmp_path, pictures / "own.jpg")
    assert refused.returncode == 78
    assert "would replace" in refused.stderr

    # The copy of bare.png would be named bare.jpg, which may be an input too.
    assert run_command("detect", "--annotate", tmp_path, pictures / "bare.png").returncode == 78
    assert not (pictures / "bare.jpg").exists()


def test_copies_of_equal_names_are_numbered_and_no_given_picture_is_replaced(tmp_path):
    bare, masked = portrait(COLLINS), portrait(HOPPER, masked=True)
    for path, picture in {"x/one/a.png": bare, "x/one/a.bmp": masked, "y/one/a.png": masked}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / path), picture)

    done = run_command("detect", "--annotate", tmp_path / "seen", tmp_path / "x", tmp_path / "y")

    assert done.returncode == 0, done.stderr
    copies = tmp_path / "seen" / "one"
    assert {file.name for file in copies.iterdir()} == {"a.jpg", "a-2.jpg", "a-3.jpg"}
    # The second is of x/one/a.png.
    assert np.abs(read_picture(copies / "a-2.jpg").astype(int) - bare).mean() < 10

    refused = run_command("detect", "--annotate", tmp_path / "y", tmp_path / "x", tmp_path / "y")
    assert refused.returncode == 78
    assert not (tmp_path / "y" / "one" / "a.jpg").exists()


def test_copies_stay_in_their_folder_wherever_the_pictures_are(tmp_path, monkeypatch):
    working = tmp_path / "pictures" / "here"
    working.mkdir(parents=True)
    for path in (tmp_path / "pictures" / "a.png", working / "a.jpg"):
        cv2.imwrite(str(path), np.zeros((24, 32, 3), np.uint8))
    original = (working / "a.jpg").read_bytes()
    monkeypatch.chdir(working)

    done = run_command("detect", "--annotate", "seen", "../a.png")

    assert done.returncode == 0, done.stderr
    assert (working / "seen" / "pictures" / "a.jpg").is_file()
    assert (working / "a.jpg").read_bytes() == original


def test_a_picture_too_long_for_jpeg_is_analysed_but_not_drawn(pictures, tmp_path):
    cv2.imwrite(str(pictures / "aaa.png"), np.zeros((2, 70_000, 3), np.uint8))

    done = run_command("detect", "--json", "--annotate", tmp_path / "seen", pictures)

    assert done.returncode == 1
    assert [line["width"] for line in lines(done.stdout)] == [70_000, 512, 512]
    assert "aaa.png: 70000x2 pixels cannot be drawn as JPEG" in done.stderr
    assert {file.name for file in (tmp_path / "seen" / "pictures").iterdir()} == {"bare.jpg", "masked.jpg"}


def test_detect_reports_a_folder_without_pictures(tmp_path):
    done = run_command("detect", "--json", tmp_path)

    assert done.returncode == 1
    assert done.stdout == ""
    assert f"{tmp_path}: contains no pictures" in done.stderr


def test_a_file_name_that_is_not_utf8_is_printed(pictures):
    strange = os.fsdecode(os.fsencode(pictures) + b"/\xff.png")
    (pictures / "bare.png").rename(strange)
    strict = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}

    done = run_command("detect", "--json", strange, env=strict)
    said = run_command("detect", strange, env=strict)

    assert (done.returncode, said.returncode) == (0, 0), done.stderr + said.stderr
    assert [line["path"] for line in lines(done.stdout)] == [strange]
    assert "\\udcff.png: " in said.stdout


# exit status


def test_an_internal_error_has_its_own_exit_status(pictures):
    broken = "import sys, cv2; cv2.CascadeClassifier = None; from edge_agent.cli import main; sys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", broken, "detect", "--set", "faces.detector=haar", pictures],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 70
    assert "please report this" in done.stderr
    assert "Traceback" in done.stderr


# replay


def test_replay_prints_alerts_as_published_and_a_summary_last(replayed, crops):
    *alerts, last = replayed
    assert [alert["camera"] for alert in alerts] == ["street_door"] * 2
    for alert in alerts:
        jsonschema.validate({key: value for key, value in alert.items() if key != "at_seconds"}, SCHEMA)
        assert 0 < alert["at_seconds"] < 10
        assert Path(alert["crop"]["file"]).parent == crops
    assert last["summary"]["alerts"] == 2
    assert {"frames", "fps", "alerts", "stages_ms"} <= set(last["summary"])


def test_recordings_of_equal_names_have_an_explanation_each(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder / "door").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / folder / "door" / "1.png"), portrait(COLLINS))

    done = run_command("replay", "--explain", tmp_path / "why", tmp_path / "x" / "door", tmp_path / "y" / "door")

    assert done.returncode == 0, done.stderr
    assert {file.name for file in (tmp_path / "why").glob("*.json")} == {"door.json", "door-2.json"}


def test_recordings_without_a_printable_name_are_replayed(tmp_path, monkeypatch):
    (tmp_path / "door").mkdir()
    recording = tmp_path / "door" / os.fsdecode(b"d\xff.mp4")
    shutil.copy(EXAMPLE, recording)
    cv2.imwrite(str(tmp_path / "door" / "1.png"), portrait(COLLINS))
    monkeypatch.chdir(tmp_path / "door")

    done = run_command("replay", "--json", "--explain", "../why", recording, ".")

    assert done.returncode == 0, done.stderr
    assert {line["camera"] for line in lines(done.stdout)[:-1]} == {"d\\udcff"}
    assert {file.name for file in (tmp_path / "why").glob("*.json")} == {"d\\udcff.json", "door.json"}


def test_replay_explains_why_each_person_was_alerted_or_not(tmp_path):
    done = run_command("replay", "--json", "--explain", tmp_path / "why", EXAMPLE)

    assert done.returncode == 0, done.stderr
    *alerts, last = lines(done.stdout)
    explanation = json.loads((tmp_path / "why" / "street_door.json").read_text(encoding="utf-8"))
    alerted = [
        event["at_seconds"] for track in explanation["tracks"] for event in track["events"] if "alert" in event["event"]
    ]
    assert alerted == [alert["at_seconds"] for alert in alerts]
    assert sum(len(track["readings"]) for track in explanation["tracks"]) == last["summary"]["readings"]
    assert sum(track["frames"] for track in explanation["tracks"]) == last["summary"]["faces"]
    assert last["summary"]["faces_per_reading"] > 1
    assert read_picture(tmp_path / "why" / "street_door.png").shape[1] == 1280


def test_replay_raises_an_alert_even_if_its_crop_cannot_be_stored(tmp_path):
    (tmp_path / "file").touch()

    done = run_command("replay", "--json", "--crops", tmp_path / "file", EXAMPLE)

    assert done.returncode == 0, done.stderr
    *alerts, _ = lines(done.stdout)
    assert len(alerts) == 2
    assert all(alert["crop"] is None and "cannot be kept" in alert["crop_error"] for alert in alerts)


def test_the_example_raises_alerts_while_people_without_a_mask_are_in_view(replayed):
    events = json.loads(EXAMPLE.with_suffix(".events.json").read_text(encoding="utf-8"))
    bare = [event for event in events if event["label"] == "without_mask"]

    for alert, event in zip(replayed[:-1], bare, strict=True):
        assert event["from_seconds"] <= alert["at_seconds"] <= event["to_seconds"]


def test_the_same_recording_raises_the_same_alerts(replayed):
    def properties(alerts: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
        return [(a["at_seconds"], a["label"], a["score"], a["box"], a["when"]) for a in alerts]

    again = lines(run_command("replay", "--json", EXAMPLE).stdout)

    assert properties(again[:-1]) == properties(replayed[:-1])


def test_a_recording_cut_off_in_the_middle_is_replayed_as_far_as_it_goes(tmp_path):
    whole = EXAMPLE.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # the index is at the start of the file

    done = run_command("replay", "--json", tmp_path / "cut.mp4")

    assert done.returncode == 0, done.stderr
    assert 20 < lines(done.stdout)[-1]["summary"]["frames"] < 138
    assert "ended" in done.stderr


def test_an_invalid_recording_is_rejected(tmp_path):
    (tmp_path / "no.mp4").write_bytes(b"no recording at all")

    done = run_command("replay", tmp_path / "no.mp4")

    assert done.returncode == 75
    assert "no.mp4" in done.stderr
    assert "Traceback" not in done.stderr


# doctor --quick


def test_the_quick_doctor_finds_everything_in_order(tmp_path):
    with Mosquitto(tmp_path / "broker") as broker:
        done = run_command(
            "doctor", "--quick", "--json", "--set", f"cameras={{door: {{source: {EXAMPLE}}}}}", "--set",
            f"mqtt.port={broker.port}", "--set", "mqtt.host=127.0.0.1", "--set", f"state_dir={tmp_path / 'state'}",
        )  # fmt: skip

    found = {line["check"]: line for line in lines(done.stdout)}
    assert all(line["ok"] for line in found.values()), done.stdout
    assert done.returncode == 0
    assert set(found) == {
        "configuration", "masks", "runtime", "faces", "camera door", "outbox", "crops", "history", "broker", "console",
    }  # fmt: skip
    assert "litert" in found["runtime"]["message"]
    assert "640x360" in found["camera door"]["message"]


def test_the_console_does_not_start_with_an_unreadable_password(tmp_path):
    missing = tmp_path / "password"

    done = run_command(
        "console", "--set", f"console.password_file={missing}",
        "--set", f"state_dir={tmp_path / 'state'}",
    )  # fmt: skip

    assert done.returncode == 78
    assert str(missing) in done.stderr


def test_the_quick_doctor_reports_mistakes_of_the_file_as_a_finding(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("mqtt: {port: abc}\nmotoin: {}\n", encoding="utf-8")

    done = run_command("doctor", "--quick", "--json", "--config", file)

    assert done.returncode == 78
    (line,) = lines(done.stdout)
    assert (line["check"], line["ok"]) == ("configuration", False)
    assert "'abc' is not a whole number" in line["message"]
    assert "did you mean 'motion'?" in line["message"]


def test_the_quick_doctor_reports_all_problems(tmp_path):
    (tmp_path / "file").touch()
    done = run_command(
        "doctor", "--quick", "--set", "cameras={door: {source: /dev/video97}}", "--set", f"mqtt.port={free_port()}",
        "--set", f"state_dir={tmp_path / 'file'}", "--set", f"masks.model={tmp_path / 'none.tflite'}",
    )  # fmt: skip

    wrong = [line for line in done.stdout.splitlines() if line.startswith("WRONG")]
    assert done.returncode == 78
    assert [line.split()[1] for line in wrong] == ["masks", "runtime", "camera", "outbox", "crops", "broker"]
    assert "Traceback" not in done.stderr


# models, config, and errors


def test_models_lists_hashes_and_labels_and_marks_those_in_use():
    done = run_command("models", "--json")

    assert done.returncode == 0, done.stderr
    detector, classifier = [line for line in lines(done.stdout) if line["used"]]
    assert detector["path"] == str(shipped("models") / "faces.json")
    assert all(len(file["sha256"]) == 64 for file in detector["files"])
    assert classifier["path"] == str(shipped("models") / "masks.tflite")
    assert set(classifier["labels"]) >= {"with_mask", "without_mask"}
    assert len(classifier["sha256"]) == 64


def test_the_fast_detector_is_chosen_by_one_word_in_the_configuration():
    done = run_command("models", "--json", "--set", "faces.variant=fast")

    assert done.returncode == 0, done.stderr
    assert {Path(line["path"]).name for line in lines(done.stdout) if line["used"]} == {
        "faces-fast.json",
        "masks.tflite",
    }


def a_copy_of_the_model(folder: Path) -> Path:
    for suffix in (".tflite", ".json"):
        shutil.copy(shipped("models") / f"masks{suffix}", folder)
    return folder / "masks.tflite"


def test_a_truncated_model_is_refused_before_anything_else_happens(tmp_path):
    model = a_copy_of_the_model(tmp_path)
    model.write_bytes(model.read_bytes()[:10_000])

    done = run_command("run", "--set", f"masks.model={model}")

    assert done.returncode == 78
    assert "SHA-256 differs from masks.json" in done.stderr


def test_a_card_of_another_model_is_refused(tmp_path):
    model = a_copy_of_the_model(tmp_path)
    card = json.loads(model.with_suffix(".json").read_text())
    card["input"]["width"] += 32
    model.with_suffix(".json").write_text(json.dumps(card))

    done = run_command("detect", "--set", f"masks.model={model}", EXAMPLE)

    assert done.returncode == 78
    assert "the card does not fit the model: input shape" in done.stderr


def test_a_model_without_a_card_is_refused(tmp_path):
    model = a_copy_of_the_model(tmp_path)
    model.with_suffix(".json").unlink()

    done = run_command("models", "--set", f"masks.model={model}")

    assert done.returncode == 78
    assert "its card masks.json is missing" in done.stdout


def test_config_prints_a_schema_that_the_default_file_fits():
    import yaml

    schema = json.loads(run_command("config", "--schema").stdout)
    written = yaml.safe_load(run_command("config").stdout)

    jsonschema.validate(written, schema)


def test_a_wrong_key_ends_every_command_with_78_and_its_line(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("mqtt:\n  prot: 1883\n")

    done = run_command("run", "--config", file)

    assert done.returncode == 78
    assert "line 2   mqtt.prot: unknown key; did you mean 'port'?" in done.stderr


@pytest.mark.parametrize("command", ["run", "detect", "replay", "doctor", "bench", "config", "alerts", "models"])
def test_every_command_has_a_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"example: edge-agent {command}" in " ".join(capsys.readouterr().out.split())


# the reference recordings, with YuNet by path


@pytest.mark.reference_data
@pytest.mark.parametrize(
    ("video", "alerts"),
    [("unmasked_outdoors.mp4", 1), ("masked_at_laptop.mp4", 0), ("puts_mask_on_close_up.mp4", 1)],
)
def test_the_reference_recordings_raise_the_right_alerts(shared, video, alerts):
    done = run_command(
        "replay", "--json", shared / "videos" / video, "--set", "faces.detector=yunet",
        "--set", f"faces.model={shared / 'weights' / 'face_detection_yunet_2023mar.onnx'}",
    )  # fmt: skip

    assert lines(done.stdout)[-1]["summary"]["alerts"] == alerts


def test_names_with_special_characters_are_used_verbatim(tmp_path):
    folder = tmp_path / """it's C:\\new, "odd" #1"""
    folder.mkdir()
    cv2.imwrite(str(folder / "one.png"), portrait(COLLINS))
    state = {"XDG_STATE_HOME": str(tmp_path / "state: it's #1")}

    done = run_command("run", "--demo", "--source", folder, env={**os.environ, **state})

    assert done.returncode == 0, done.stderr
    assert "1 frames in" in done.stdout
    assert (tmp_path / "state: it's #1" / "maskwatch" / "demo" / "alerts.sqlite").exists()


@pytest.mark.parametrize("device", ["#", "a/b", "+a", ""])
def test_alerts_rejects_an_invalid_device_name(device, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["alerts", "--device", device])

    assert ended.value.code == 2
    assert "--device" in capsys.readouterr().err


def test_an_unreadable_recording_does_not_prevent_the_replay_of_others(tmp_path):
    done = run_command("replay", "--json", tmp_path / "missing.mp4", EXAMPLE)

    assert done.returncode == 75
    assert "missing.mp4" in done.stderr
    assert lines(done.stdout)[-1]["summary"]["alerts"] == 2


@pytest.mark.parametrize("demo", [["--demo"], []])
def test_a_missing_recording_is_rejected_without_waiting(tmp_path, demo):
    done = run_command("run", *demo, "--source", tmp_path / "typo.mp4", "--set", f"state_dir={tmp_path}")

    assert done.returncode == 75
    assert "typo.mp4: No such file or directory; give" in done.stderr


def test_a_source_that_is_not_supported_is_a_mistake_of_the_configuration(tmp_path):
    done = run_command("run", "--source", "ftp://x/1", "--set", f"state_dir={tmp_path}")

    assert done.returncode == 78
    assert "cameras.camera.source: ftp:// is not a supported scheme" in done.stderr


def test_the_messages_of_runtimes_are_not_printed(pictures):
    assert "XNNPACK" not in run_command("detect", pictures).stderr


def test_the_version_is_printed_without_importing_the_libraries_of_the_agent():
    code = (
        "import sys; from edge_agent.cli import main\n"
        "try: main(['--version'])\n"
        "finally: print([name for name in ('numpy', 'cv2', 'pydantic', 'paho') if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.splitlines()[1:] == ["[]"]
