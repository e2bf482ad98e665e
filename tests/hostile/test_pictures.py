"""Hostile pictures: each is answered within three seconds and 400 MB, and the next one is decoded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge_agent.errors import PictureError
from edge_agent.vision import decoder
from edge_agent.vision.decoder import DecoderProcess, decode_untrusted
from edge_agent.vision.images import decode_picture, read_picture
from tests.hostile.pictures import HOSTILE, jpeg, two_headed_jpeg

CHECKOUT = Path(__file__).parents[2]
MAX_SECONDS = 3.0
BUSY_SECONDS = 30.0
"""Allowance for a busy machine."""
MAX_MEGABYTES = 400
MAX_PIXELS = 40_000_000


def test_hostile_pictures_are_bounded_in_time_and_memory():
    command = [sys.executable, "-m", "tests.hostile.decoding"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    # No library message about a picture reaches the log.
    assert not done.stderr
    costs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [cost["name"] for cost in costs] == list(HOSTILE)
    assert [cost for cost in costs if cost["cpu_seconds"] > MAX_SECONDS] == []
    assert [cost for cost in costs if cost["seconds"] > MAX_SECONDS + BUSY_SECONDS] == []
    assert [cost for cost in costs if cost["peak_mb"] > MAX_MEGABYTES] == []


@pytest.mark.parametrize("lone", [(0x01,), tuple(range(0xD0, 0xD8)), (0x01, 0xD3, 0x01)])
def test_a_jpeg_that_two_parsers_read_differently_is_not_decoded_beyond_the_limit(lone):
    with pytest.raises(PictureError):
        decode_picture(two_headed_jpeg(*lone), max_pixels=MAX_PIXELS)


def test_a_killed_process_is_replaced():
    process = DecoderProcess()
    process.decode(jpeg(), max_pixels=MAX_PIXELS)
    os.kill(process._process.pid, signal.SIGKILL)

    with pytest.raises(PictureError):
        process.decode(jpeg(), max_pixels=MAX_PIXELS)

    assert not process.is_usable
    process.close()
    assert decode_picture(jpeg()).shape == (48, 64, 3)


def test_a_hanging_process_is_ended():
    process = DecoderProcess()
    process.decode(jpeg(), max_pixels=MAX_PIXELS)
    os.kill(process._process.pid, signal.SIGSTOP)

    with pytest.raises(PictureError):
        process.decode(jpeg(640, 480), max_pixels=MAX_PIXELS, max_seconds=0.3)

    assert not process.is_usable
    process.close()


def test_a_file_is_read_although_a_busy_machine_gives_its_process_no_time_for_seconds(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(jpeg())
    decoder.close_decoders()
    read_picture(path)
    (process,) = decoder._idle
    os.kill(process._process.pid, signal.SIGSTOP)
    resumption = threading.Timer(3.0, os.kill, (process._process.pid, signal.SIGCONT))
    resumption.start()
    try:
        assert read_picture(path).shape[2] == 3
    finally:
        resumption.join()


def test_a_picture_that_arrives_when_an_idle_process_ends_is_decoded(monkeypatch):
    decoder.close_decoders()
    idle_seconds = 0.4
    shorter = f"from edge_agent.vision import decoder\ndecoder.IDLE_SECONDS = {idle_seconds}\ndecoder.serve()"
    monkeypatch.setattr(decoder, "_CHILD_PROGRAM", decoder._CHILD_PROGRAM.replace("serve()", shorter))
    monkeypatch.setattr(decoder, "REUSE_SECONDS", idle_seconds * decoder.REUSE_SECONDS / decoder.IDLE_SECONDS)

    for _ in range(10):
        decode_untrusted(jpeg(), max_pixels=MAX_PIXELS)
        # It has stopped to listen, and Python is ending.
        time.sleep(idle_seconds + 0.005)

    decoder.close_decoders()


def test_the_answer_does_not_wait_for_an_ended_process_to_exit(monkeypatch):
    decoder.close_decoders()
    decode_untrusted(jpeg(), max_pixels=MAX_PIXELS)
    (process,) = decoder._idle
    os.kill(process._process.pid, signal.SIGSTOP)
    waiting = []
    with monkeypatch.context() as patched:
        patched.setattr(subprocess.Popen, "wait", lambda *_: waiting.append(threading.current_thread()))
        with pytest.raises(PictureError):
            decode_untrusted(jpeg(), max_pixels=MAX_PIXELS, max_seconds=0.3)

    assert threading.current_thread() not in waiting
    assert [one.is_usable for one in decoder._idle] == [True]
    process.close()
    assert process._process.returncode == -signal.SIGKILL


def test_the_memory_of_a_process_is_limited(monkeypatch):
    process = DecoderProcess()
    try:
        process.decode(jpeg(), max_pixels=MAX_PIXELS)
        limits = Path(f"/proc/{process._process.pid}/limits").read_text(encoding="ascii")
        status = Path(f"/proc/{process._process.pid}/status").read_text(encoding="ascii")
    finally:
        process.close()
    figures = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Vm")}
    allowed = next(int(line.split()[3]) for line in limits.splitlines() if line.startswith("Max address space"))

    assert allowed - int(figures["VmSize"]) * 1024 <= decoder.MIN_MEMORY_BYTES + len(jpeg())


def test_a_module_in_the_working_folder_is_not_imported_by_the_decoder(tmp_path, monkeypatch):
    (tmp_path / "PIL.py").write_text("raise SystemExit('taken over')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    process = DecoderProcess()
    try:
        assert process.decode(jpeg(), max_pixels=MAX_PIXELS).width_px == 64
    finally:
        process.close()


def test_a_forked_process_does_not_use_its_parents_decoder():
    decode_untrusted(jpeg(), max_pixels=MAX_PIXELS)

    child = os.fork()
    if child == 0:
        try:
            decode_untrusted(jpeg(), max_pixels=MAX_PIXELS)
            decoder.close_decoders()
        except BaseException:  # noqa: BLE001  (the child must not continue as a second test run)
            os._exit(1)
        os._exit(0)

    assert os.waitpid(child, 0)[1] == 0
    assert decode_untrusted(jpeg(), max_pixels=MAX_PIXELS).width_px == 64
