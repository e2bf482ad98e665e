"""Decoding: decodes video packets into upright pictures with square pixels.

FFmpeg through PyAV: interlaced frames are deinterlaced, stated rotation and sample aspect ratio are applied.
"""

from __future__ import annotations

import logging
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

import av
import av.error
import av.filter
import numpy as np
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.reformatter import VideoReformatter

from edge_agent.camera.transform import is_transformed
from edge_agent.errors import CameraError
from edge_agent.vision.planes import ColourSpace, Planes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edge_agent.config.model import CameraConfig, DecoderName
    from edge_agent.domain import Image, Picture
    from edge_agent.vision.planes import Standard

    Matrix: TypeAlias = tuple[float, float, float, float]

# Limits of plausible pixel aspect ratios; beyond them the header is damaged.
MIN_ASPECT, MAX_ASPECT = Fraction(1, 3), Fraction(3)
# Frame sizes of video recorders whose pixels are not square although this is not stated: half of the width or height is
# omitted (2CIF, half D1, 720p and 1080p "lite", 4 and 5 megapixels "lite").
UNSTATED_ASPECTS = {
    (704, 288): Fraction(1, 2),
    (720, 288): Fraction(1, 2),
    (704, 240): Fraction(1, 2),
    (720, 240): Fraction(1, 2),
    (352, 576): Fraction(2),
    (352, 480): Fraction(2),
    (640, 720): Fraction(2),
    (960, 1080): Fraction(2),
    (1280, 1440): Fraction(2),
    (1296, 1944): Fraction(2),
}
# Up to Full HD one core of a Raspberry Pi 4 is enough, and each further thread delays the output by one picture.
ONE_THREAD_PIXELS = 1920 * 1088
# FFmpeg converts smaller pictures faster than their planes are processed: no detector's input is half as large.
MIN_PLANES_PIXELS = 1280 * 720
# FFmpeg's numbers (AVColorSpace, AVColorRange); if a stream states none, FFmpeg also assumes BT.601.
STANDARDS: dict[int, Standard] = {1: "bt709", 2: "bt601", 5: "bt601", 6: "bt601"}
FULL_RANGE = 2
UPRIGHT = (1.0, 0.0, 0.0, 1.0)
# A hardware decoder without output for this many packets does not work with this stream.
FALLBACK_PACKETS = 100
PYAV_MAJOR = int(av.__version__.partition(".")[0])
# PyAV 17 and later convert with a thread per core, started and ended with each reformatter.
ONE_THREAD: dict[str, Any] = {"threads": 1} if PYAV_MAJOR >= 17 else {}  # noqa: PLR2004
# Accepts metadata in any encoding; PyAV 19 and later always do, and reject the keyword.
METADATA: dict[str, Any] = {} if PYAV_MAJOR >= 19 else {"metadata_errors": "replace"}  # noqa: PLR2004
# A display matrix is applied only if other components than right-angle rotation and mirroring are below this fraction.
NEARLY_ZERO_FRACTION = 0.01

log = logging.getLogger(__name__)


def open_container(address: str, **settings: Any) -> InputContainer:
    """Open for reading; metadata that is not UTF-8 is not an error."""
    container: InputContainer = av.open(address, "r", **METADATA, **settings)
    return container


def video_stream(container: InputContainer, *, shown: str) -> VideoStream:
    """The video of a container; `shown` is its name in errors.

    Raises:
        CameraError: it has none, or none that can be decoded.
    """
    # Not the first one, which may be a cover or a thumbnail.
    stream: Any = container.streams.best("video")
    if stream is None:
        raise CameraError(f"{shown}: not a video: contains no video stream; give another path")
    if stream.codec_context is None:
        raise CameraError(f"{shown}: FFmpeg has no decoder for its video; choose H.264, H.265 or MJPEG")
    video: VideoStream = stream
    return video


class VideoDecoder:
    """The decoder of one video stream. Owned by one thread."""

    def __init__(self, stream: VideoStream, config: CameraConfig, *, shown: str) -> None:
        """Choose a decoder; `shown` is the name of the source in errors.

        Raises:
            CameraError: there is no such decoder here.
        """
        self._stream, self._aspect_ratio, self._shown = stream, config.pixel_aspect_ratio, shown
        self._may_fall_back = config.decoder == "auto"
        self._may_give_planes = not is_transformed(config)
        self._context = _open_context(stream, config.decoder, shown=shown)
        self._fruitless_packets = 0
        self.damaged_frames = 0
        """Frames that could not be decoded (a packet each), or only in part."""
        self._deinterlacer: _Deinterlacer | None = None
        self._reformatter = VideoReformatter()
        self._first_aspect = self._context.sample_aspect_ratio
        self._matrices: dict[float, Matrix] = {}

    def skip_non_reference(self, is_to_skip: bool) -> None:
        """Decode only frames that others are predicted from, or all."""
        self._context.skip_frame = "NONREF" if is_to_skip else "DEFAULT"

    @property
    def can_flush(self) -> bool:
        """Whether decoding may continue with a later key frame: not with hardware codecs or between two fields."""
        return self._context is self._stream.codec_context and self._deinterlacer is None

    def flush(self) -> None:
        """Drop earlier frames: the next packet is a key frame, and frames that refer to earlier ones are omitted."""
        self._context.flush_buffers()

    def decode(self, packet: Packet[VideoStream] | None) -> Iterator[VideoFrame]:
        """Yield the frames that a packet completes; None: the remaining ones. A damaged packet yields none."""
        try:
            frames = self._context.decode(packet)
        except (av.error.FFmpegError, ValueError):
            frames = []
            self.damaged_frames += 1
        self.damaged_frames += sum(frame.is_corrupt for frame in frames)
        self._fruitless_packets = 0 if frames else self._fruitless_packets + 1
        if self._may_fall_back and self._fruitless_packets >= FALLBACK_PACKETS:
            self._fall_back()
        for frame in frames:
            if packet is None:
                # PyAV before 17 copies it from the packet.
                frame.time_base = self._stream.time_base
            if self._deinterlacer is None and frame.interlaced_frame:
                self._deinterlacer = _Deinterlacer()
            if self._deinterlacer is None:
                yield frame
            else:
                yield from self._deinterlacer.filter(frame)
        if packet is None and self._deinterlacer is not None:
            yield from self._deinterlacer.filter(None)

    def picture(self, frame: VideoFrame) -> Picture:
        """The picture of a frame, upright, with square pixels.

        Raises:
            CameraError: FFmpeg cannot convert this frame.
        """
        width_px, height_px = square_size(frame.width, frame.height, self._aspect_of(frame))
        matrix = self._matrix_of(frame)
        is_as_decoded = (width_px, height_px) == (frame.width, frame.height) and matrix == UPRIGHT
        # The memory of hardware codecs is slow to read and holds few frames.
        is_in_software = self._context is self._stream.codec_context
        if self._may_give_planes and is_as_decoded and is_in_software and (planes := _planes_of(frame)) is not None:
            return planes
        try:
            converted = self._reformatter.reformat(
                frame, width=width_px, height=height_px, format="bgr24", interpolation="BILINEAR", **ONE_THREAD
            )
        except (av.error.FFmpegError, ValueError) as error:
            raise CameraError(f"{self._shown}: delivered an invalid picture ({error}); restart the camera") from error
        return _upright(np.asarray(converted.to_ndarray(), np.uint8), matrix)

    def _matrix_of(self, frame: VideoFrame) -> Matrix:
        # Read once per rotation: in PyAV side data and frame refer to each other, and only the garbage collector frees
        # them.
        rotation = frame.rotation
        if rotation not in self._matrices:
            self._matrices[rotation] = _display_matrix(frame)
        return self._matrices[rotation]

    def _aspect_of(self, frame: VideoFrame) -> Fraction:
        if self._aspect_ratio:
            return Fraction(self._aspect_ratio).limit_denominator(1000)
        stated = self._stream.sample_aspect_ratio or self._context.sample_aspect_ratio
        if self._context.sample_aspect_ratio != self._first_aspect:
            # It has changed during the stream, whose header states only the initial value.
            stated = self._context.sample_aspect_ratio
        if stated and MIN_ASPECT <= stated <= MAX_ASPECT:
            return stated
        return UNSTATED_ASPECTS.get((frame.width, frame.height), Fraction(1))

    def _fall_back(self) -> None:
        self._may_fall_back = False
        if self._context is not self._stream.codec_context:
            name = self._context.codec.name
            log.warning("%s: the decoder %s produces no pictures; decoding in software", self._shown, name)
            self._context = _software_context(self._stream)


class _Deinterlacer:
    """FFmpeg's yadif: a frame for each pair of fields, one frame late; progressive frames pass unchanged."""

    def __init__(self) -> None:
        self._graph: av.filter.Graph | None = None
        self._layout: tuple[int, int, str] | None = None

    def filter(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Add a frame, None at the end, and yield the finished ones."""
        if frame is not None:
            layout = (frame.width, frame.height, frame.format.name)
            if layout != self._layout:
                self._graph, self._layout = _yadif(frame), layout
        if self._graph is None:
            return
        self._graph.push(frame)
        while True:
            try:
                filtered: Any = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield filtered


def square_size(width_px: int, height_px: int, aspect_ratio: Fraction) -> tuple[int, int]:
    """Return the size at which pixels of this aspect ratio are square: the side that lacks pixels is stretched."""
    if aspect_ratio >= 1:
        return round(width_px * aspect_ratio), height_px
    return width_px, round(height_px / aspect_ratio)


def _upright(image: Image, matrix: Matrix) -> Image:
    """Rotate a picture by right angles and mirror it; a pixel at (x, y) moves to (x, y) times the matrix, by rows."""
    x_to_x, x_to_y, y_to_x, y_to_y = matrix
    straight, across = sorted((abs(x_to_x), abs(y_to_y))), sorted((abs(x_to_y), abs(y_to_x)))
    if across[1] < NEARLY_ZERO_FRACTION * straight[0]:
        right, down = x_to_x, y_to_y
    elif straight[1] < NEARLY_ZERO_FRACTION * across[0]:
        image, right, down = image.swapaxes(0, 1), y_to_x, x_to_y
    else:
        return image
    return np.ascontiguousarray(image[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


def _planes_of(frame: VideoFrame) -> Planes | None:
    """The planes of a large frame; None for other layouts and colour spaces."""
    standard = STANDARDS.get(int(frame.colorspace))
    is_even = not frame.width % 2 and not frame.height % 2
    if (
        standard is None
        or not is_even
        or frame.width * frame.height < MIN_PLANES_PIXELS
        or frame.format.name not in {"yuv420p", "yuvj420p"}
    ):
        return None
    is_full_range = frame.format.name == "yuvj420p" or int(frame.color_range) == FULL_RANGE
    # Rows in memory may be longer than the picture is wide.
    luma, u, v = (
        np.frombuffer(memoryview(plane).toreadonly(), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    return Planes(luma, u, v, ColourSpace(standard, is_full_range))


def _display_matrix(frame: VideoFrame) -> Matrix:
    """The part of a frame's display matrix that rotates and mirrors."""
    try:
        stated: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # Other side data, such as EXIF, is unknown to this PyAV version: only the rotation is available.
        angle = math.radians(frame.rotation)
        return math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle)
    if stated is None:
        return UPRIGHT
    # Nine numbers, three per row.
    x_to_x, x_to_y, _, y_to_x, y_to_y = np.frombuffer(stated, np.int32, 5).tolist()
    return x_to_x, x_to_y, y_to_x, y_to_y


def _yadif(frame: VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 90_000)
    )
    # Only frames marked as interlaced: a camera may send both kinds.
    graph.link_nodes(source, graph.add("yadif", "deint=interlaced"), graph.add("buffersink")).configure()
    return graph


def _open_context(stream: VideoStream, decoder: DecoderName, *, shown: str) -> VideoCodecContext:
    match decoder:
        case "software":
            return _software_context(stream)
        case "auto":
            return _memory_to_memory_context(stream) or _software_context(stream)
        case "v4l2m2m":
            context = _memory_to_memory_context(stream)
        case _:
            context = _accelerated_context(stream, decoder)
    if context is None:
        raise CameraError(
            f"{shown}: decoder {decoder} cannot decode {stream.codec_context.name} here; set decoder: auto "
            f"(FFmpeg knows {', '.join(('v4l2m2m', *hwdevices_available()))})"
        )
    return context


def _software_context(stream: VideoStream) -> VideoCodecContext:
    context = stream.codec_context
    if context.width * context.height <= ONE_THREAD_PIXELS:
        context.thread_type, context.thread_count = "NONE", 1
    else:
        context.thread_type = "AUTO"
    if context.name == "mjpeg":
        # Otherwise damaged areas are decoded as grey or green.
        context.options = {"err_detect": "explode"}
    return context


def _memory_to_memory_context(stream: VideoStream) -> VideoCodecContext | None:
    """The kernel's codec, as on a Raspberry Pi; None if there is none for this stream."""
    return _another_context(stream, f"{stream.codec_context.name}_v4l2m2m", hwaccel=None)


def _accelerated_context(stream: VideoStream, device: str) -> VideoCodecContext | None:
    if device not in hwdevices_available():
        return None
    context = _another_context(stream, stream.codec_context.name, hwaccel=HWAccel(device))
    return context if context is not None and context.is_hwaccel else None


def _another_context(stream: VideoStream, name: str, *, hwaccel: HWAccel | None) -> VideoCodecContext | None:
    try:
        context: Any = av.CodecContext.create(name, "r", hwaccel=hwaccel)
        context.extradata = stream.codec_context.extradata
        context.width, context.height = stream.codec_context.width, stream.codec_context.height
        context.open()
    except (av.error.FFmpegError, ValueError, RuntimeError, NotImplementedError):
        return None
    opened: VideoCodecContext = context
    return opened
