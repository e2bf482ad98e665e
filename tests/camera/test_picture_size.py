"""Picture size: headers agree with what OpenCV decodes."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.camera.picture_size import picture_size

PICTURE = np.random.default_rng(0).integers(0, 255, (123, 457, 3), dtype=np.uint8)


def encoded(suffix, *parameters):
    there, content = cv2.imencode(suffix, PICTURE, parameters)
    assert there
    return content.tobytes()


KINDS = {
    "jpeg": encoded(".jpg"),
    "progressive jpeg": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": encoded(".png"),
    "bmp": encoded(".bmp"),
    "webp, lossy": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "webp, lossless": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
    "tiff": encoded(".tiff"),
}


@pytest.mark.parametrize("content", KINDS.values(), ids=KINDS.keys())
def test_the_header_states_the_size(content):
    assert picture_size(io.BytesIO(content)) == (457, 123)


def test_a_webp_with_features_states_its_canvas():
    canvas = bytes(4) + (456).to_bytes(3, "little") + (122).to_bytes(3, "little")

    assert picture_size(io.BytesIO(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + canvas)) == (457, 123)


def test_a_tiff_of_the_other_byte_order_is_read_too():
    width, height = b"\x01\x00\x00\x04\x00\x00\x00\x01\x00\x00\x01\xc9", b"\x01\x01\x00\x03\x00\x00\x00\x01\x00\x7b\0\0"

    assert picture_size(io.BytesIO(b"MM\0*\x00\x00\x00\x08\x00\x02" + width + height)) == (457, 123)


def test_a_jpeg_with_a_long_preview_before_its_pixels_is_read():
    jpeg = KINDS["jpeg"]
    segment = b"\xff\xe1\xff\xff" + bytes(0xFFFF - 2)

    assert picture_size(io.BytesIO(jpeg[:2] + 5 * segment + jpeg[2:])) == (457, 123)


@pytest.mark.parametrize("content", KINDS.values(), ids=KINDS.keys())
def test_a_header_that_is_cut_off_states_nothing_wrong(content):
    for kept in range(0, 64, 3):
        assert picture_size(io.BytesIO(content[:kept])) in (None, (457, 123))


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"RIFF0000WEBPVP8 "]),
)
def test_any_bytes_state_a_size_or_none(content, start):
    size = picture_size(io.BytesIO(start + content))

    assert size is None or len(size) == 2
