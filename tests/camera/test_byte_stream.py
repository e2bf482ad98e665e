"""Byte stream: extracts complete pictures from any stream, and nothing else."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.camera.byte_stream import MAX_JPEG_BYTES, JpegStream, RawStream


def a_jpeg(brightness, *, side_px=32):
    noise = np.random.default_rng(brightness).integers(0, 12, (side_px, side_px, 3))
    return cv2.imencode(".jpg", (noise + brightness).astype(np.uint8))[1].tobytes()


def with_small_picture_inside(jpeg):
    """As many cameras write: a JPEG whose first segment holds a thumbnail JPEG with its own end marker."""
    inside = b"Exif\0\0" + a_jpeg(250, side_px=16)
    return jpeg[:2] + b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside + jpeg[2:]


def pictures(stream, chunks):
    for chunk in chunks:
        stream.add(chunk)
        if (image := stream.newest()) is not None:
            yield round(float(image.mean()))


def in_pieces(content, size):
    return [content[begin : begin + size] for begin in range(0, len(content), size)]


@pytest.mark.parametrize("size", [1, 7, 100, 1_000_000])
def test_pictures_are_found_however_the_bytes_are_split(size):
    content = b"".join(a_jpeg(brightness) for brightness in (20, 120, 220))

    found = list(pictures(JpegStream(), in_pieces(content, size)))

    expected = [225] if size == 1_000_000 else [25, 125, 225]
    assert found == pytest.approx(expected, abs=4)


@pytest.mark.parametrize("size", [1, 50])
def test_output_between_pictures_is_skipped(size):
    log_lines = b"GST_ARGUS: Creating output stream\n\xff\xd8\xff garbage \xff\xd9\xff\xff\xd8"
    content = log_lines + a_jpeg(20) + log_lines + a_jpeg(120) + log_lines

    assert list(pictures(JpegStream(), in_pieces(content, size))) == pytest.approx([25, 125], abs=4)


@pytest.mark.parametrize("size", [1, 50, 1_000_000])
def test_an_embedded_thumbnail_does_not_end_the_picture(size):
    stream = JpegStream()

    assert list(pictures(stream, in_pieces(with_small_picture_inside(a_jpeg(20)), size))) == pytest.approx([25], abs=4)


def test_a_truncated_picture_does_not_spoil_the_next_one():
    content = a_jpeg(20)[:-40] + a_jpeg(120)

    assert list(pictures(JpegStream(), in_pieces(content, 64))) == pytest.approx([125], abs=4)


def test_each_picture_is_returned_once():
    stream = JpegStream()
    stream.add(a_jpeg(20))

    assert stream.newest() is not None
    assert stream.newest() is None


def test_a_picture_with_an_implausible_size_is_not_decoded():
    jpeg = bytearray(a_jpeg(20))
    frame_header = jpeg.index(b"\xff\xc0")
    jpeg[frame_header + 5 : frame_header + 9] = b"\xff\xff\xff\xff"
    stream = JpegStream()
    stream.add(bytes(jpeg))

    assert stream.newest() is None


def test_a_picture_without_an_end_does_not_fill_memory():
    stream = JpegStream()
    stream.add(a_jpeg(20)[:-2])
    for _ in range(MAX_JPEG_BYTES // 1_000_000 + 2):
        stream.add(bytes(1_000_000))
    stream.add(a_jpeg(120))

    assert np.asarray(stream.newest()).mean() == pytest.approx(125, abs=4)


@given(garbage=st.lists(st.sampled_from([b"\xff", b"\xd8", b"\xd9", b"\xda", b"\xe1", b"\x00", b"\x04", b"text"])))
@settings(max_examples=200, deadline=None)
def test_garbage_hides_only_a_bounded_stretch_of_the_stream(garbage):
    stream = JpegStream()
    stream.add(b"".join(garbage))
    # A segment in the garbage may claim up to 64 KiB of the bytes after it.
    found = list(pictures(stream, [a_jpeg(60)] * 120))

    assert found[-1] == pytest.approx(65, abs=4)


@pytest.mark.parametrize("pixels", ["bgr", "i420", "nv12"])
def test_raw_frames_keep_their_colours_and_only_the_newest_is_returned(pixels):
    width_px, height_px = 32, 16
    frames = []
    for colour in ((200, 40, 40), (40, 40, 200)):
        image = np.full((height_px, width_px, 3), colour, np.uint8)
        planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
        if pixels == "nv12":
            chroma = planar[height_px:].reshape(2, -1).T
            planar = np.concatenate([planar[:height_px].ravel(), chroma.ravel()])
        frames.append((image if pixels == "bgr" else planar).tobytes())
    stream = RawStream(pixels, width_px=width_px, height_px=height_px)

    stream.add(frames[0] + frames[1] + frames[0][:100])
    newest = np.asarray(stream.newest())
    nothing_new = stream.newest()
    stream.add(frames[0][100:])

    assert newest.shape == (height_px, width_px, 3)
    assert newest[0, 0].tolist() == pytest.approx([40, 40, 200], abs=4)
    assert nothing_new is None
    assert np.asarray(stream.newest())[0, 0].tolist() == pytest.approx([200, 40, 40], abs=4)
