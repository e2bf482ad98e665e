"""Images: every kind of picture is decoded as OpenCV does, and measured before it is decoded."""

import io
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from edge_agent.errors import PictureError
from edge_agent.vision import decoder
from edge_agent.vision.images import MAX_PIXELS, decode_picture, read_picture
from tests.hostile.pictures import GREY, black_png, claiming_png

NOISE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (123, 457, 3), dtype=np.uint8), (0, 0), 2)


def encoded(suffix, *parameters, pixels=NOISE):
    done, content = cv2.imencode(suffix, pixels, parameters)
    assert done
    return content.tobytes()


KINDS = {
    "jpeg": encoded(".jpg"),
    "jpeg, coarse": encoded(".jpg", cv2.IMWRITE_JPEG_QUALITY, 30),
    "jpeg, grey": encoded(".jpg", pixels=NOISE[..., 0]),
    "jpeg, progressive": encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "png": encoded(".png"),
    "bmp": encoded(".bmp"),
    "webp, lossy": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 80),
    "webp, lossless": encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 101),
    "tiff": encoded(".tiff"),
}


def write_picture(path, pixels=None):
    assert cv2.imwrite(str(path), np.full((20, 30, 3), 90, np.uint8) if pixels is None else pixels)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".JPG"])
def test_every_format_is_read(tmp_path, suffix):
    image = read_picture(write_picture(tmp_path / f"portrait{suffix}"))

    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert abs(int(image.mean()) - 90) <= 1


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((20, 30), 90, np.uint8),
        np.full((20, 30, 4), 90, np.uint8),
        np.full((20, 30), 90 * 257, np.uint16),
        np.full((20, 30, 3), 90 * 257, np.uint16),
    ],
    ids=["grey", "transparent", "grey of 16 bits", "colour of 16 bits"],
)
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_other_layouts_become_colour_of_eight_bits(tmp_path, pixels, suffix):
    image = read_picture(write_picture(tmp_path / f"scan{suffix}", pixels))

    assert image.shape == (20, 30, 3)
    assert image.dtype == np.uint8
    assert (image == 90).all()


def test_an_exif_orientation_is_applied(tmp_path):
    lying = np.zeros((20, 30, 3), np.uint8)
    lying[:, :15] = 255
    path = write_picture(tmp_path / "lying.jpg", lying)
    content = path.read_bytes()
    turned = b"Exif\0\0MM\0*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(turned) + 2) + turned + content[2:])

    image = read_picture(path)

    assert image.shape == (30, 20, 3)
    assert image[:10].mean() > 200
    assert image[-10:].mean() < 50


def test_a_name_that_is_not_utf8_is_read(tmp_path):
    path = write_picture(tmp_path / "plain.png")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    path.rename(odd)

    assert read_picture(odd).shape == (20, 30, 3)


def test_each_reason_why_a_picture_cannot_be_read_has_its_own_message(tmp_path):
    good = write_picture(tmp_path / "good.jpg", np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "letter.jpg").write_text("Dear Sir or Madam")
    (tmp_path / "half.jpg").write_bytes(good.read_bytes()[:2000])
    os.mkfifo(tmp_path / "pipe.jpg")
    cv2.imwrite(str(tmp_path / "float.tiff"), np.zeros((20, 30), np.float32))

    reasons = {
        "missing.jpg": "No such file or directory",
        "empty.jpg": "the file is empty",
        "letter.jpg": "not a JPEG, PNG, BMP, WebP or TIFF picture",
        "half.jpg": "truncated or damaged",
        "pipe.jpg": "not a file",
        "float.tiff": "mode F",
    }
    for name, reason in reasons.items():
        with pytest.raises(PictureError) as raised:
            read_picture(tmp_path / name)
        assert str(raised.value).startswith(f"{tmp_path / name}: ")
        assert reason in str(raised.value)


def test_a_hundred_megapixels_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(black_png(10_000, 10_000, colour=GREY))

    with pytest.raises(PictureError, match=r"10000x10000 pixels .* too large; make it smaller than 67 megapixels"):
        read_picture(path)


def test_the_largest_telephone_pictures_are_read(tmp_path):
    path = tmp_path / "wall.png"
    path.write_bytes(black_png(8000, 8000, colour=GREY))

    assert MAX_PIXELS >= 8000 * 8000
    assert read_picture(path).shape == (8000, 8000, 3)


@pytest.mark.parametrize("content", KINDS.values(), ids=KINDS.keys())
def test_pixels_are_those_that_the_models_were_trained_on(content):
    # The shipped models were trained on pixels decoded by OpenCV; lossy formats may differ by a rounding step.
    trained_on = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)

    assert np.abs(decode_picture(content).astype(int) - trained_on).max() <= 1


def test_a_palette_with_transparency_becomes_colour():
    kept = io.BytesIO()
    Image.fromarray(NOISE).convert("P").save(kept, "PNG", transparency=0)

    assert decode_picture(kept.getvalue()).shape == NOISE.shape


def test_the_limit_of_pixels_is_exact():
    content = KINDS["png"]

    assert decode_picture(content, max_pixels=457 * 123).shape == (123, 457, 3)
    with pytest.raises(PictureError, match="457x123 pixels"):
        decode_picture(content, max_pixels=457 * 123 - 1)


def test_a_jpeg_with_a_marker_that_parsers_disagree_on_is_refused():
    # FF01 has no length: a parser that reads one skips the header that the decoder uses.
    content = KINDS["jpeg"]

    with pytest.raises(PictureError):
        decode_picture(content[:2] + b"\xff\x01" + content[2:])


def test_a_png_chunk_that_claims_gigabytes_uses_no_memory():
    with pytest.raises(PictureError):
        decode_picture(claiming_png(b"IDAT"))


@given(st.sampled_from(sorted(KINDS)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8), st.data())
def test_a_mutated_picture_is_either_decoded_or_rejected(kind, mutations, data):
    content = bytearray(KINDS[kind])
    for place, value in mutations:
        content[int(place * (len(content) - 1))] = value
    cut = data.draw(st.integers(0, len(content)))

    try:
        image = decode_picture(bytes(content[:cut]), max_pixels=1_000_000)
    except PictureError:
        return
    assert image.dtype == np.uint8
    assert image.shape[2] == 3


def test_a_decoder_that_cannot_be_started_is_an_error_of_the_picture():
    decoder.close_decoders()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # No further file or socket can be opened, as on a machine out of memory or processes.
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(PictureError, match="no decoder can be started"):
            decode_picture(KINDS["jpeg"])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert decode_picture(KINDS["jpeg"]).shape == NOISE.shape


def test_pictures_are_decoded_under_a_hard_limit_of_memory():
    program = """
import resource, sys
from edge_agent.vision.images import decode_picture
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
print(decode_picture(sys.stdin.buffer.read()).shape)
"""
    # Only a process without this capability cannot raise the limit again.
    unprivileged = ["setpriv", "--bounding-set", "-sys_resource"] if os.geteuid() == 0 else []

    done = subprocess.run(
        [*unprivileged, sys.executable, "-c", program], input=KINDS["png"], capture_output=True, timeout=60, check=False
    )

    assert (done.stdout.decode(), done.stderr.decode()) == (f"{NOISE.shape}\n", "")
