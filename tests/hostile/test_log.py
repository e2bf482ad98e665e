"""Foreign text: names that would forge log lines or control a terminal are escaped."""

from __future__ import annotations

import io
import json
import logging
import shutil
import sys

import pytest

from converter.cli import main as convert
from edge_agent.cli import main as agent
from edge_agent.commands.options import alert_line
from edge_agent.config.model import shipped
from edge_agent.errors import CommandError
from edge_agent.foreign_text import SafeFormatter, SafeReportFormatter, safe, safe_lines
from edge_agent.messages.command import read_command
from tests.hostile.pictures import jpeg
from tests.journeys.agent import run_command
from training.cli import main as train

FOREIGN = [
    "door\n12:00:00 ERROR   forged",
    "door\r\nforged",
    "\x1b]0;owned\x07\x1b[2J",
    "\x9b31m",
    "name\u202egpj.exe",
    "zero\u200bwidth",
    "line\u2028separator\u2029",
    "byte\udce9",
    "\x00\x08\x7f",
    "\ue000private\U000e0041tag",
]


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_foreign_text_is_one_printable_line(text):
    shown = safe(text)

    assert shown.isprintable()
    assert shown.encode("utf-8")
    assert "\\" in shown


@pytest.mark.parametrize("text", ["", "door", "caf\xe9 \u95e8 \U0001f6aa", "C:\\new\\table", "100 %"])
def test_printable_text_is_unchanged(text):
    assert safe(text) == text


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_foreign_text_cannot_start_a_log_line(text):
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    record = logging.LogRecord("edge_agent", logging.WARNING, "", 0, "command %s: %s", (text, text), None)
    handler.emit(record)
    try:
        read_command(text, b"{" + text.encode("utf-8", "backslashreplace"))
    except CommandError:
        handler.emit(logging.LogRecord("edge_agent", logging.ERROR, "", 0, "failed", None, sys.exc_info()))

    lines = out.getvalue().rstrip("\n").split("\n")
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if not line.startswith("  ")] == [lines[0], lines[1]]


def test_a_multi_line_error_is_indented():
    assert safe_lines("config.yaml:\n  line 3   x: \x1b[2J\nforged") == "config.yaml:\n  line 3   x: \\x1b[2J\n  forged"


def test_an_alert_of_a_hostile_device_is_printed_on_one_line():
    message = {
        "when": "2026\n", "device": "\x1b[2J", "camera": "\u202e", "label": "x\r", "score": 0.5, "readings": 1,
        "crop": {"file": "a\nb"},
    }  # fmt: skip

    assert alert_line(message).isprintable()


@pytest.mark.parametrize("text", FOREIGN, ids=ascii)
def test_control_characters_in_a_command_are_not_printed(text):
    with pytest.raises(CommandError) as raised:
        read_command(text, json.dumps({text: text}).encode())
    assert text not in str(raised.value)


def test_control_characters_in_a_file_name_are_escaped(tmp_path):
    hostile = tmp_path / "a\n\x1b[2Jforged.png"
    hostile.write_bytes(b"no picture")

    done = run_command("detect", hostile)

    assert done.returncode == 1
    assert "\x1b" not in done.stdout + done.stderr
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "forged" in line and "\\x1b" not in line]


@pytest.mark.parametrize(
    "address",
    [
        "https://anna:geheim@host/model.h5",
        "https:/anna:geheim@host/model.h5",
        "https://host/model.h5?token=geheim",
        "s3://anna:ge/heim@geheim@host/model.h5",
        "rtsp://host/user=anna_password=geheim_channel=1.sdp",
    ],
)
@pytest.mark.parametrize("command", [convert, train, agent], ids=["edge-convert", "edge-train", "edge-agent"])
def test_secrets_of_an_address_given_as_a_file_are_not_shown(address, command, capfd, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    arguments = {
        convert: [["inspect", address], ["bench", address]],
        train: [["explore", address], ["masks", address], ["faces", address]],
        agent: [["detect", address], ["replay", address], ["config", "--config", address]],
    }
    for one in arguments[command]:
        assert command(one) != 0
    # An invalid command line.
    with pytest.raises(SystemExit):
        command([arguments[command][0][0], address, f"--{address}", address])

    output = "".join(capfd.readouterr())
    assert "host/" in output
    assert "geheim" not in output
    assert "anna" not in output


def test_an_example_of_an_address_stays_as_it_is():
    assert safe("write http://user:password@host/x") == "write http://user:password@host/x"


def assert_control_characters_are_escaped(output):
    assert "\x1b" not in output
    assert [line for line in output.splitlines() if "forged" in line]
    assert not [line for line in output.splitlines() if line.startswith("forged")]


def test_edge_convert_escapes_control_characters_in_a_model_name(tmp_path, capfd):
    model = tmp_path / "a\nforged\x1b[2J.tflite"
    shutil.copy(shipped("models") / "masks.tflite", model)

    convert(["inspect", str(model)])
    convert(["inspect", str(tmp_path / "is not there\nforged\x1b[2J.tflite")])

    assert_control_characters_are_escaped("".join(capfd.readouterr()))


def test_edge_train_escapes_control_characters_in_a_data_set(tmp_path, capfd):
    folder = tmp_path / "shop\nforged\x1b[2J" / "with_mask"
    folder.mkdir(parents=True)
    for number in range(2):
        (folder / f"{number}\nforged\x1b[2J.jpg").write_bytes(jpeg())
    (folder / "broken\nforged\x1b[2J.jpg").write_bytes(b"no picture")

    assert train(["explore", str(tmp_path)]) == 0
    train(["explore", str(folder / "is not there\nforged\x1b[2J")])

    assert_control_characters_are_escaped("".join(capfd.readouterr()))


def test_a_report_in_the_log_keeps_only_its_line_breaks():
    record = logging.LogRecord("training", logging.INFO, "", 0, "%s", ("source  faces\n\x1b[2Jshop  3",), None)

    assert SafeReportFormatter("%(message)s").format(record) == "source  faces\n\\x1b[2Jshop  3"
