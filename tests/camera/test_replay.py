"""Replay: every frame of a recording with its own timestamp, also of a damaged one."""

import itertools
import logging
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_agent.camera.pictures import PICTURES_PER_SECOND
from edge_agent.camera.replay import recorded_frames
from edge_agent.errors import CameraError
from tests.recordings import FRAMES_PER_SECOND, cut_off, ffmpeg, write_recording


@pytest.fixture(params=["avi", "mp4", "h264.mp4", "ts", "mkv"])
def recording(request, tmp_path):
    """Fifty frames at 25 per second, in each common file format."""
    if request.param in ("avi", "mp4"):
        return write_recording(tmp_path / f"entrance.{request.param}")
    path = tmp_path / f"entrance.{request.param}"
    ffmpeg("-i", write_recording(tmp_path / "source.avi"), "-c:v", "libx264", "-g", 5, "-movflags", "+faststart", path)
    return path


def test_every_frame_has_its_own_timestamp(recording, caplog):
    frames = list(recorded_frames(recording, camera="entrance"))

    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.taken_at for frame in frames] == pytest.approx([n / FRAMES_PER_SECOND for n in range(50)], abs=1e-6)
    brightness = [frame.image.mean() for frame in frames]
    assert brightness == sorted(brightness)
    assert {frame.camera for frame in frames} == {"entrance"}
    assert not caplog.records


def test_the_time_of_day_is_the_file_modification_time_and_the_position(tmp_path):
    recording = write_recording(tmp_path / "entrance.avi")
    changed_when = datetime(2026, 5, 4, 12, 30, tzinfo=timezone.utc)
    os.utime(recording, (0, changed_when.timestamp()))

    frames = list(recorded_frames(recording, camera="entrance"))

    assert frames[0].taken_when == changed_when
    assert frames[25].taken_when == changed_when + timedelta(seconds=1)
    assert frames[0].taken_when.tzinfo is timezone.utc


def test_a_recording_with_a_variable_frame_rate_keeps_its_gaps(tmp_path):
    path = tmp_path / "gaps.mkv"
    source = write_recording(tmp_path / "source.avi")
    ffmpeg("-i", source, "-vf", "select='not(between(n,10,34))'", "-fps_mode", "passthrough", "-c:v", "libx264", path)

    times = [frame.taken_at for frame in recorded_frames(path, camera="entrance")]

    assert times[9:11] == pytest.approx([9 / FRAMES_PER_SECOND, 35 / FRAMES_PER_SECOND], abs=0.002)


def test_timestamps_increase_although_the_clock_of_a_transport_stream_jumps(tmp_path):
    first, second = tmp_path / "first.ts", tmp_path / "second.ts"
    source = write_recording(tmp_path / "source.avi")
    for path, begins in ((first, 90), (second, 0)):
        ffmpeg("-i", source, "-c:v", "libx264", "-output_ts_offset", begins, path)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())

    times = [frame.taken_at for frame in recorded_frames(both, camera="entrance")]

    assert len(times) == 100
    assert all(later > earlier for earlier, later in itertools.pairwise(times))
    assert times[-1] < 10


@pytest.mark.parametrize("begins", [(90, 0), (0, 500), (10, 0)])
def test_joined_recordings_each_keep_their_own_frame_rate(tmp_path, begins):
    source, both = write_recording(tmp_path / "source.avi"), tmp_path / "both.ts"
    for begin_seconds, slower in zip(begins, (1, 5), strict=True):
        timing = ("-vf", f"setpts={slower}*PTS", "-fps_mode", "passthrough", "-output_ts_offset", begin_seconds)
        ffmpeg("-i", source, *timing, "-c:v", "libx264", tmp_path / "one.ts")
        with both.open("ab") as joined:
            joined.write((tmp_path / "one.ts").read_bytes())

    times = [frame.taken_at for frame in recorded_frames(both, camera="entrance")]

    assert len(times) == 100
    assert np.diff(times) == pytest.approx([0.04] * 50 + [0.2] * 49, abs=0.001)


@pytest.mark.parametrize("name", ["avi", "faststart.mp4", "mkv"])
def test_a_truncated_recording_plays_up_to_its_end_with_one_warning(tmp_path, caplog, name):
    whole = tmp_path / f"entrance.{name}"
    ffmpeg("-i", write_recording(tmp_path / "source.avi"), "-q:v", 2, "-movflags", "+faststart", whole)
    cut = cut_off(whole)

    with caplog.at_level(logging.WARNING):
        frames = list(recorded_frames(cut, camera="entrance"))

    assert 10 <= len(frames) < 40
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{cut}: ended at frame {len(frames)} of 50;")


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".ts"])
def test_damage_in_the_middle_is_reported_and_the_frames_after_it_are_played(tmp_path, caplog, suffix):
    path = tmp_path / f"entrance{suffix}"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2", "-c:v", "libx264", "-g", 5, path)
    content = bytearray(path.read_bytes())
    middle = slice(len(content) // 3, len(content) // 2)
    content[middle] = bytes(number * 7 % 256 for number in range(middle.stop - middle.start))
    path.write_bytes(content)

    frames = list(recorded_frames(path, camera="entrance"))

    assert 25 < len(frames) < 50
    assert frames[-1].taken_at > 1.8
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: ")


def test_frames_that_are_shown_although_they_are_damaged_are_reported(tmp_path, caplog):
    path = tmp_path / "entrance.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2", "-c:v", "libx264", "-g", 5, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)

    assert len(list(recorded_frames(path, camera="entrance"))) == 50
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: ")


@pytest.mark.parametrize("stamps", ["PTS+1000/TB", "PTS+70/TB*gte(N\\,20)"])
def test_a_late_start_or_a_long_gap_is_not_reported_as_truncation(tmp_path, caplog, stamps):
    whole = tmp_path / "motion.mkv"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=2")
    ffmpeg(*picture, "-vf", f"setpts={stamps}", "-fps_mode", "passthrough", "-c:v", "mjpeg", whole)

    assert len(list(recorded_frames(whole, camera="entrance"))) == 50
    assert not caplog.records


def test_a_truncated_transport_stream_plays_up_to_its_end(tmp_path):
    """It states no duration, so the end is not known to be missing."""
    whole = tmp_path / "entrance.ts"
    ffmpeg("-i", write_recording(tmp_path / "source.avi"), "-c:v", "libx264", "-g", 5, whole)

    frames = list(recorded_frames(cut_off(whole), camera="entrance"))

    assert 10 <= len(frames) < 40


def test_a_recording_without_its_index_is_an_error_with_the_reason(tmp_path):
    cut = cut_off(write_recording(tmp_path / "entrance.mp4"))

    with pytest.raises(CameraError, match=r"cut_entrance\.mp4: not a video that can be read; .*\(the moov atom\)"):
        recorded_frames(cut, camera="entrance")


def test_a_file_without_frames_is_an_error(tmp_path):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam\n" * 100)
    ffmpeg("-f", "lavfi", "-i", "sine=d=1", tmp_path / "sound.mp4")
    whole = write_recording(tmp_path / "entrance.avi")
    os.mkfifo(tmp_path / "pipe.mp4")
    header_only = cut_off(whole, kept_fraction=0.005)

    reasons = {
        "missing.mp4": "No such file or directory",
        "empty.mp4": "the file is empty",
        "letter.mp4": "not a video",
        "sound.mp4": "not a video",
        "pipe.mp4": "not a file",
        header_only.name: "",
    }
    for name, reason in reasons.items():
        with pytest.raises(CameraError) as raised:
            recorded_frames(tmp_path / name, camera="entrance")
        assert str(raised.value).startswith(f"{tmp_path / name}: ")
        assert reason in str(raised.value)


def test_a_file_name_that_is_not_utf8_plays(tmp_path):
    """OpenCV crashed on it, and the agent with it."""
    recording = write_recording(tmp_path / "cafe.avi")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.avi"))
    recording.rename(odd)

    assert len(list(recorded_frames(odd, camera="entrance"))) == 50


def test_a_folder_of_pictures_plays_like_a_recording(tmp_path):
    for name, brightness in (("b.png", 2), ("a.png", 1), ("c.png", 3)):
        cv2.imwrite(str(tmp_path / name), np.full((20, 30, 3), brightness, np.uint8))

    frames = list(recorded_frames(tmp_path, camera="folder"))

    assert [int(frame.image[0, 0, 0]) for frame in frames] == [1, 2, 3]
    assert [frame.taken_at for frame in frames] == [n / PICTURES_PER_SECOND for n in range(3)]
