"""Hostile pictures: files that are cheap to send and expensive to decode, or that two parsers read differently."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

PNG = b"\x89PNG\r\n\x1a\n"
MAX_CLAIMED = 0xFFFFFFF0
RGB, RGBA, GREY = 2, 6, 0


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_head(width_px: int, height_px: int, *, bits: int = 8, colour: int = RGB) -> bytes:
    return PNG + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, bits, colour, 0, 0, 0))


@cache
def zeros(size_bytes: int) -> bytes:
    """This many zeros, deflated to a thousandth of the size."""
    packer = zlib.compressobj(9)
    block = bytes(1_000_000)
    whole, rest = divmod(size_bytes, len(block))
    return b"".join(packer.compress(block) for _ in range(whole)) + packer.compress(bytes(rest)) + packer.flush()


def black_png(width_px: int, height_px: int, *, bits: int = 8, colour: int = RGB, before: bytes = b"") -> bytes:
    """A valid picture with chunks before its pixels."""
    channels = {GREY: 1, RGB: 3, RGBA: 4}[colour]
    rows = zeros((width_px * channels * bits // 8 + 1) * height_px)
    head = png_head(width_px, height_px, bits=bits, colour=colour)
    return head + before + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def claiming_png(kind: bytes) -> bytes:
    """57 bytes with a chunk that claims to have 4 GB."""
    return png_head(8, 8) + struct.pack(">I", MAX_CLAIMED) + kind + bytes(12)


def apng(width_px: int, height_px: int, *, frames: int) -> bytes:
    animation = png_chunk(b"acTL", struct.pack(">II", frames, 0))
    control = struct.pack(">IIIIIHHBB", 0, width_px, height_px, 0, 0, 1, 1, 1, 1)
    frame = zeros((width_px * 4 + 1) * height_px)
    content = png_head(width_px, height_px, colour=RGBA) + animation + png_chunk(b"fcTL", control)
    content += png_chunk(b"IDAT", frame)
    for number in range(1, frames):
        content += png_chunk(b"fcTL", struct.pack(">I", 2 * number - 1) + control[4:])
        content += png_chunk(b"fdAT", struct.pack(">I", 2 * number) + frame)
    return content + png_chunk(b"IEND", b"")


def compressed_texts(*, chunks: int, size_bytes: int) -> bytes:
    return b"".join(png_chunk(b"zTXt", b"k%d\0\0" % number + zeros(size_bytes)) for number in range(chunks))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def jpeg(width_px: int = 64, height_px: int = 48, **options: object) -> bytes:
    kept = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (height_px, width_px, 3), dtype=np.uint8)
    Image.fromarray(noise).save(kept, "JPEG", **options)
    return kept.getvalue()


def frame_header(width_px: int, height_px: int, *, marker: int = 0xC0) -> bytes:
    components = b"\x01\x11\x00\x02\x11\x00\x03\x11\x00"
    return segment(marker, struct.pack(">BHHB", 8, height_px, width_px, 3) + components)


def two_headed_jpeg(*lone: int) -> bytes:
    """Parsers that read a length after a standalone marker find the second frame header, others the first.

    Markers FF01 and FFD0 to FFD7 have no length (ITU T.81, B.1.1.3).
    """
    small, huge = jpeg(), frame_header(60_000, 5_000)
    hidden = b"".join(bytes([0xFF, marker]) for marker in lone) + segment(0xFE, huge)
    return small[:2] + hidden + huge + small[2:]


def restart_before_header_jpeg() -> bytes:
    """A restart marker where only tables may be; its next bytes are a length that skips the true header."""
    true = frame_header(60_000, 5_000)
    small = frame_header(16, 16)
    return b"\xff\xd8" + b"\xff\xd0" + struct.pack(">H", len(true) + 2) + true + small + jpeg()[2:]


def progressive_jpeg(width_px: int, height_px: int, *, scans: int) -> bytes:
    """Each scan costs ten bytes in the file and a pass over the whole picture in the decoder."""
    small = jpeg(64, 48, progressive=True)
    begin = small.index(b"\xff\xc2")
    end = begin + 2 + struct.unpack(">H", small[begin + 2 : begin + 4])[0]
    content = small[:begin] + frame_header(width_px, height_px, marker=0xC2) + small[end:-2]
    refinement = segment(0xDA, b"\x01\x01\x00\x01\x3f\x00") + b"\x00"
    return content + refinement * scans + b"\xff\xd9"


def hollow_jpeg(width_px: int, height_px: int) -> bytes:
    """States a size but contains no pixels."""
    small = jpeg()
    begin = small.index(b"\xff\xc0")
    end = begin + 2 + struct.unpack(">H", small[begin + 2 : begin + 4])[0]
    old = small[begin:end]
    return small[:begin] + old[:5] + struct.pack(">HH", height_px, width_px) + old[9:] + small[end:]


def jpeg_with_segments(marker: int, start: bytes, *, count: int, size_bytes: int) -> bytes:
    small = jpeg()
    return small[:2] + segment(marker, start + bytes(size_bytes)) * count + small[2:]


def exif_of_circles() -> bytes:
    """EXIF directories that point to themselves."""
    pointers = b"".join(struct.pack(">HHII", tag, 4, 1, 8) for tag in (0x8769, 0x8825, 0xA005))
    directory = struct.pack(">H", 3) + pointers + struct.pack(">I", 8)
    small = jpeg()
    return small[:2] + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + directory) + small[2:]


def tiff(tags: list[tuple[int, int, int, int]], *, data: bytes = b"", next_page: int = 0) -> bytes:
    """A single page; a tag consists of number, type, count and value."""
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", next_page) + data


WIDTH, HEIGHT, BITS, COMPRESSION, KIND, OFFSETS, ROWS, COUNTS = 256, 257, 258, 259, 262, 273, 278, 279
SHORT, LONG = 3, 4
NONE, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773


def grey_tiff(
    width_px: int, height_px: int, *, compression: int = NONE, data: bytes = b"", twice: bool = False
) -> bytes:
    tags = [
        (WIDTH, LONG, 1, width_px),
        *([(WIDTH, LONG, 1, 60_000), (HEIGHT, LONG, 1, 60_000)] if twice else []),
        (HEIGHT, LONG, 1, height_px),
        (BITS, SHORT, 1, 8),
        (COMPRESSION, SHORT, 1, compression),
        (KIND, SHORT, 1, 1),
        (ROWS, LONG, 1, height_px),
        (COUNTS, LONG, 1, len(data)),
    ]
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    return tiff([*tags, (OFFSETS, LONG, 1, start)], data=data)


def many_pages(count: int) -> bytes:
    kept = io.BytesIO()
    pages = [Image.new("L", (8, 8)) for _ in range(count)]
    pages[0].save(kept, "TIFF", save_all=True, append_images=pages[1:])
    return kept.getvalue()


def claiming_tiff() -> bytes:
    """A tag that claims four billion values."""
    return tiff(
        [(WIDTH, LONG, 1, 8), (HEIGHT, LONG, 1, 8), (OFFSETS, LONG, MAX_CLAIMED, 8), (COUNTS, LONG, MAX_CLAIMED, 8)]
    )


def encoded(kind: str, pictures: list[Image.Image], **options: object) -> bytes:
    kept = io.BytesIO()
    pictures[0].save(kept, kind, save_all=len(pictures) > 1, append_images=pictures[1:], **options)
    return kept.getvalue()


def animated_webp(width_px: int, height_px: int, *, frames: int) -> bytes:
    shades = [Image.new("RGB", (width_px, height_px), (shade, 0, 0)) for shade in range(frames)]
    return encoded("WEBP", shades, lossless=True, method=0, quality=0)


def black_webp(width_px: int, height_px: int) -> bytes:
    return encoded("WEBP", [Image.new("RGB", (width_px, height_px))], lossless=True, method=0, quality=0)


def claiming_webp() -> bytes:
    """An extended header that states the largest canvas, around a small picture."""
    small = black_webp(8, 8)
    canvas = struct.pack("<I", 0xFFFFFF)[:3]
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas + canvas + small[12:]
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def bmp(width_px: int, height_px: int, *, compression: int = 0, bits: int = 24, data: bytes = b"") -> bytes:
    palette = bytes(1024) if bits == 8 else b""
    head = struct.pack("<IiiHHIIiiII", 40, width_px, height_px, 1, bits, compression, len(data), 0, 0, 0, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + head + palette + data


def animated_gif(frames: int) -> bytes:
    return encoded("GIF", [Image.new("P", (2000, 2000), shade % 255) for shade in range(frames)])


RLE8 = 1
HOSTILE: dict[str, Callable[[], bytes]] = {
    **{
        f"png claims 4 GB of {kind.decode()}": partial(claiming_png, kind)
        for kind in (b"IDAT", b"iCCP", b"tEXt", b"eXIf")
    },
    "png of 16 bits, 9 megapixels": lambda: black_png(3_000, 3_000, bits=16, colour=RGBA),
    "png of 16 bits, 40 megapixels": lambda: black_png(6_300, 6_300, bits=16, colour=RGBA),
    "png of 39 megapixels": lambda: black_png(6_200, 6_200),
    "png of 900 megapixels": lambda: png_head(30_000, 30_000) + png_chunk(b"IDAT", zeros(10_000_000)),
    "png with pixels without end": lambda: png_head(100, 100) + png_chunk(b"IDAT", zeros(500_000_000)),
    "png with a profile of 300 MB": lambda: black_png(64, 64, before=png_chunk(b"iCCP", b"p\0\0" + zeros(300_000_000))),
    "png with a thousand texts": lambda: black_png(64, 64, before=compressed_texts(chunks=1000, size_bytes=1_000_000)),
    "png with a hundred thousand chunks": lambda: black_png(64, 64, before=png_chunk(b"tEXt", b"a\0b") * 100_000),
    "apng of 100 frames": lambda: apng(2_000, 2_000, frames=100),
    "jpeg with two headers": lambda: two_headed_jpeg(0x01),
    "jpeg with two headers and restarts": lambda: two_headed_jpeg(*range(0xD0, 0xD8)),
    "jpeg with a restart before its header": restart_before_header_jpeg,
    "jpeg without a pixel": lambda: hollow_jpeg(6_300, 6_300),
    "jpeg of the largest size": lambda: hollow_jpeg(65_500, 65_500),
    "jpeg, long and thin": lambda: hollow_jpeg(65_500, 600),
    "jpeg of 1,000 scans": lambda: progressive_jpeg(6_000, 6_000, scans=1_000),
    "jpeg of 12,000 scans": lambda: progressive_jpeg(1_000, 1_000, scans=12_000),
    "jpeg, progressive, without a pixel": lambda: progressive_jpeg(6_300, 6_300, scans=1),
    "jpeg with 300 segments of EXIF": lambda: jpeg_with_segments(0xE1, b"Exif\0\0", count=300, size_bytes=60_000),
    "jpeg with 255 segments of ICC": lambda: jpeg_with_segments(
        0xE2, b"ICC_PROFILE\0\1\1", count=255, size_bytes=60_000
    ),
    "jpeg with a million empty comments": lambda: jpeg_with_segments(0xFE, b"", count=1_000_000, size_bytes=0),
    "jpeg with EXIF in circles": exif_of_circles,
    "tiff with every size twice": lambda: grey_tiff(8, 8, data=bytes(64), twice=True),
    "tiff of 500 pages": lambda: many_pages(500),
    "tiff that claims 4,000 million strips": claiming_tiff,
    "tiff without a pixel": lambda: grey_tiff(6_300, 6_300),
    "tiff, deflated, 40 megapixels": lambda: grey_tiff(6_300, 6_300, compression=DEFLATE, data=zeros(6_300 * 6_300)),
    "tiff, deflated without end": lambda: grey_tiff(100, 100, compression=DEFLATE, data=zeros(500_000_000)),
    "tiff of LZW garbage": lambda: grey_tiff(6_000, 6_000, compression=LZW, data=bytes(100_000)),
    "tiff of run lengths": lambda: grey_tiff(6_300, 6_300, compression=PACKBITS, data=b"\x81\0" * 310_000),
    "webp of 200 megapixels": claiming_webp,
    "webp of 39 megapixels": lambda: black_webp(6_200, 6_200),
    "webp of 40 frames": lambda: animated_webp(1_000, 1_000, frames=40),
    "bmp without a pixel": lambda: bmp(6_300, 6_300),
    "bmp of negative size": lambda: bmp(-6_300, -6_300),
    "bmp of the largest size": lambda: bmp(2**31 - 1, 2**31 - 1),
    "bmp of run lengths": lambda: bmp(6_300, 6_300, compression=RLE8, bits=8, data=b"\x01\0" * 2_000_000),
    "gif of 20 frames": lambda: animated_gif(20),
}
"""By name; built on demand."""
