"""Configuration model: every key with its type, default and description.

Every key has a default, so an empty file is valid. All mistakes are reported together, each with its line, key and
value, before a camera is touched.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from edge_agent.config.quiet_hours import parse_quiet_hours
from edge_agent.config_file import FilePath, Form, Section, at_home, beside_the_file
from edge_agent.domain import Label
from edge_agent.foreign_text import MASK

INSTALLED = Path(__file__).parents[1]
CHECKOUT = INSTALLED.parent


MAX_PREFIX_CHARACTERS = 200
"""Longest topic prefix: brokers accept topics of 65535 bytes, but those chosen by people are short."""


def _is_a_topic(value: str) -> str:
    """Reject prefixes that the documented subscriptions would not match."""
    if value.startswith("/") or value.endswith("/") or "//" in value:
        raise ValueError(
            f"'{value}' has an empty level: write it without a slash at either end, and single ones between"
        )
    if value.startswith("$"):
        raise ValueError(f"'{value}' begins with $, which is reserved for the broker")
    if (
        not all(character == " " or character.isprintable() for character in value)
        or len(value) > MAX_PREFIX_CHARACTERS
    ):
        raise ValueError(f"holds invisible characters, or more than {MAX_PREFIX_CHARACTERS}")
    if any(character.isspace() for character in value):
        raise ValueError(f"'{value}' contains a space; many programs cannot subscribe to it")
    return value


def _is_unmasked(value: str) -> str:
    """Reject a masked secret, as `edge-agent config` prints it."""
    if MASK in value:
        raise ValueError(f"contains {MASK} in place of a secret; 'edge-agent config --show-secrets' prints it")
    return value


def _is_a_host_alone(value: Any) -> Any:
    """Accept [::1] as ::1, and name the other parts of an address."""
    if not isinstance(value, str):
        return value
    # Not shown, because it may contain a password.
    if "@" in value:
        raise ValueError(
            "contains a user; write only the host; a broker's user belongs in 'username' and 'password_file'"
        )
    if "://" in value:
        raise ValueError(f"'{value}' is a URL; write only the host, and the rest under 'port' and, for a broker, 'tls'")
    if value.startswith("[") and value.endswith("]"):
        return value[1:-1]
    host, colon, _ = value.rpartition(":")
    if colon and (":" not in host or host.endswith("]")):
        raise ValueError(f"'{value}' contains a port; write only '{host}', and the port under 'port'")
    try:
        value.encode("idna")
    except UnicodeError as error:
        raise ValueError(f"'{value}' is no host name: a part of it is empty or longer than 63") from error
    return value


def _has_a_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        _ = parts.port
        return (parts.hostname or "").encode("idna") != b""
    except ValueError:
        return False


def is_url(value: str) -> str:
    """Reject a URL without a host or with an invalid port; an empty text is none."""
    # Not shown, because it may contain a password.
    if value and not _has_a_host(value):
        raise ValueError("has no valid host and port, as in https://host:port/path")
    return value


Secretive = Annotated[str, AfterValidator(_is_unmasked)]
"""Text that may contain a secret."""
HeaderName = Annotated[
    str, Form(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "must be the name of a header, of letters, digits and '-'")
]
HeaderValue = Annotated[Secretive, Form(r"^[^\x00-\x1f\x7f]*$", "must be one line")]
Host = Annotated[
    str,
    Form(r"^[^/\s]+$", "must be a host name or an address, without spaces and '/'"),
    BeforeValidator(_is_a_host_alone),
]
TopicPrefix = Annotated[str, Form(r"^[^#+\x00]+$", "must be a topic without # and +"), AfterValidator(_is_a_topic)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Seconds = Annotated[float, Field(ge=0.0, le=1e9)]
STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")
FFMPEG_SCHEMES = ("rtmp", "rtmps", "srt", "rtp", "udp", "tcp")
"""Schemes of a source `ffmpeg:`."""
DecoderName = Literal["auto", "software", "v4l2m2m", "cuda", "vaapi", "qsv", "drm"]
NAMED_SOURCES = ("pipe", "rpicam", "jetson-csi", "ffmpeg", "picamera2")
"""Sources that are programs or libraries: a name, a colon and parameters."""
MODEL_LINK = "current"
"""Link in the models folder to the model that the fleet assigns."""
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
"""Valid in an MQTT topic and in a file name."""
NAME_ERROR = "must consist of letters, digits, '.', '_' and '-', 63 at most, and begin with a letter or digit"
Name = Annotated[str, Form(NAME_PATTERN, NAME_ERROR)]
RepositoryUrl = Annotated[
    Secretive,
    Form(r"^(https?://[^\s?#]+[^\s?#/])?$", "must be a URL such as https://host/path, without a slash at the end"),
    AfterValidator(is_url),
]


Title = Annotated[
    str, Field(max_length=100), Form(r"^[^\x00-\x1f\x7f]*$", "must be one line"), AfterValidator(str.strip)
]


def _section(model: type[Section]) -> Any:
    """Declare a section with the defaults of its keys; the docstring of its model is its description."""
    return Field(default_factory=model, description=(model.__doc__ or "").removesuffix("."))


class DeviceConfig(Section):
    """Device."""

    id: Annotated[str, Form(f"^$|{NAME_PATTERN}", NAME_ERROR)] = Field(
        "", description="Name of this device in topics and alerts; empty: the host name"
    )
    title: Title = Field("", description="Friendly name, such as Front door of the library; empty: the id")

    @property
    def name(self) -> str:
        """The id, or the host name if there is none."""
        # A host name may contain characters that a topic cannot.
        host = re.sub(r"[^A-Za-z0-9_-]+", "-", platform.node().split(".")[0]).strip("-_")[:63]
        return self.id or host or "maskwatch"


def _has_an_inside(polygon: tuple[Point, ...]) -> tuple[Point, ...]:
    """Reject a polygon without an area."""
    if len(polygon) < 3:  # noqa: PLR2004  (a triangle)
        raise ValueError(f"has {len(polygon)} corners; a polygon needs at least 3")
    (first_x, first_y), *others = polygon
    (second_x, second_y) = next((corner for corner in others if corner != polygon[0]), polygon[0])
    if all(
        abs((second_x - first_x) * (y - first_y) - (second_y - first_y) * (x - first_x)) < 1e-9  # noqa: PLR2004
        for x, y in others
    ):
        raise ValueError("has all its corners on one line")
    return polygon


def _is_quiet_hours(text: str) -> str:
    parse_quiet_hours(text)
    return text


Point = tuple[Fraction, Fraction]
"""x and y as shares of the picture's width and height."""
Polygon = Annotated[tuple[Point, ...], AfterValidator(_has_an_inside)]


class RulesConfig(Section):
    """Alert rules."""

    violations: tuple[Label, ...] = Field(
        ("without_mask", "mask_worn_incorrectly"), min_length=1, description="Labels that raise an alert"
    )
    min_face_px: int = Field(24, ge=8, le=2000, description="Smaller faces are tracked but raise no alert")
    exclusion_zones: tuple[Polygon, ...] = Field(
        (), description="Faces whose centre is inside raise no alert; corners [x, y] as shares 0..1 of the picture"
    )
    ignore_static_faces: bool = Field(True, description="Faces that do not move at all, as on a poster, raise no alert")
    dwell_seconds: Seconds = Field(0.0, description="Time in view before a person raises an alert")
    quiet_hours: tuple[Annotated[str, AfterValidator(_is_quiet_hours)], ...] = Field(
        (), description="No alerts at these times: '22:00-06:00', or with days 'sat,sun 00:00-24:00'"
    )
    time_zone: str = Field(
        "", description="Time zone of the quiet hours, such as Europe/Berlin; empty: that of the system"
    )
    cooldown_seconds: Seconds = Field(0.0, description="Time between two alerts of this camera")
    alerts_per_minute: int = Field(
        0,
        ge=0,
        le=6000,
        description="Maximum number of alerts of this camera within 60 s; the rest is counted; 0: no limit",
    )
    notify_when_resolved: bool = Field(
        True, description="Also publish when the person of an alert has left or put the mask on"
    )

    @field_validator("time_zone")
    @classmethod
    def _is_a_time_zone(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key if value else value
        except (LookupError, ValueError, OSError) as error:
            raise ValueError(f"'{value}' is not a known time zone; 'timedatectl list-timezones' lists them") from error

    @property
    def zone(self) -> ZoneInfo | None:
        """The zone of the quiet hours; None: that of the system."""
        return ZoneInfo(self.time_zone) if self.time_zone else None


class CameraRulesConfig(RulesConfig):
    """Keys of the section 'rules' that differ for this camera."""

    def __eq__(self, other: object) -> bool:
        """Whether the same keys are given with the same values: a given default overrides the section."""
        return (
            isinstance(other, CameraRulesConfig)
            and super().__eq__(other)
            and self.model_fields_set == other.model_fields_set
        )

    __hash__ = None  # type: ignore[assignment]  # nothing keeps a configuration in a set


def named_source(source: str) -> tuple[str, str] | None:
    """Name and parameters of a source such as `pipe: COMMAND` or `rpicam`; None for a device, address or path."""
    name, _, parameters = source.partition(":")
    return (name.strip(), parameters.strip()) if name.strip() in NAMED_SOURCES else None


def _check_parameters(name: str, parameters: str) -> None:
    """Reject invalid parameters."""
    try:
        words = shlex.split(parameters)
    except ValueError as error:
        raise ValueError(f"the command after '{name}:' cannot be split into words: {str(error).lower()}") from error
    if name == "pipe" and not words:
        raise ValueError("is empty; write 'pipe: COMMAND' with a command that writes pictures to its standard output")
    if name == "picamera2" and parameters and not parameters.isdecimal():
        raise ValueError("accepts only a camera number; write 'picamera2', or 'picamera2: 1' for the second")
    if name == "ffmpeg" and not words:
        raise ValueError("has no input; write 'ffmpeg: rtsp://...' or another input of FFmpeg")


def _check_address(scheme: str, place: str) -> None:
    """Reject addresses that are invalid or not supported, and name the form that is."""
    if scheme in STREAM_SCHEMES:
        if not _has_a_host(f"{scheme}://{place}"):
            raise ValueError(
                f"is not an address such as {scheme}://host:port/path; write special characters of user and password "
                "as %40"
            )
        return
    if scheme == "file":
        raise ValueError(f"file:// is not needed for a recording; write its path: {unquote(place)}")
    if scheme in FFMPEG_SCHEMES:
        raise ValueError(f'{scheme}:// is read by the program ffmpeg; write "ffmpeg: {scheme}://..."')
    known = ", ".join(f"{supported}://" for supported in STREAM_SCHEMES)
    raise ValueError(f"{scheme}:// is not a supported scheme; supported are {known}")


MIN_FPS = 0.5
"""A slower camera is taken for silent between its frames, and the evidence of its readings decays before it decides."""


def _is_fast_enough(rate: float) -> float:
    if 0 < rate < MIN_FPS:
        raise ValueError(f"{rate:g} is less than {MIN_FPS:g}, too few to decide anything; 0: as many as possible")
    return rate


def _has_an_area(region: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = region
    if right <= left or bottom <= top:
        raise ValueError("is empty; it is left, top, right, bottom, such as [0, 0.5, 1, 1] for the lower half")
    return region


FrameSize = tuple[Annotated[int, Field(ge=16, le=16_384)], Annotated[int, Field(ge=16, le=16_384)]]
"""Width and height in pixels."""


class CameraConfig(Section):
    """One camera."""

    title: Title = Field("", description="Friendly name; empty: the name of the camera")
    source: Secretive = Field(
        "/dev/video0",
        min_length=1,
        description="V4L2 device, rtsp:// or http:// address, video, folder, 'pipe: COMMAND', preset: docs/cameras.md",
    )
    frame_size: FrameSize | None = Field(
        None, description="Requested width and height, such as [1280, 720]; empty: the camera's own"
    )
    capture_fps: float = Field(0.0, ge=0.0, le=240.0, description="Requested frames per second; 0: the camera's own")
    fourcc: Annotated[str, Form(r"^([A-Z0-9]{4})?$", "must be four capital letters or digits, such as MJPG")] = Field(
        "", description="Requested V4L2 pixel format: MJPG, YUYV; empty: the device's own"
    )
    pixel_format: Literal["mjpeg", "bgr", "i420", "nv12"] = Field(
        "mjpeg", description="Output format of a 'pipe:' command; all but mjpeg need frame_size"
    )
    decoder: DecoderName = Field(
        "auto",
        description="Decoder of a video stream; auto: v4l2m2m where it works, otherwise software",
    )
    pixel_aspect_ratio: float = Field(
        0.0,
        ge=0.0,
        le=4.0,
        description="Width of a pixel by its height, such as 2 for 960x1080 of a 16:9 scene; 0: as the video states",
    )
    rotate: Literal[0, 90, 180, 270] = Field(0, description="Clockwise rotation in degrees")
    flip: Literal["none", "horizontal", "vertical"] = Field("none", description="Mirroring, after the rotation")
    roi: Annotated[tuple[Fraction, Fraction, Fraction, Fraction], AfterValidator(_has_an_area)] = Field(
        (0.0, 0.0, 1.0, 1.0),
        description="Region of interest after rotation and mirroring: left, top, right, bottom as shares 0..1",
    )
    detect_fps: Annotated[float, AfterValidator(_is_fast_enough)] = Field(
        10.0,
        ge=0.0,
        le=240.0,
        description="Frames per second in which faces are detected, 0.5 or more; 0: as many as possible",
    )
    read_timeout_seconds: float = Field(
        10.0, gt=0.0, le=600.0, description="Time without a frame after which a camera is reopened"
    )
    max_backoff_seconds: float = Field(
        60.0, ge=1.0, le=3600.0, description="Longest pause between two attempts to reopen a camera"
    )
    frozen_seconds: float = Field(
        60.0,
        ge=0.0,
        le=3600.0,
        description="Time after which bit-identical frames are reported as frozen; 0: never",
    )
    covered_seconds: float = Field(
        30.0,
        ge=0.0,
        le=3600.0,
        description="Time after which frames without contrast are reported as covered; 0: never",
    )
    rules: CameraRulesConfig = _section(CameraRulesConfig)

    @field_validator("source", mode="before")
    @classmethod
    def _beside_the_file(cls, source: Any, info: ValidationInfo) -> Any:
        """Resolve the path of a recording or folder as that of a file."""
        if not isinstance(source, str) or not source:
            return source
        if named := named_source(source):
            _check_parameters(*named)
            return source
        scheme, mark, place = source.partition("://")
        if mark:
            _check_address(scheme.lower(), place)
            return f"{scheme.lower()}://{place}"
        beside = str(beside_the_file(source, info))
        # Path.exists of Python 3.13 raises where the name is too long, or a folder above is not accessible.
        return beside if os.path.exists(beside) else source  # noqa: PTH110

    @model_validator(mode="after")
    def _raw_frames_have_a_size(self) -> CameraConfig:
        if self.pixel_format == "mjpeg":
            return self
        if (named_source(self.source) or ("", ""))[0] != "pipe":
            raise ValueError(
                f"pixel_format: {self.pixel_format} applies only to a source 'pipe:'; all others report their format"
            )
        if self.frame_size is None:
            raise ValueError(f"pixel_format: {self.pixel_format} needs frame_size, because raw frames have no header")
        if self.pixel_format != "bgr" and any(side % 2 for side in self.frame_size):
            raise ValueError(f"pixel_format: {self.pixel_format} needs a frame_size of even width and height")
        return self


class GovernorConfig(Section):
    """Governor: reduces the detection rate of a hot or overloaded machine."""

    enabled: bool = Field(True, description="Halve the detection rate step by step on a hot or overloaded machine")
    hot_celsius: float = Field(
        80.0, ge=30.0, le=110.0, description="Temperature from which the rate is reduced; 80 on a Raspberry Pi"
    )
    min_detect_fps: float = Field(2.0, ge=MIN_FPS, le=30.0, description="The rate is never reduced below this")


class MotionConfig(Section):
    """Motion gate."""

    enabled: bool = Field(True, description="Analyse a frame only if something changed; false: every frame")
    min_changed_fraction: Fraction = Field(
        0.002, description="Minimum share of the picture that changed; 0.002 is a face of 16 px in 400x300"
    )


DEFAULT_MIN_SCORE = 0.6
"""Minimum score of detectors without a card."""


SHIPPED_DETECTORS = {"accurate": "faces.json", "fast": "faces-fast.json"}
"""The cards in the package's models."""


class FacesConfig(Section):
    """Face detector."""

    detector: Literal["tflite", "yunet", "ssd", "haar"] = Field(
        "tflite", description="tflite: the shipped detector; haar needs OpenCV 4, yunet and ssd need a model"
    )
    variant: Literal["accurate", "fast"] = Field(
        "accurate",
        description="Shipped tflite model; fast takes half the time and misses more small faces",
    )
    model: FilePath | None = Field(
        None,
        description="Card (.json) of a custom tflite detector; .onnx file for yunet, res10 .pb file for ssd",
    )
    min_score: Fraction | None = Field(
        None, description="Minimum score of a face; empty: that of the model's card, 0.6 for other detectors"
    )
    min_face_px: int = Field(
        24,
        ge=8,
        le=2000,
        description="Shorter side of the smallest face to detect; determines the input size of tflite",
    )
    input_long_side_px: int = Field(
        640, ge=64, le=4096, description="Longer side to which pictures are scaled down for yunet and haar"
    )

    @model_validator(mode="after")
    def _has_its_model(self) -> FacesConfig:
        if self.detector in {"yunet", "ssd"} and self.model is None:
            raise ValueError(f"detector '{self.detector}' needs the path of its network under 'model'")
        return self

    @property
    def card(self) -> Path:
        """The card of a tflite detector, or the network file of a yunet or ssd detector."""
        return self.model or shipped("models") / SHIPPED_DETECTORS[self.variant]

    @property
    def least_score(self) -> float:
        """The minimum score of a detector without a card."""
        return DEFAULT_MIN_SCORE if self.min_score is None else self.min_score


class MasksConfig(Section):
    """Mask classifier."""

    model: FilePath | None = Field(None, description="TFLite model with its card beside it; empty: the shipped model")
    labels: tuple[Label, ...] = Field(
        (), max_length=3, description="Use only these labels, two or three; empty: all of the model"
    )

    @field_validator("labels")
    @classmethod
    def _can_be_told_apart(cls, labels: tuple[Label, ...]) -> tuple[Label, ...]:
        if labels and (len(labels) == 1 or len(set(labels)) != len(labels)):
            raise ValueError("needs at least two different labels, or none for all")
        return labels


class TrackingConfig(Section):
    """Tracking."""

    lost_timeout_seconds: Seconds = Field(2.0, description="Time without detection after which a person has left")


class DecisionConfig(Section):
    """Decision: sequential test over the readings of a person."""

    false_positive_rate: float = Field(
        0.001, gt=0.0, le=0.4, description="Accepted share of masked people reported as a violation (Wald's alpha)"
    )
    false_negative_rate: float = Field(
        0.1, gt=0.0, le=0.4, description="Accepted share of violations first classified as compliant (Wald's beta)"
    )
    decay_seconds: float = Field(5.0, ge=1.0, le=3600.0, description="Time in which evidence decays to 37 %")
    recheck_seconds: float = Field(
        0.5, ge=0.0, le=60.0, description="Interval between readings of a decided person; 0: every frame"
    )


def _public_key(value: str) -> str:
    """Reject text that is not a public key; age validates the key itself when the agent starts."""
    if value.upper().startswith("AGE-SECRET-KEY"):
        raise ValueError("is a secret key; the device needs only the public key, which begins with age1")
    if not value.startswith(("age1", "ssh-ed25519 ", "ssh-rsa ")):
        raise ValueError("is not a public key of age, which begins with age1, ssh-ed25519 or ssh-rsa")
    return value


class CropsConfig(Section):
    """Crops on disk."""

    dir: FilePath | None = Field(None, description="Folder of crops; empty: 'crops' in state_dir")
    margin_fraction: float = Field(0.4, ge=0.0, le=3.0, description="Margin around the face, as a share of its size")
    jpeg_quality: int = Field(90, ge=10, le=100, description="JPEG quality of crops")
    picture: Literal["face", "scene", "none"] = Field(
        "face",
        description="face: keep a crop of each alert; scene: also the whole frame, all other faces hidden, which shows "
        "more of people and place: docs/privacy.md; none: no picture",
    )
    blur_bystanders: bool = Field(True, description="Make the faces of other people in a crop unrecognisable")
    encrypt_for: tuple[Annotated[str, AfterValidator(_public_key)], ...] = Field(
        (), description="Encrypt pictures so that only the owners of these age public keys can open them"
    )
    keep_days: float = Field(30.0, gt=0.0, le=36_500.0, description="Crops and history older than this are removed")
    keep_bytes: int = Field(
        500_000_000,
        ge=1_000_000,
        description="Maximum size of all crops, a tenth of it for snapshots; the oldest are removed first",
    )
    keep_free_bytes: int = Field(
        100_000_000, ge=0, description="Disk space that crops leave free; alerts themselves may use it"
    )


class CountsConfig(Section):
    """Counts of people."""

    keep_days: float = Field(400.0, gt=0.0, le=36_500.0, description="Counts older than this are removed")


class OutboxConfig(Section):
    """Outbox: messages pending delivery."""

    max_messages: int = Field(
        20_000,
        ge=10,
        le=1_000_000,
        description="Maximum number of pending messages; the oldest beyond are dropped and counted",
    )
    max_bytes: int = Field(50_000_000, ge=100_000, description="Maximum size of pending messages, without pictures")


class HomeAssistantConfig(Section):
    """Home Assistant discovery."""

    enabled: bool = Field(True, description="Publish discovery messages for Home Assistant")
    prefix: TopicPrefix = Field("homeassistant", description="Discovery prefix in Home Assistant's MQTT settings")


FLEET_DEFAULTS: dict[str, Any] = {
    "accept_commands": False,
    "home_assistant": {"enabled": False},
    "messages_per_second": 2.0,
    "reconnect_spread_seconds": 30.0,
}
"""Ten thousand devices that reconnect together send at most 20,000 messages a second, spread over half a minute."""


class MqttConfig(Section):
    """MQTT broker."""

    profile: Literal["default", "fleet"] = Field(
        "default",
        description="fleet: publish only, for RabbitMQ with many devices; accept_commands and home_assistant are off, "
        "messages_per_second is 2 and reconnect_spread_seconds 30 unless given",
    )
    host: Host = Field("localhost", description="Host name or address")
    port: int = Field(1883, ge=1, le=65535, description="Port; 8883 is usual with TLS")
    transport: Literal["tcp", "websockets"] = Field(
        "tcp", description="websockets where only web ports are open; with tls: wss"
    )
    websocket_path: Annotated[Secretive, Form(r"^/[^\s]*$", "must begin with / and contain no spaces")] = Field(
        "/mqtt", description="Path of the broker's WebSocket, with its query"
    )
    websocket_headers: dict[HeaderName, HeaderValue] = Field(
        {}, description="Headers of the WebSocket's request, such as {Authorization: Bearer ...}"
    )
    alpn: Annotated[str, Form(r"^[!-~]*$", "must be ASCII without spaces, such as mqtt")] = Field(
        "", max_length=255, description="TLS protocol name (ALPN), if the broker uses it to detect MQTT on port 443"
    )
    topic_prefix: TopicPrefix = Field("maskwatch", description="Prefix of all topics")
    username: str = Field("", description="User name; empty: none")
    password_file: FilePath | None = Field(None, description="File whose first line is the password")
    tls: bool = Field(False, description="Use TLS and verify the broker's certificate")
    ca_file: FilePath | None = Field(
        None, description="Certificate authority of the broker; empty: those of the system"
    )
    cert_file: FilePath | None = Field(None, description="Client certificate, if the broker requires one")
    key_file: FilePath | None = Field(None, description="Private key of the certificate")
    key_password_file: FilePath | None = Field(
        None, description="File whose first line is the passphrase of that key; empty: it has none"
    )
    client_id: Annotated[str, Form(r"^[^#+/\s\x00]*$", "must not contain #, +, / or spaces")] = Field(
        "", description="MQTT client id, if the broker requires one; empty: by device.id"
    )
    keepalive_seconds: int = Field(
        30, ge=5, le=3600, description="MQTT keep-alive; a silent connection is closed after 1.5 times this"
    )
    publish_crops: bool = Field(False, description="Also publish each crop as JPEG under .../crops/<alert id>")
    publish_crop_paths: bool = Field(
        False,
        description="Publish the file of a crop or snapshot as an absolute path on this device instead of its name",
    )
    messages_per_second: float = Field(
        20.0, ge=0.1, le=10_000.0, description="Rate limit for the backlog after an outage"
    )
    reconnect_spread_seconds: Seconds = Field(
        0.0,
        description="Random delay before the first reconnection after an outage, in seconds at most; keeps a fleet "
        "from reconnecting at once",
    )
    expiry_seconds: int = Field(
        604_800, ge=0, le=4_294_967_295, description="MQTT message expiry for alerts, in seconds; 0 disables it"
    )
    no_subscribers_hold_seconds: Seconds = Field(
        60.0,
        description="Seconds for which alerts that reached no subscriber are held and sent again; 0 disables it "
        "(MQTT 5 only)",
    )
    telemetry_seconds: float = Field(
        60.0, ge=0.0, le=86_400.0, description="Interval between telemetry messages; 0 disables them"
    )
    accept_commands: bool = Field(
        True, description="Accept .../commands/: pause, resume, snapshot, reload, diagnostics"
    )
    response_prefix: Annotated[
        str, Form(r"^[^#+\x00$][^#+\x00]*$|^$", "must be a topic without # and +, not beginning with $")
    ] = Field(
        "maskwatch-responses",
        description="Prefix required of response topics in commands; empty: response topics are refused",
    )
    home_assistant: HomeAssistantConfig = _section(HomeAssistantConfig)

    @model_validator(mode="before")
    @classmethod
    def _apply_fleet_defaults(cls, values: Any) -> Any:
        """Apply the defaults of the fleet profile; given keys override them."""
        if isinstance(values, dict) and values.get("profile") == "fleet":
            return {**FLEET_DEFAULTS, **{key: value for key, value in values.items() if value is not None}}
        return values

    @model_validator(mode="after")
    def _only_publishes_in_fleet(self) -> MqttConfig:
        if self.profile == "fleet" and (self.accept_commands or self.home_assistant.enabled):
            raise ValueError(
                "profile: fleet only publishes, because a subscription per device overloads RabbitMQ: leave "
                "accept_commands and home_assistant.enabled false, or set profile: default"
            )
        if self.profile == "fleet" and "." in self.topic_prefix:
            raise ValueError("topic_prefix contains a '.', which separates levels at RabbitMQ; choose another")
        return self

    @field_validator("response_prefix")
    @classmethod
    def _ends_without_a_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _has_separate_response_topics(self) -> MqttConfig:
        taken = (self.topic_prefix, self.home_assistant.prefix)
        if any(f"{self.response_prefix}/".startswith(f"{prefix}/") for prefix in taken):
            raise ValueError(f"response_prefix is below {' or '.join(taken)}, where devices publish; choose another")
        return self

    @model_validator(mode="after")
    def _has_dependent_keys(self) -> MqttConfig:
        if self.password_file is not None and not self.username:
            raise ValueError("password_file is given but username is empty")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if not self.tls and (self.ca_file or self.cert_file or self.alpn):
            raise ValueError("ca_file, cert_file and alpn need tls: true")
        if self.transport != "websockets" and self.websocket_headers:
            raise ValueError("websocket_headers need transport: websockets")
        return self


class WebhookConfig(Section):
    """Webhooks: alerts by HTTP POST, in addition to MQTT."""

    url: Annotated[
        Secretive,
        Form(r"^https?://[^/\s]+.*$", "must begin with https:// or http:// and a host"),
        AfterValidator(is_url),
    ] = Field(description="URL of the receiver; https unless it is this machine or a lab")
    secret_file: FilePath | None = Field(
        None, description="File whose first line is the signing secret: whsec_ and base64; empty: unsigned"
    )
    events: tuple[Literal["alert", "resolved", "status"], ...] = Field(
        ("alert", "resolved", "status"), min_length=1, description="Events to post"
    )

    @field_validator("url")
    @classmethod
    def _has_no_password(cls, value: str) -> str:
        # Never the URL itself: paths and queries of webhooks are secrets, too.
        parts = urlsplit(value)
        if "@" in parts.netloc or parts.port == 0:
            raise ValueError(
                "has to be https://host:port/path without a user or password; sign with secret_file, or put a token "
                "into the path"
            )
        request = f"{parts.path}{parts.query}"
        if not request.isascii() or not request.isprintable() or " " in request:
            raise ValueError("has characters in its path that no URL has; write a space as %20, and so on")
        return value

    @property
    def name(self) -> str:
        """Name in logs and in the store, without secrets: scheme, host, port and a checksum."""
        parts = urlsplit(self.url)
        # A space, because logs show no address beyond its path.
        return f"{parts.scheme}://{parts.netloc} ({hashlib.sha256(self.url.encode()).hexdigest()[:8]})"


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address (IPv6 also in brackets), is this machine."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


class ConsoleConfig(Section):
    """Web console and API (edge-agent console); pip install 'maskwatch[console]'."""

    section: ClassVar[str] = "console"
    """The section that messages name; the pages of a fleet have their own."""

    host: Host = Field(
        "127.0.0.1",
        description="Address to listen on; any but loopback needs password_file or token_file",
    )
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on")
    base_path: str = Field(
        "",
        description="Path prefix behind a reverse proxy, such as /maskwatch; empty: that of X-Forwarded-Prefix, if any",
    )
    password_file: FilePath | None = Field(
        None, description="File whose first line is the login password, at least 8 characters"
    )
    token_file: FilePath | None = Field(
        None, description="File whose first line is the API token ('Authorization: Bearer'), at least 8 characters"
    )
    cert_file: FilePath | None = Field(None, description="Certificate of this device, for https; empty: http")
    key_file: FilePath | None = Field(None, description="Private key of the certificate")
    largest_upload_bytes: int = Field(
        20_000_000, ge=10_000, le=1_000_000_000, description="Maximum upload size; larger uploads are refused unread"
    )
    largest_picture_pixels: int = Field(
        40_000_000,
        ge=10_000,
        le=400_000_000,
        description="Maximum picture size; larger pictures are refused before decoding",
    )
    max_viewers: int = Field(40, ge=1, le=1000, description="Maximum number of open live pages and webcams")
    max_requests_per_second: float = Field(
        50.0, ge=0.1, le=10_000.0, description="Maximum rate of requests from one address, pages and API together"
    )

    @field_validator("base_path")
    @classmethod
    def _is_a_plain_path(cls, value: str) -> str:
        value = value.rstrip("/")
        if value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", value):
            raise ValueError(
                f"'{value}' is not a path such as /maskwatch: letters, digits, '.', '_', '~' and '-' between /"
            )
        return value

    @property
    def is_loopback(self) -> bool:
        """Whether it is reachable from this machine only."""
        return is_loopback(self.host)

    @property
    def url(self) -> str:
        """The URL, such as http://127.0.0.1:8080."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.cert_file else 'http'}://{host}:{self.port}"

    @model_validator(mode="after")
    def _is_protected(self) -> ConsoleConfig:
        wrong = []
        if (self.cert_file is None) != (self.key_file is None):
            wrong.append("cert_file and key_file go together")
        if not self.is_loopback and self.password_file is None and self.token_file is None:
            wrong.append(
                f"host {self.host} is reachable from other machines: set password_file or token_file, or "
                "host: 127.0.0.1"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


SignalName = Literal["violation", "compliant", "fault"]
Language = Literal["ar", "de", "en", "es", "fr", "it", "ja", "nl", "pl", "pt", "tr", "zh"]


class DisplayConfig(Section):
    """Page for a screen at the door, served by the console."""

    enabled: bool = Field(False, description="Serve /display/<camera> to a screen at the door")
    picture: Literal["mirrored", "none"] = Field(
        "mirrored", description="mirrored: people see themselves while they are in view; none: only the sign"
    )
    language: Language = Field("en", description="Language of the texts; ?lang= in the address overrides it")
    sound: Literal["none", "tone", "speech"] = Field(
        "none", description="Played once per person and sign; speech needs a voice installed on the screen's machine"
    )
    token_file: FilePath | None = Field(
        None,
        description="File whose first line is the display token (/display/<camera>#token=...), at least 8 characters",
    )


class SignalConfig(Section):
    """One output: a lamp, a buzzer or a relay."""

    pin: int = Field(ge=0, le=63, description="GPIO number (17 is GPIO17), not the position on the header")
    seconds: float = Field(2.0, ge=0.0, le=3600.0, description="Duration; 0: for as long as the reason lasts")
    active_high: bool = Field(True, description="false: on is the low level, as on many relay boards")


class FaultSignalConfig(SignalConfig):
    """An output that shows a fault of the device."""

    seconds: float = Field(0.0, ge=0.0, le=3600.0, description="Duration; 0: for as long as the reason lasts")


class SignalsConfig(Section):
    """Lamp, buzzer or relay at GPIO pins; pip install 'maskwatch[signals]'."""

    violation: SignalConfig | None = Field(
        None, description="On when the nearest person is in violation, such as {pin: 17, seconds: 2}; empty: none"
    )
    compliant: SignalConfig | None = Field(None, description="On when the nearest person wears a mask; empty: none")
    fault: FaultSignalConfig | None = Field(None, description="On while the device is degraded; empty: none")
    chip: int | None = Field(
        None, ge=0, le=63, description="Number N of /dev/gpiochipN; empty: that of the header, on any Raspberry Pi"
    )

    @property
    def outputs(self) -> dict[SignalName, SignalConfig]:
        """The configured outputs."""
        return {name: output for name in get_args(SignalName) if (output := getattr(self, name)) is not None}

    @model_validator(mode="after")
    def _each_has_its_pin(self) -> SignalsConfig:
        names: dict[int, str] = {}
        for name, output in self.outputs.items():
            if output.pin in names:
                raise ValueError(f"{names[output.pin]} and {name} both have pin {output.pin}; each needs its own")
            names[output.pin] = name
        return self


class RolloutConfig(Section):
    """Models from the fleet's repository (edge-agent rollout); pip install 'maskwatch[rollout]'."""

    url: RepositoryUrl = Field(
        "",
        description="Repository of signed models for edge-agent rollout; empty: disabled",
    )
    root_file: FilePath | None = Field(
        None, description="The repository's root.json: the initial root of trust, installed with the configuration"
    )
    group: Name = Field("default", description="Group of the fleet whose model this device runs")
    poll_seconds: float = Field(
        600.0, ge=1.0, le=86_400.0, description="Polling interval; up to a fifth of it is added at random"
    )

    @model_validator(mode="after")
    def _has_its_root(self) -> RolloutConfig:
        if self.url and self.root_file is None:
            raise ValueError("root_file is missing: without it nothing from the url can be trusted")
        return self


class LogConfig(Section):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Minimum level")


class Config(Section):
    """The whole configuration."""

    device: DeviceConfig = _section(DeviceConfig)
    state_dir: FilePath | None = Field(
        None, description="Alerts and crops; empty: systemd's StateDirectory, else ~/.local/state/maskwatch"
    )
    runtime: Literal["auto", "litert", "tflite-runtime"] = Field(
        "auto", description="TFLite runtime; auto: the first that works"
    )
    threads: int = Field(1, ge=1, le=16, description="Threads per model; more threads than free cores are slower")
    cameras: dict[Name, CameraConfig] = Field(
        default_factory=lambda: {"camera": CameraConfig()}, min_length=1, description="Cameras by name"
    )
    governor: GovernorConfig = _section(GovernorConfig)
    motion: MotionConfig = _section(MotionConfig)
    faces: FacesConfig = _section(FacesConfig)
    masks: MasksConfig = _section(MasksConfig)
    tracking: TrackingConfig = _section(TrackingConfig)
    decision: DecisionConfig = _section(DecisionConfig)
    rules: RulesConfig = _section(RulesConfig)
    crops: CropsConfig = _section(CropsConfig)
    counts: CountsConfig = _section(CountsConfig)
    outbox: OutboxConfig = _section(OutboxConfig)
    mqtt: MqttConfig = _section(MqttConfig)
    webhooks: tuple[WebhookConfig, ...] = Field((), description="Webhooks: alerts by HTTP POST, in addition to MQTT")
    console: ConsoleConfig = _section(ConsoleConfig)
    display: DisplayConfig = _section(DisplayConfig)
    signals: SignalsConfig = _section(SignalsConfig)
    rollout: RolloutConfig = _section(RolloutConfig)
    log: LogConfig = _section(LogConfig)

    @field_validator("webhooks")
    @classmethod
    def _have_a_url_each(cls, webhooks: tuple[WebhookConfig, ...]) -> tuple[WebhookConfig, ...]:
        """Reject a URL that is given twice: both would share their position in the queue of events."""
        urls = [webhook.url for webhook in webhooks]
        for number, url in enumerate(urls):
            if (first := urls.index(url)) != number:
                raise ValueError(f"{first} and {number} have the same url; list the events of both in one")
        return webhooks

    @model_validator(mode="after")
    def _has_a_place_for_its_state(self) -> Config:
        try:
            _ = self.state
        except ValueError as error:
            raise ValueError(f"state_dir is not given, and this user has no home: {error}") from error
        return self

    @model_validator(mode="after")
    def _has_a_name_for_its_fleet(self) -> Config:
        if self.mqtt.profile == "fleet" and "." in self.device.name:
            raise ValueError(
                f"device.id '{self.device.name}' contains a '.', which separates levels of a topic at RabbitMQ; with "
                "mqtt.profile: fleet choose another"
            )
        return self

    @model_validator(mode="after")
    def _remembers_from_frame_to_frame(self) -> Config:
        lost_timeout_seconds = self.tracking.lost_timeout_seconds
        for name, camera in self.cameras.items():
            rate = camera.detect_fps
            # One reading decides nothing: tracks have to survive from one frame to the next.
            if rate and 1 / rate > lost_timeout_seconds:
                raise ValueError(
                    f"cameras.{name}.detect_fps ({rate:g}) leaves {1 / rate:g} s between frames, and "
                    f"tracking.lost_timeout_seconds ({lost_timeout_seconds:g}) is shorter: no track would last"
                )
        return self

    @property
    def device_title(self) -> str:
        """The friendly name of the device."""
        return self.device.title or self.device.name

    @property
    def camera_titles(self) -> dict[str, str]:
        """The friendly name of each camera."""
        return {name: camera.title or name for name, camera in self.cameras.items()}

    def rules_of(self, camera: str) -> RulesConfig:
        """The effective rules of a configured camera: its own keys, otherwise those of `rules`."""
        own = self.cameras[camera].rules
        return self.rules.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})

    @property
    def min_detect_fps(self) -> float:
        """The rate below which the governor does not go: tracks have to survive from one frame to the next."""
        lost_timeout_seconds = self.tracking.lost_timeout_seconds
        return max(self.governor.min_detect_fps, 1 / lost_timeout_seconds if lost_timeout_seconds else 0.0)

    @property
    def max_silence_seconds(self) -> float:
        """The longest time between two frames of a camera that works: until it is reopened, or at the lowest rate."""
        return max(2 / MIN_FPS, *(camera.read_timeout_seconds for camera in self.cameras.values()))

    @property
    def state(self) -> Path:
        """The folder of data that survives a restart."""
        if self.state_dir is not None:
            return self.state_dir
        if systemd := os.environ.get("STATE_DIRECTORY"):
            return Path(systemd.split(":")[0])
        return Path(os.environ.get("XDG_STATE_HOME") or at_home(Path("~/.local/state"))) / "maskwatch"

    @property
    def crops_folder(self) -> Path:
        """The folder of crops."""
        return self.crops.dir or self.state / "crops"

    @property
    def snapshots_folder(self) -> Path:
        """The folder of pictures requested by commands."""
        return self.crops_folder / "snapshots"

    @property
    def store_file(self) -> Path:
        """The SQLite file with history, outbox and counters."""
        return self.state / "alerts.sqlite"

    @property
    def cameras_file(self) -> Path:
        """The present and former cameras; the latter are removed from Home Assistant."""
        return self.state / "cameras.json"

    @property
    def models_folder(self) -> Path:
        """The folder of the fleet's models."""
        return self.state / "models"

    @property
    def configured_mask_model(self) -> Path:
        """The configured mask classifier, or the shipped one."""
        return self.masks.model or shipped("models") / "masks.tflite"

    @property
    def mask_model(self) -> Path:
        """The mask classifier to load: the fleet's if there is one, otherwise the configured one."""
        current = self.models_folder / MODEL_LINK / "masks.tflite"
        return current if self.rollout.url and current.exists() else self.configured_mask_model


def shipped(name: str) -> Path:
    """A shipped file or folder: in the installed package, or at the top of a checkout."""
    inside = INSTALLED / name
    return inside if inside.exists() else CHECKOUT / name
