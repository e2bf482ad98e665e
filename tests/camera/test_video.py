"""Video: recordings and network streams in common formats."""

from __future__ import annotations

import gc
import http.server
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edge_agent.camera import open_camera, stream
from edge_agent.camera.decoding import VideoDecoder
from edge_agent.camera.recording import plausible_position
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from edge_agent.vision.planes import Planes
from tests.cameras import next_picture, serving_files
from tests.recordings import ffmpeg, write_recording
from tests.rtsp_server import RtspServer

TIMEOUT_SECONDS = 60.0


def opened(source, **keys):
    return open_camera(CameraConfig(source=str(source), **keys))


def test_a_stream_plays_in_real_time():
    with RtspServer() as server:
        camera = opened(server.address())
        assert camera.position_seconds is None
        began = time.monotonic()
        images = [next_picture(camera) for _ in range(25)]
        camera.close()

    assert all(image is not None and image.shape == (240, 320, 3) for image in images)
    assert time.monotonic() - began < TIMEOUT_SECONDS


@pytest.mark.parametrize("name", ["live.m3u8", "door.mp4", "door.mkv", "door.avi"])
def test_a_video_that_arrives_at_once_is_played_in_real_time(tmp_path, name):
    seconds, rate = 6, 25
    source = ("-f", "lavfi", "-i", f"testsrc=size=320x240:rate={rate}:duration={seconds}")
    # One key frame a segment, as servers send it.
    segments = ("-hls_time", "3", "-hls_list_size", "0") if name.endswith("m3u8") else ()
    # The server below cannot seek to an index at the end.
    index_first = ("-movflags", "+faststart") if name.endswith("mp4") else ()
    encoder = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "999", "-force_key_frames", "expr:gte(t,n_forced*3)")
    ffmpeg(*source, *encoder, *segments, *index_first, tmp_path / name)

    with serving_files(tmp_path) as address:
        began, pictures = time.monotonic(), 0
        with closing(opened(f"{address}/{name}")) as camera:
            while camera.grab():
                pictures += 1
    assert pictures > 0.9 * seconds * rate
    assert time.monotonic() - began > 0.9 * seconds


def test_a_power_loss_is_detected_at_once():
    with RtspServer() as server:
        camera = opened(server.address(), read_timeout_seconds=600.0)
        next_picture(camera)
        server.kill()
        killed_at = time.monotonic()
        with pytest.raises(CameraError, match=rf"rtsp://127\.0\.0\.1:{server.port}/live: stopped delivering pictures"):
            read_until_lost(camera)
        camera.close()

    assert time.monotonic() - killed_at < TIMEOUT_SECONDS


def test_a_hanging_camera_is_detected_after_the_read_timeout():
    with RtspServer() as server:
        camera = opened(server.address(), read_timeout_seconds=2.0)
        next_picture(camera)
        server.freeze()
        frozen_at = time.monotonic()
        with pytest.raises(CameraError, match="no picture for 2 s"):
            read_until_lost(camera)
        camera.close()

    # A busy machine may freeze it some time after its last picture.
    assert 1.0 < time.monotonic() - frozen_at < TIMEOUT_SECONDS


def test_a_camera_with_a_password_plays_and_the_password_is_not_revealed():
    with RtspServer("admin:hunter2") as server:
        camera = opened(server.address("admin:hunter2"))
        assert next_picture(camera) is not None
        camera.close()

        with pytest.raises(CameraError, match="refuses user or password") as raised:
            opened(server.address("admin:hunter3"))
        with pytest.raises(CameraError, match="asks for user and password"):
            opened(server.address())

    assert str(raised.value).startswith(f"rtsp://***@127.0.0.1:{server.port}/live: ")
    assert "hunter" not in str(raised.value)


def test_an_unreachable_network_camera_is_an_error_with_the_reason():
    server = RtspServer()

    with pytest.raises(CameraError, match=rf"port {server.port} cannot be reached \(Connection refused\)") as raised:
        opened(server.address("admin:hunter2"))

    assert "hunter2" not in str(raised.value)


def test_opencv_and_ffmpeg_print_nothing(tmp_path):
    (tmp_path / "letter.mp4").write_text("Dear Sir or Madam\n" * 100)
    program = """
import sys

from edge_agent.camera import open_camera
from edge_agent.config.model import CameraConfig
from edge_agent.errors import CameraError
from edge_agent.vision.planes import Planes
for source in sys.argv[1:]:
    try:
        open_camera(CameraConfig(source=source))
    except CameraError:
        continue
    raise SystemExit(f"{source} opens")
"""
    sources = [str(tmp_path / "letter.mp4"), "rtsp://admin:hunter2@127.0.0.1:9/live", "/dev/null"]

    done = subprocess.run([sys.executable, "-c", program, *sources], capture_output=True, text=True, check=True)

    assert done.stdout + done.stderr == ""


@pytest.mark.parametrize(
    ("stated", "previous", "position"),
    [
        (0.0, None, 0.0),
        (1.4, None, 1.4),
        (-5.0, None, 0.0),
        (95000.0, None, 0.0),
        (None, None, 0.0),
        (1.04, 1.0, 1.04),
        (31.0, 1.0, 31.0),
        (1.0, 1.0, 1.04),
        (0.0, 1.0, 1.04),
        (None, 1.0, 1.04),
        (95000.0, 1.0, 1.04),
    ],
)
def test_a_damaged_timestamp_is_replaced_by_one_frame_after_the_previous(stated, previous, position):
    assert plausible_position(stated, previous_seconds=previous, frame_seconds=0.04) == pytest.approx(position)


@pytest.mark.parametrize("kind", ["recording", "stream"])
def test_a_closed_camera_frees_its_decoder_at_once(tmp_path, kind):
    """A decoder for 720p holds 20 MB of pictures, and the garbage collector may run an hour later."""

    def open_and_close(source):
        with closing(opened(source)) as camera:
            next_picture(camera)

    gc.collect()
    gc.disable()
    try:
        if kind == "recording":
            open_and_close(write_recording(tmp_path / "door.mp4"))
        else:
            with RtspServer() as server:
                open_and_close(server.address())
        left = sum(isinstance(one, VideoDecoder) for one in gc.get_objects())
    finally:
        gc.enable()

    assert left == 0


@pytest.mark.parametrize("size", ["320x240", "1280x720"])
def test_frames_are_freed_without_the_garbage_collector(tmp_path, size):
    """Fifty frames of 720p in reference cycles held 100 MB until the garbage collector ran."""
    path = tmp_path / "door.mp4"
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration=0.8", "-c:v", "libx264", path)
    with closing(opened(path)) as camera:
        next_picture(camera)
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                assert next_picture(camera) is not None
            held = sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())
        finally:
            gc.enable()

    assert held < 5


def read_until_lost(camera):
    """Pictures in transit still arrive."""
    while True:
        next_picture(camera)


MOVING = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=2")


def pictures_of(path, **keys):
    with closing(opened(path, **keys)) as camera:
        pictures = []
        while (image := next_picture(camera)) is not None:
            pictures.append(image)
    return pictures


@pytest.mark.parametrize(
    ("name", "coding"),
    [
        ("h264.mp4", ("-c:v", "libx264", "-flags", "+ildct+ilme", "-x264opts", "tff=1")),
        ("mpeg2.ts", ("-c:v", "mpeg2video", "-q:v", 2, "-flags", "+ildct+ilme", "-top", 1)),
        ("ffv1.mkv", ("-c:v", "ffv1", "-top", 1)),
        ("dv.avi", ("-s", "720x576", "-pix_fmt", "yuv420p", "-c:v", "dvvideo")),
    ],
)
def test_interlaced_video_is_deinterlaced(tmp_path, name, coding):
    path = tmp_path / name
    # 50 fields a second become 25 frames, in which moving objects show combing.
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=50:duration=1", "-vf", "interlace", *coding, path)

    pictures = pictures_of(path)

    assert 24 <= len(pictures) <= 26
    assert all(image.mean() > 40 for image in pictures)
    # Rows differ from their neighbours no more than from the rows after those: no combing.
    rows = pictures[12].astype(int)
    assert np.abs(rows[1:-2:2] - rows[2:-1:2]).mean() < 1.2 * np.abs(rows[:-2:2] - rows[2::2]).mean()


@pytest.mark.parametrize(
    ("size", "stated", "key", "shown"),
    [
        ("160x240", "2/1", 0, (240, 320)),
        ("320x120", "1/2", 0, (240, 320)),
        ("720x576", "16/15", 0, (576, 768)),
        ("704x288", None, 0, (576, 704)),
        ("960x1080", None, 0, (1080, 1920)),
        ("704x288", "1/1", 0, (288, 704)),
        ("160x240", None, 2.0, (240, 320)),
        ("160x240", "50/1", 0, (240, 160)),
    ],
)
def test_pictures_with_non_square_pixels_are_stretched(tmp_path, size, stated, key, shown):
    path = tmp_path / "anamorphic.mkv"
    aspect = ("-vf", f"setsar={stated}" if stated else "setsar=0")
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=5:duration=0.4", *aspect, "-c:v", "libx264", path)

    (first, *_) = pictures_of(path, pixel_aspect_ratio=key)

    assert first.shape[:2] == shown


LARGE = ("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=5:duration=0.4", "-c:v", "libx264", "-pix_fmt", "yuv420p")


@pytest.mark.parametrize("colour_range", ["tv", "pc"])
@pytest.mark.parametrize("standard", ["bt709", "smpte170m", "bt470bg", "unspecified"])
def test_the_planes_of_a_large_picture_keep_the_colours_of_the_stream(tmp_path, standard, colour_range):
    path = tmp_path / "large.mp4"
    in_colours = f"scale=out_color_matrix={standard if standard != 'unspecified' else 'bt601'}:out_range={colour_range}"
    ffmpeg(*LARGE, "-vf", in_colours, "-colorspace", standard, "-color_range", colour_range, path)
    # PyAV 14 converts all of them as BT.601.
    ffmpeg("-i", path, "-frames:v", 1, "-pix_fmt", "bgr24", "-f", "rawvideo", tmp_path / "wanted")
    wanted = np.fromfile(tmp_path / "wanted", np.uint8).reshape(720, 1280, 3)

    first = pictures_of(path)[0]

    assert isinstance(first, Planes)
    # Further frames are predicted from it.
    assert not any(plane.flags.writeable for plane in (first.luma, first.u, first.v))
    # FFmpeg rounds down.
    assert np.abs(np.asarray(first).astype(int) - wanted).max() <= 3


@pytest.mark.parametrize(
    ("coding", "keys"),
    [
        (("-s", "1278x718"), {}),
        (("-pix_fmt", "yuv444p"), {}),
        (("-colorspace", "bt2020nc"), {}),
        (("-vf", "setsar=2/1"), {}),
        ((), {"rotate": 180}),
        ((), {"flip": "horizontal"}),
        ((), {"roi": [0.0, 0.0, 0.9, 0.9]}),
    ],
    ids=["small", "all chroma", "BT.2020", "oblong pixels", "rotated", "mirrored", "cropped"],
)
def test_other_pictures_are_converted_by_ffmpeg(tmp_path, coding, keys):
    path = tmp_path / "large.mp4"
    ffmpeg(*LARGE, *coding, path)

    assert isinstance(pictures_of(path, **keys)[0], np.ndarray)


def test_an_empty_packet_repeats_a_frame_without_ending_the_recording(tmp_path):
    recording = tmp_path / "still.ogv"
    # Theora sends an empty packet for a frame that equals the one before.
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=5:duration=2", "-r", 25, "-c:v", "libtheora", recording)

    with closing(opened(recording)) as camera:
        frames = 0
        while camera.grab():
            frames += 1

        assert frames >= 10
        assert camera.position_seconds > 1.7


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_the_stated_rotation_of_a_recording_is_applied(tmp_path, degrees):
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    ffmpeg(*MOVING, "-frames:v", 3, "-c:v", "libx264", "-qp", 0, plain)
    # A phone stores the sensor's picture and the rotation to apply; FFmpeg counts counter-clockwise.
    ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", turned)

    expected = np.rot90(pictures_of(plain)[0], degrees // 90)

    np.testing.assert_array_equal(pictures_of(turned)[0], expected)


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        # A selfie stored as the phone displayed it, and a ceiling camera that looks into a mirror.
        ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
        ((1, 0, 0, -1), lambda picture: picture[::-1]),
        ((0, 1, 1, 0), lambda picture: picture.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda picture: picture[::-1, ::-1].swapaxes(0, 1)),
        ((0.7, 0.7, -0.7, 0.7), lambda picture: picture),
        ((0, 0, 0, 0), lambda picture: picture),
    ],
)
def test_the_stated_mirroring_of_a_recording_is_applied_as_in_players(tmp_path, matrix, shown):
    plain, mirrored = tmp_path / "plain.mp4", tmp_path / "mirrored.mp4"
    ffmpeg(*MOVING, "-frames:v", 3, "-c:v", "libx264", "-qp", 0, plain)
    content = plain.read_bytes()
    straight, stated = (
        struct.pack(">9i", *(round(number * 65536) for number in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
        for a, b, c, d in ((1, 0, 0, 1), matrix)
    )
    # The matrix of the track, after that of the whole file.
    before, behind = content.rsplit(straight, 1)
    mirrored.write_bytes(before + stated + behind)

    np.testing.assert_array_equal(pictures_of(mirrored)[0], shown(pictures_of(plain)[0]))


def test_a_picture_with_side_data_unknown_to_pyav_is_shown(tmp_path):
    recording = tmp_path / "exif.mjpeg"
    jpeg = write_jpeg(tmp_path, 0)
    # EXIF with the single field Orientation: a camera of 320x240 that was held upright (6: rotate clockwise).
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHHI", 0x112, 3, 1, 6, 0, 0)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    recording.write_bytes(3 * (jpeg[:2] + segment + jpeg[2:]))

    assert pictures_of(recording)[0].shape == (320, 240, 3)


def test_stretching_ends_when_pixels_become_square(tmp_path):
    for index, (size, aspect) in enumerate([("160x240", "2/1"), ("320x240", "1/1")]):
        picture = f"testsrc2=size={size}:rate=25:duration=1"
        coding = ("-vf", f"setsar={aspect}", "-c:v", "libx264", "-bf", 0, "-output_ts_offset", index)
        ffmpeg("-f", "lavfi", "-i", picture, *coding, tmp_path / f"{index}.ts")
    both = tmp_path / "both.ts"
    both.write_bytes((tmp_path / "0.ts").read_bytes() + (tmp_path / "1.ts").read_bytes())

    shapes = {image.shape for image in pictures_of(both)}

    assert shapes == {(240, 320, 3)}


def test_a_cover_picture_is_not_mistaken_for_the_video(tmp_path):
    cover, recording = tmp_path / "cover.png", tmp_path / "recording.mkv"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=64x48", "-frames:v", 1, cover)
    tracks = ("-map", 0, "-map", 1, "-disposition:0", 0, "-disposition:1", "default")
    ffmpeg("-i", cover, *MOVING, *tracks, "-c:v:0", "png", "-c:v:1", "libx264", recording)

    assert len(pictures_of(recording)) == 50


def test_a_stream_of_damaged_pictures_is_a_loss_and_shows_no_green_frames(tmp_path):
    whole = [write_jpeg(tmp_path, number) for number in range(3)]
    damaged = [jpeg[:2000] + b"\xff\xd9" for jpeg in whole]

    with (
        serving(lambda number: damaged[number % 3]) as address,
        pytest.raises(CameraError, match=r"cannot be decoded|no video"),
        # Half of this without a picture counts as silence, also if only this machine is busy.
        closing(opened(address, read_timeout_seconds=4.0)) as camera,
    ):
        next_picture(camera)


def test_a_hanging_camera_is_reported_as_silent_even_after_a_damaged_picture(tmp_path):
    whole = write_jpeg(tmp_path, 0)
    hangs = threading.Event()

    def picture(number):
        if number > 20:
            hangs.wait(30)
        return whole[:2000] + b"\xff\xd9" if number == 20 else whole

    with serving(picture) as address, closing(opened(address, read_timeout_seconds=3.0)) as camera:
        with pytest.raises(CameraError, match="no picture for 3 s"):
            read_until_lost(camera)
        hangs.set()


def write_jpeg(folder, number):
    path = folder / f"{number}.jpg"
    cv2.imwrite(str(path), np.random.default_rng(number).integers(0, 255, (240, 320, 3), dtype=np.uint8))
    return path.read_bytes()


@contextmanager
def serving(picture, *, status=200, content_type="multipart/x-mixed-replace; boundary=frame"):
    """An HTTP camera; `picture` returns the JPEG for each number."""

    class Camera(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.end_headers()
            number = 0
            while status == 200 and content_type.startswith("multipart"):
                content = picture(number)
                number += 1
                try:
                    self.wfile.write(
                        b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(content)
                    )
                    self.wfile.write(content + b"\r\n")
                except OSError:
                    return
                time.sleep(0.04)
            self.wfile.write(b"<html><body>Log in</body></html>" * 50)

        def log_message(self, *_):
            """Log nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/video"
    finally:
        server.shutdown()
        server.server_close()


def test_an_mjpeg_stream_plays_over_http(tmp_path):
    whole = [write_jpeg(tmp_path, number) for number in range(3)]

    with serving(lambda number: whole[number % 3]) as address, closing(opened(address)) as camera:
        shapes = [next_picture(camera).shape for _ in range(5)]

    assert shapes == [(240, 320, 3)] * 5


def test_cameras_are_not_accessed_through_a_proxy(tmp_path, monkeypatch):
    whole = write_jpeg(tmp_path, 0)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    with serving(lambda _: whole) as address, closing(opened(address)) as camera:
        assert next_picture(camera).shape == (240, 320, 3)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "asks for user and password"), (403, "user or password"), (404, "no such path"), (503, "server error")],
)
def test_each_http_error_of_a_camera_has_its_own_message(status, reason):
    refusing = serving(None, status=status, content_type="text/html")
    with refusing as address, pytest.raises(CameraError, match=reason):
        opened(address)


def test_a_web_page_is_reported_instead_of_played():
    with serving(None, content_type="text/html") as address, pytest.raises(CameraError, match="web page"):
        opened(address)


def test_a_host_that_accepts_but_never_answers_is_reported(monkeypatch):
    monkeypatch.setattr("edge_agent.camera.stream.OPEN_TIMEOUT_SECONDS", 0.5)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(CameraError, match="accepts the connection, but delivers no video"),
    ):
        opened(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/live")


def test_a_stop_request_ends_the_wait_for_a_hanging_camera():
    with RtspServer() as server:
        stop = threading.Event()
        camera = open_camera(CameraConfig(source=server.address(), read_timeout_seconds=600.0), stop)
        next_picture(camera)
        server.freeze()
        threading.Timer(0.5, stop.set).start()
        began_at = time.monotonic()
        with pytest.raises(CameraError, match="asked to stop"):
            read_until_lost(camera)
        camera.close()

    assert time.monotonic() - began_at < TIMEOUT_SECONDS


def test_a_missing_decoder_is_an_error_that_lists_the_available_ones(tmp_path):
    path = tmp_path / "h264.mp4"
    ffmpeg(*MOVING, "-c:v", "libx264", path)

    with pytest.raises(CameraError, match=r"decoder qsv cannot decode h264 here.*v4l2m2m"):
        opened(path, decoder="qsv")
    assert len(pictures_of(path, decoder="software")) == 50


def threads():
    """Threads of this process, including those that Python does not know."""
    return set(Path("/proc/self/task").iterdir())


def test_converting_a_picture_starts_no_threads(tmp_path):
    ffmpeg(*MOVING, "-c:v", "libx264", path := tmp_path / "door.mp4")

    with closing(opened(path)) as camera:
        camera.grab()
        before = threads()
        camera.retrieve()

        assert threads() <= before


@pytest.fixture
def decoded(monkeypatch):
    """The packets that were decoded."""
    packets = []
    decode = VideoDecoder.decode

    def counted(decoder, packet):
        packets.append(packet)
        return decode(decoder, packet)

    monkeypatch.setattr(VideoDecoder, "decode", counted)
    return packets


@contextmanager
def streamed(path, monkeypatch):
    """A camera that sends this recording as fast as it is read, and of which pictures are requested occasionally."""
    monkeypatch.setattr(stream, "_open_stream", lambda *_, **__: av.open(str(path)))
    monkeypatch.setattr(stream, "MAX_PACKETS", 1000)
    monkeypatch.setattr(stream, "IDLE_SECONDS", 0.0)
    with closing(opened("rtsp://127.0.0.1/live", detect_fps=0.0)) as camera:
        yield camera


def looked_at(camera, *, every):
    """Pictures of a stream up to its end, each with the number of frames grabbed so far."""
    looks = []
    grabbed = 0
    while camera.grab():
        grabbed += 1
        if grabbed % every == 0:
            looks.append((grabbed, camera.retrieve()))
    return looks


GOP = ("-g", 10, "-keyint_min", 10, "-sc_threshold", 0)


@pytest.mark.parametrize(
    ("coding", "most_decoded"),
    [
        (("-c:v", "libx264", *GOP, "-bf", 0), 30),
        (("-c:v", "libx264", *GOP, "-bf", 3), 30),
        (("-c:v", "libx264", *GOP, "-bf", 3, "-x264-params", "open-gop=1"), 30),
        (("-c:v", "libx265", "-x265-params", "log-level=none:keyint=10:min-keyint=10:bframes=3:open-gop=1"), 30),
        (("-c:v", "mpeg4", *GOP, "-q:v", 4), 30),
        (("-c:v", "mjpeg", "-q:v", 4), 10),
        # All are marked as key frames, but only the first one is a complete picture.
        (("-c:v", "libx264", *GOP, "-bf", 0, "-x264-params", "intra-refresh=1"), 50),
        # Only the first is a key frame.
        (("-c:v", "libx264", "-g", 1000, "-sc_threshold", 0), 50),
    ],
)
def test_occasionally_requested_pictures_are_complete_and_current(tmp_path, monkeypatch, decoded, coding, most_decoded):
    ffmpeg(*MOVING, *coding, path := tmp_path / "door.mkv")
    true = pictures_of(path)
    decoded.clear()

    with streamed(path, monkeypatch) as camera:
        looks = looked_at(camera, every=13)

    assert len(looks) == 3
    for grabbed, image in looks:
        (number,) = [number for number, picture in enumerate(true, 1) if np.array_equal(picture, image)]
        assert grabbed <= number <= grabbed + 5
    assert len(decoded) <= most_decoded


def test_every_packet_is_decoded_when_too_many_would_be_kept(tmp_path, monkeypatch, decoded):
    ffmpeg(*MOVING, "-c:v", "libx264", *GOP, "-bf", 0, path := tmp_path / "door.mkv")
    monkeypatch.setattr(stream, "MAX_POSTPONED_BYTES", 1000)

    with streamed(path, monkeypatch) as camera:
        looks = looked_at(camera, every=50)

    assert len(looks) == 1
    assert len([packet for packet in decoded if packet]) == 50
