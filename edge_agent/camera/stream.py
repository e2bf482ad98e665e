"""Stream: reads a network camera over RTSP or HTTP."""

from __future__ import annotations

import http.client
import queue
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import av.error
from av.video.frame import PictureType

from edge_agent.camera import Camera
from edge_agent.camera.decoding import VideoDecoder, open_container, video_stream
from edge_agent.camera.http_client import refused_login
from edge_agent.camera.stream_clock import StreamClock
from edge_agent.config.redaction import shown_source
from edge_agent.errors import CameraError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Picture

# A camera behind a slow link may take some seconds to send its first key frame.
OPEN_TIMEOUT_SECONDS = 10.0
# Only to learn why a stream did not open; on a local network an answer takes milliseconds.
PROBE_TIMEOUT_SECONDS = 2.0
STANDARD_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
# Interval at which a stop is noticed while nothing arrives.
STOP_CHECK_SECONDS = 0.1
# A reader that waits for a hanging camera is abandoned after this time, and ends at its own timeout.
CLOSE_SECONDS = 0.3
TIMED_OUT_FRACTION = 0.95
"""A wait of this fraction of the longest silence was ended by its timeout, not by a picture."""
# Packets that may wait for the decoder, two seconds of most streams. If it falls further behind, waiting packets are
# outdated, and decoding continues with the next key frame.
MAX_PACKETS = 60
# Pictures requested less often than twice in this time are decoded only on request.
IDLE_SECONDS = 2.0
# Packets kept for such a request: four seconds of most streams, which are decoded in a fraction of a second.
MAX_POSTPONED = 120
MAX_POSTPONED_BYTES = 8_000_000
# Consecutive key frames that must be complete pictures before packets are postponed.
MIN_WHOLE_KEY_FRAMES = 2
# Period over which skipping must leave enough frames.
SKIP_TRIAL_SECONDS = 2.0
ENOUGH_FRACTION = 0.95

# Such a stream does not state its rate, and FFmpeg would wait for dozens of pictures to determine it.
BARE_MJPEG = {"probesize": "32", "analyzeduration": "1"}
# Waiting for sound would only cause delay.
RTSP = {"rtsp_transport": "tcp", "allowed_media_types": "video"}
# Cameras are in the local network: ignore proxy settings of the environment.
HTTP = {"http_proxy": ""}

MULTIPART, HLS, RTSP_FORMAT = "mpjpeg", "hls", "rtsp"
"""FFmpeg's names of the formats."""
# A longer distance between two packets is a new beginning of the time stamps.
MAX_PACE_SECONDS = 10.0

ENDED = "stopped delivering pictures; check its power and its cable"
PLAYED = "the recording has ended"
NO_VIDEO = "answers with something other than a video; check the path of the address"


class StreamCamera(Camera):
    """A network stream: a reader thread takes packets as they come; the owner decodes them."""

    age_seconds = 0.0
    """Age of the last grabbed picture, as far as its timestamps show."""

    def __init__(self, config: CameraConfig, *, stop: threading.Event, is_bare_mjpeg: bool = False) -> None:
        """Connect and find the video. A grab ends soon after `stop` is set.

        `is_bare_mjpeg`: JPEG pictures are to be found in the bytes themselves, whatever stands between them.

        Raises:
            CameraError: it does not answer, refuses, or answers without video.
        """
        self._stop, self._shown = stop, shown_source(config.source)
        self._silence_seconds = config.read_timeout_seconds
        self._container = _open_stream(config, is_bare_mjpeg=is_bare_mjpeg)
        try:
            stream = video_stream(self._container, shown=self._shown)
            self._decoder = VideoDecoder(stream, config, shown=self._shown)
        except CameraError:
            self._container.close()
            raise
        self._skip = _NonReferenceSkip(config.detect_fps)
        self._postponed = _Postponed()
        self._retrieved_at = deque(2 * [time.monotonic()], maxlen=2)
        self._clock = StreamClock()
        self._arrived_at = 0.0
        self._frames: list[VideoFrame] = []
        self._grabbed: VideoFrame
        self._has_grabbed = False
        self._reader = _Reader(
            self._container, stream, name=f"reader {self._shown}", silence_seconds=self._silence_seconds
        )

    def grab(self) -> bool:
        """Wait for the next picture, as `Camera`; False at the end of a recording on a web server."""
        is_idle = time.monotonic() - self._retrieved_at[0] > IDLE_SECONDS
        try:
            is_decoded = self._fill(may_postpone=is_idle and self._decoder.can_flush)
        except CameraError:
            if self._reader.failure == PLAYED and self._has_grabbed:
                return False
            raise
        if is_decoded:
            self._take(self._frames.pop(0))
        else:
            self._skip.reset()
            self.age_seconds = max(0.0, time.monotonic() - self._arrived_at)
        return True

    def retrieve(self) -> Picture:
        """Convert the frame grabbed last, or a newer one, as `Camera`."""
        self._retrieved_at.append(time.monotonic())
        if self._postponed.packets:
            self._frames = self._catch_up()
            self._fill(may_postpone=False)
            self._take(self._frames.pop())
            self._frames.clear()
        return self._decoder.picture(self._grabbed)

    def close(self) -> None:
        """Release the camera; a reader blocked by a hanging camera is abandoned until its timeout."""
        self._reader.close()

    def _fill(self, *, may_postpone: bool) -> bool:
        """Wait for packets until one completes a frame; False if one was postponed."""
        begun_at = time.monotonic()
        damaged = 0
        while not self._frames:
            packet, arrived_at = self._reader.next_packet(self._stop, until=begun_at + self._silence_seconds)
            if packet is None:
                # If the camera hangs, packets damaged before that are not the cause.
                is_silent = not damaged or time.monotonic() - self._arrived_at > self._silence_seconds / 2
                raise CameraError(f"{self._shown}: {self._why_lost(0 if is_silent else damaged)}")
            self._arrived_at = arrived_at
            self._postponed.follow(packet)
            if may_postpone and self._postponed.takes(packet):
                return False
            damaged += 1
            self._catch_up()
            self._frames = self._decode(packet)
        return True

    def _catch_up(self) -> list[VideoFrame]:
        """Decode postponed packets; returns the frames of the last packet that completed any."""
        if self._postponed.is_cut:
            self._decoder.flush()
        newest: list[VideoFrame] = []
        for packet in self._postponed.take():
            newest = self._decode(packet) or newest
        return newest

    def _decode(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        self._decoder.skip_non_reference(self._skip.is_skipping)
        frames = list(self._decoder.decode(packet))
        self._postponed.learn(frames)
        return frames

    def _take(self, frame: VideoFrame) -> None:
        self._grabbed, self._has_grabbed = frame, True
        now = time.monotonic()
        self._skip.count(at=now)
        stamp_seconds = None if frame.pts is None else frame.time
        self.age_seconds = max(0.0, now - self._clock.taken_at(stamp_seconds, arrived_at=self._arrived_at))

    def _why_lost(self, damaged: int) -> str:
        if self._stop.is_set():
            return "asked to stop"
        if self._reader.failure in (ENDED, PLAYED) and not self._has_grabbed:
            return NO_VIDEO
        if self._reader.failure:
            return self._reader.failure
        if damaged:
            return (
                f"sends video that cannot be decoded: {damaged} packets and no picture in "
                f"{self._silence_seconds:.0f} s; restart the camera, or choose another codec in its settings"
            )
        return f"no picture for {self._silence_seconds:.0f} s; check its power and its cable"


class _NonReferenceSkip:
    """Whether to skip non-reference frames: only while enough others remain for analysis."""

    def __init__(self, wanted_per_second: float) -> None:
        """Zero: every frame is wanted."""
        self._wanted_per_second = wanted_per_second
        self.is_skipping = wanted_per_second > 0
        self._begun_at: float | None = None
        self._count = 0

    def reset(self) -> None:
        """Ignore the time in which frames were not counted."""
        self._begun_at = None

    def count(self, *, at: float) -> None:
        """Count a frame, and stop skipping permanently if too few remain."""
        if not self.is_skipping:
            return
        if self._begun_at is None:
            self._begun_at, self._count = at, 0
            return
        self._count += 1
        elapsed_seconds = at - self._begun_at
        if elapsed_seconds >= SKIP_TRIAL_SECONDS:
            self.is_skipping = self._count / elapsed_seconds >= ENOUGH_FRACTION * self._wanted_per_second
            self._begun_at, self._count = at, 0


class _Postponed:
    """Packets that are decoded only when a picture is requested: a key frame and those that follow it.

    Nothing is postponed in a stream whose key frames are too far apart or not complete pictures, such as with gradual
    refresh.
    """

    def __init__(self) -> None:
        self.packets: list[Packet[VideoStream]] = []
        self._bytes = 0
        self.is_cut = False
        """Whether packets were dropped between the last decoded frame and these."""
        # As if the last key frame were long ago.
        self._since_key_frame = MAX_POSTPONED
        self._key_frame_pts: int | None = None
        self._are_near = False
        self._whole = 0

    def follow(self, packet: Packet[VideoStream]) -> None:
        """Observe the next packet."""
        self._since_key_frame += 1
        if packet.is_keyframe:
            self._are_near = self._since_key_frame <= MAX_POSTPONED
            self._since_key_frame, self._key_frame_pts = 0, packet.pts

    def learn(self, frames: list[VideoFrame]) -> None:
        """Observe decoded frames."""
        for frame in frames:
            if frame.pts is not None and frame.pts == self._key_frame_pts:
                # The first one of a stream is always complete, which proves nothing.
                self._whole = self._whole + 1 if frame.pict_type == PictureType.I else 0
                self._key_frame_pts = None

    def takes(self, packet: Packet[VideoStream]) -> bool:
        """Keep a packet; a key frame replaces all kept ones. False if the packet must be decoded now."""
        if not self._are_near or self._whole < MIN_WHOLE_KEY_FRAMES or self._since_key_frame >= MAX_POSTPONED:
            return False
        if packet.is_keyframe:
            self.packets, self._bytes, self.is_cut = [], 0, True
        self._bytes += packet.size
        if self._bytes > MAX_POSTPONED_BYTES:
            return False
        self.packets.append(packet)
        return True

    def take(self) -> list[Packet[VideoStream]]:
        """Return and forget the packets, which are decoded now."""
        packets, self.packets, self._bytes, self.is_cut = self.packets, [], 0, False
        return packets


def _is_recording(container: InputContainer) -> bool:
    """Whether it is a recording on a web server: its duration or its size is known. That of HLS is its list's."""
    name = container.format.name
    has_size = name != HLS and container.size > 0
    return name not in (RTSP_FORMAT, MULTIPART) and (container.duration is not None or has_size)


class _Pace:
    """When packets that arrive faster than they are to be played are due: at the distances of their time stamps."""

    def __init__(self) -> None:
        self._offset_seconds = float("-inf")
        self._next_seconds = 0.0

    def wait_seconds(self, packet: Packet[VideoStream], *, at: float) -> float:
        """How long to hold a packet; one that is late or whose time stamp jumps is due now, and later ones after it."""
        time_base = packet.time_base or 0
        # H.264 without a container has durations only.
        stamp_seconds = self._next_seconds if packet.dts is None else float(packet.dts * time_base)
        self._next_seconds = stamp_seconds + float((packet.duration or 0) * time_base)
        left_seconds = self._offset_seconds + stamp_seconds - at
        if 0.0 <= left_seconds <= MAX_PACE_SECONDS:
            return left_seconds
        self._offset_seconds = at - stamp_seconds
        return 0.0


class _Reader:
    """Reads packets from a stream so that no other thread waits for the network. Only its thread uses the container."""

    def __init__(self, container: InputContainer, stream: VideoStream, *, name: str, silence_seconds: float) -> None:
        self._container, self._stream, self._silence_seconds = container, stream, silence_seconds
        self._packets: queue.SimpleQueue[tuple[Packet[VideoStream] | None, float]] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._waits_for_key_frame = False
        self._is_recording = _is_recording(container)
        self._pace = _Pace() if self._is_recording or container.format.name == HLS else None
        self.failure = ""
        """Why no more packets arrive; empty while they may."""
        # A daemon: a thread that waits for a hanging camera must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def next_packet(self, stop: threading.Event, *, until: float) -> tuple[Packet[VideoStream] | None, float]:
        """Wait for a packet; returns it with its arrival time, or None at the end, at `until`, or if `stop` is set."""
        while not stop.is_set() and (left_seconds := until - time.monotonic()) > 0:
            with suppress(queue.Empty):
                packet, arrived_at = self._packets.get(timeout=min(left_seconds, STOP_CHECK_SECONDS))
                if self._is_to_be_decoded(packet):
                    return packet, arrived_at
        return None, 0.0

    def close(self) -> None:
        """End the thread, which closes the container."""
        self._is_closed.set()
        self._thread.join(CLOSE_SECONDS)

    def _is_to_be_decoded(self, packet: Packet[VideoStream] | None) -> bool:
        if packet is None:
            return True
        if self._packets.qsize() > MAX_PACKETS:
            self._waits_for_key_frame = True
        elif packet.is_keyframe:
            self._waits_for_key_frame = False
        return not self._waits_for_key_frame

    def _run(self) -> None:
        try:
            asked_at = time.monotonic()
            for packet in self._demuxed():
                arrived_at = time.monotonic()
                # After a timeout the parser releases its last packet, which is outdated or truncated.
                if self._is_closed.is_set() or arrived_at - asked_at > TIMED_OUT_FRACTION * self._silence_seconds:
                    break
                if packet.size:
                    if self._pace is not None:
                        self._is_closed.wait(self._pace.wait_seconds(packet, at=arrived_at))
                    self._packets.put((packet, time.monotonic()))
                asked_at = time.monotonic()
            else:
                self.failure = PLAYED if self._is_recording else ENDED
        except av.error.ExitError:
            # The consumer of the packets reports it.
            pass
        except (av.error.FFmpegError, OSError) as error:
            self.failure = f"stopped delivering pictures ({_reason(error)}); check its power and its cable"
        self._packets.put((None, time.monotonic()))
        # Closed last: decoding packets needs the stream that they came from.
        self._is_closed.wait()
        self._container.close()

    def _demuxed(self) -> Iterator[Packet[VideoStream]]:
        """The packets; after a part of multipart whose length is wrong, those from the next boundary on."""
        while True:
            try:
                yield from self._container.demux(self._stream)
            except av.error.InvalidDataError:
                # Each attempt takes a line, until there are no more.
                if self._container.format.name != MULTIPART or self._is_closed.is_set():
                    raise
            else:
                return


def _open_stream(config: CameraConfig, *, is_bare_mjpeg: bool) -> InputContainer:
    """Connect; RTSP uses TCP, because a lost UDP packet corrupts the picture until the next key frame."""
    scheme, mark, place = config.source.partition("://")
    address = f"{scheme.lower()}{mark}{place}"
    options = RTSP if scheme.lower().startswith("rtsp") else HTTP | (BARE_MJPEG if is_bare_mjpeg else {})
    timeouts = (OPEN_TIMEOUT_SECONDS, config.read_timeout_seconds)
    begun_at = time.monotonic()
    try:
        return open_container(address, timeout=timeouts, options=options, format="mjpeg" if is_bare_mjpeg else None)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        # The error that FFmpeg raises for a timeout depends on where it occurs.
        is_late = time.monotonic() - begun_at >= OPEN_TIMEOUT_SECONDS
        reason = _why_unreachable(address, error) if is_late else _why_closed(address, error)
        raise CameraError(f"{shown_source(address)}: {reason}") from error


def _why_closed(address: str, error: Exception) -> str:
    """Why a stream did not open, and what to do."""
    match error:
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            is_unknown = isinstance(error, av.error.HTTPUnauthorizedError)
            return refused_login(address, http.client.UNAUTHORIZED if is_unknown else http.client.FORBIDDEN)
        case av.error.HTTPNotFoundError():
            return "has no such path (404); look up the part of the address after the host in the camera's manual"
        case av.error.HTTPServerError():
            return "answers with a server error (5xx), such as too many viewers; close others or restart the camera"
        case av.error.HTTPClientError():
            return (
                "does not accept the request (4xx); check the address in the camera's manual, and that it sends video"
            )
        case av.error.InvalidDataError():
            return NO_VIDEO
        case _:
            return _why_unreachable(address, error)


def _why_unreachable(address: str, error: Exception) -> str:
    parts = urlsplit(address)
    port = parts.port or STANDARD_PORTS[parts.scheme]
    try:
        socket.create_connection((parts.hostname, port), timeout=PROBE_TIMEOUT_SECONDS).close()
    except OSError as failure:
        return (
            f"port {port} cannot be reached ({_reason(failure)}); check the address, the camera's power and the network"
        )
    further = ", and check that it offers RTSP over TCP" if parts.scheme.startswith("rtsp") else ""
    return (
        f"accepts the connection, but delivers no video within {OPEN_TIMEOUT_SECONDS:.0f} s ({_reason(error)}); "
        f"restart the camera{further}"
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
