"""Bridge server: answers requests, and no client can block the agent."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zmq

from edge_agent.bridge import server
from edge_agent.bridge.protocol import (
    MAX_REQUEST_BYTES,
    CommandRequest,
    DeleteRequest,
    FrameRequest,
    MetricsRequest,
    ReviewRequest,
    StatusRequest,
)
from edge_agent.bridge.server import MAX_COMMANDS, Bridge
from edge_agent.domain import Outcome
from edge_agent.errors import CommandError, UnavailableError
from edge_agent.metrics import Metrics
from tests.journeys.agent import wait_until
from tests.values import a_frame, a_status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANSWER_MS = 20_000
EMPTY = Outcome(True, (), (), (), (), (), {"faces": 0.01})


@pytest.fixture
def socket_file(tmp_path: Path) -> Path:
    return tmp_path / "console.sock"


@pytest.fixture
def bridge(socket_file) -> Iterator[Bridge]:
    def delete(alert_id: str) -> bool:
        if alert_id == "pending":
            raise CommandError("still to be sent")
        return alert_id == "there"

    def review(_alert_id: str, review: str) -> bool:
        if review == "no_face":
            raise UnavailableError("the disk is full")
        return True

    with started(socket_file, review=review, delete=delete) as opened:
        wait_until(socket_file.exists, "the socket")
        yield opened


@contextmanager
def started(socket_file, *, review=lambda *_: True, delete=lambda _: True) -> Iterator[Bridge]:
    with closing(
        Bridge(socket_file, metrics=Metrics(["door"]), versions={"maskwatch": "1"}, review=review, delete=delete)
    ) as bridge:
        bridge.start()
        yield bridge


@contextmanager
def connected(socket_file) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, closing(context.socket(zmq.DEALER)) as line:
        line.linger = 0
        line.connect(f"ipc://{socket_file}")
        yield line


@pytest.fixture
def line(bridge, socket_file) -> Iterator[zmq.Socket[bytes]]:
    with connected(socket_file) as opened:
        yield opened


def answer_to(line, request, number=b"1"):
    line.send_multipart([number, request if isinstance(request, bytes) else request.model_dump_json().encode()])
    return next_answer(line)


def next_answer(line):
    assert line.poll(ANSWER_MS)
    number, head, *pixels = line.recv_multipart()
    return number, json.loads(head), pixels


def test_the_pixels_of_a_frame_are_sent_once(bridge, line):
    frame = a_frame(brightness=7)
    bridge.frames.record(frame, EMPTY)

    _, head, (pixels,) = answer_to(line, FrameRequest(camera="door"))
    _, again, nothing = answer_to(line, FrameRequest(camera="door", after=head["number"]))

    assert (head["width"], head["height"], head["faces"]) == (64, 48, [])
    assert np.array_equal(np.frombuffer(pixels, np.uint8).reshape(48, 64, 3), frame.image)
    assert again["number"] == head["number"]
    assert nothing == []


def test_a_camera_without_a_frame_has_no_number(bridge, line):
    bridge.frames.record(a_frame(), EMPTY)
    bridge.frames.forget("door")

    assert answer_to(line, FrameRequest(camera="door"))[1]["number"] == 0
    assert answer_to(line, FrameRequest(camera="roof"))[1]["number"] == 0


def test_the_status_is_built_only_while_it_is_requested(bridge, line):
    assert not bridge.wants_status
    line.send_multipart([b"1", StatusRequest().model_dump_json().encode()])
    wait_until(lambda: bridge.wants_status, "the question")
    bridge.update_status(a_status())

    assert next_answer(line)[1] == a_status().model_dump(mode="json")


def test_a_hanging_detection_loop_is_reported(bridge, line, monkeypatch):
    monkeypatch.setattr(server, "STATUS_SECONDS", 0.1)

    assert "error" in answer_to(line, StatusRequest())[1]


def test_a_command_is_answered_and_an_expired_one_is_not_executed(bridge, line, monkeypatch):
    line.send_multipart([b"1", CommandRequest(name="pause", payload="{}").model_dump_json().encode()])
    found: list[server.Command] = []

    def takes_it():
        found.extend(bridge.commands())
        return found

    wait_until(takes_it, "the command")
    found[0].answer({"state": "done"})
    assert next_answer(line)[1] == {"state": "done"}

    monkeypatch.setattr(server, "COMMAND_SECONDS", 0.05)
    assert "error" in answer_to(line, CommandRequest(name="pause", payload="{}"))[1]
    assert list(bridge.commands()) == []


def test_the_number_of_waiting_commands_is_limited(bridge, line):
    for number in range(MAX_COMMANDS + 5):
        line.send_multipart([str(number).encode(), CommandRequest(name="pause", payload="").model_dump_json().encode()])
    for _ in range(5):
        assert "error" in next_answer(line)[1]

    assert len(bridge.commands()) == MAX_COMMANDS


def test_changes_of_alerts_return_their_result(bridge, line):
    assert answer_to(line, DeleteRequest(alert="there"))[1]["state"] == "done"
    assert answer_to(line, DeleteRequest(alert="gone"))[1]["state"] == "missing"
    assert answer_to(line, DeleteRequest(alert="pending"))[1]["state"] == "refused"
    assert answer_to(line, ReviewRequest(alert="there", review="with_mask"))[1]["state"] == "done"
    assert answer_to(line, ReviewRequest(alert="there", review="no_face"))[1] == {
        "state": "failed", "reason": "the disk is full"
    }  # fmt: skip


def test_a_slow_disk_delays_a_change_and_no_other_request(socket_file, monkeypatch):
    monkeypatch.setattr(server, "COMMAND_SECONDS", 30.0)
    responds = threading.Event()
    with started(socket_file, delete=lambda _: responds.wait(60)), connected(socket_file) as line:
        for number in range(MAX_COMMANDS):
            line.send_multipart([b"%d" % number, DeleteRequest(alert="there").model_dump_json().encode()])

        assert answer_to(line, MetricsRequest(), b"metrics")[0] == b"metrics"
        assert answer_to(line, DeleteRequest(alert="there"), b"one too many")[:2] == (
            b"one too many", {"state": "failed", "reason": "the disk is not responding"}
        )  # fmt: skip

        responds.set()
        states = [next_answer(line)[1]["state"] for _ in range(MAX_COMMANDS)]
        assert states == ["done"] * MAX_COMMANDS


def test_a_hanging_disk_is_reported(socket_file, monkeypatch):
    monkeypatch.setattr(server, "COMMAND_SECONDS", 0.1)
    responds = threading.Event()
    with started(socket_file, review=lambda *_: responds.wait(60)), connected(socket_file) as line:
        reply = answer_to(line, ReviewRequest(alert="there", review="with_mask"))[1]
        responds.set()

        assert reply == {"state": "failed", "reason": "the disk is not responding"}


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"{", b"[]", b'{"kind": "shutdown"}', b'{"kind": "review", "alert": "x", "review": "drop table"}',
     b'{"kind": "frame", "camera": "door", "after": -1}', b"\x80\x04\x95"],
)  # fmt: skip
def test_an_invalid_request_is_answered_with_an_error(bridge, line, nonsense):
    assert "error" in answer_to(line, nonsense)[1]
    assert answer_to(line, MetricsRequest())[1]["cameras"]["door"]["frames"] == 0


def test_an_oversized_request_closes_only_its_connection(bridge, line, socket_file):
    line.send_multipart([b"1", bytes(10 * MAX_REQUEST_BYTES)])
    with connected(socket_file) as other:
        assert answer_to(other, MetricsRequest())[1]["versions"] == {"maskwatch": "1"}


def test_a_client_that_never_reads_affects_neither_others_nor_memory(bridge, line, socket_file):
    bridge.frames.record(a_frame(size=(1280, 720)), EMPTY)
    for number in range(2000):
        line.send_multipart([str(number).encode(), FrameRequest(camera="door").model_dump_json().encode()])
    with connected(socket_file) as other:
        began = time.monotonic()
        for _ in range(50):
            assert answer_to(other, FrameRequest(camera="door"))[2]
        assert time.monotonic() - began < 20
    # Dropped replies are lost: far fewer replies than requests were kept.
    answers = 0
    while line.poll(500):
        line.recv_multipart()
        answers += 1
    assert answers < 1000


def test_a_new_agent_replaces_the_socket_of_a_killed_one(tmp_path, socket_file):
    socket_file.touch()
    with started(socket_file):
        wait_until(lambda: socket_file.stat().st_mode & 0o777 == 0o660, "the socket, open to the group")
        assert socket_file.is_socket()
        with connected(socket_file) as line:
            assert answer_to(line, MetricsRequest())[1]["versions"] == {"maskwatch": "1"}


def test_a_deleted_socket_is_opened_again(bridge, socket_file):
    socket_file.unlink()
    wait_until(socket_file.exists, "the socket")

    with connected(socket_file) as line:
        assert answer_to(line, MetricsRequest())[1]["versions"] == {"maskwatch": "1"}


def test_an_unwritable_folder_is_logged_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(server, "AGAIN_SECONDS", 0.05)
    file = tmp_path / "missing" / "console.sock"
    with started(file):
        wait_until(lambda: caplog.records, "the line")
        time.sleep(0.3)
        assert len(caplog.records) == 1
        file.parent.mkdir()
        wait_until(file.exists, "the socket")
