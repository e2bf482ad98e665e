"""Presets: command lines of named sources, and the packages they need."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_agent.config.model import CameraConfig

PACKAGES = {"rpicam-vid": "rpicam-apps", "gst-launch-1.0": "gstreamer1.0-tools", "ffmpeg": "ffmpeg"}
"""The Debian package of each program."""

# Supported by CSI cameras of Raspberry Pi and Jetson, and sufficient for face detection.
CSI_SIZE = (1280, 720)
CSI_FRAMES_PER_SECOND = 15.0
# Does not affect readings; ffmpeg's scale is 2 (best) to 31.
FFMPEG_QUALITY = "3"


def command_of(config: CameraConfig) -> list[str]:
    """The command line of a source `pipe`, `rpicam`, `jetson-csi` or `ffmpeg`."""
    name, _, text = config.source.partition(":")
    parameters = shlex.split(text)
    match name.strip():
        case "rpicam":
            return _rpicam(config, parameters)
        case "jetson-csi":
            return _jetson_csi(config, parameters)
        case "ffmpeg":
            return _ffmpeg(config, parameters)
        case _:
            return parameters


def _rpicam(config: CameraConfig, options: list[str]) -> list[str]:
    """A CSI camera of a Raspberry Pi; `options` are additional options of rpicam-vid."""
    width_px, height_px = config.frame_size or CSI_SIZE
    return [
        *("rpicam-vid", "--nopreview", "--timeout", "0", "--codec", "mjpeg", "--flush"),
        *("--width", str(width_px), "--height", str(height_px)),
        *("--framerate", f"{config.capture_fps or CSI_FRAMES_PER_SECOND:g}"),
        *options,
        *("--output", "-"),
    ]


def _jetson_csi(config: CameraConfig, properties: list[str]) -> list[str]:
    """A CSI camera of a Jetson; `properties` are those of nvarguscamerasrc, such as sensor-id=1."""
    width_px, height_px = config.frame_size or CSI_SIZE
    rate = round(config.capture_fps or CSI_FRAMES_PER_SECOND)
    # Leaky: frames that cannot be passed on at once are outdated, and dropped.
    return [
        *("gst-launch-1.0", "--quiet", "nvarguscamerasrc", *properties, "!"),
        *(f"video/x-raw(memory:NVMM),width={width_px},height={height_px},framerate={rate}/1", "!"),
        *("nvvidconv", "!", "video/x-raw,format=I420", "!"),
        *("queue", "leaky=downstream", "max-size-buffers=1", "!", "jpegenc", "!", "fdsink", "fd=1"),
    ]


def _ffmpeg(config: CameraConfig, parameters: list[str]) -> list[str]:
    """Any input of FFmpeg: the last parameter is the input, preceded by its options."""
    *options, address = parameters
    over_tcp = address.lower().startswith(("rtsp://", "rtsps://")) and "-rtsp_transport" not in options
    size, rate = config.frame_size, config.capture_fps
    return [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error"),
        *(("-rtsp_transport", "tcp") if over_tcp else ()),
        *options,
        *("-i", address, "-map", "0:v:0"),
        *(("-s", f"{size[0]}x{size[1]}") if size else ()),
        *(("-r", f"{rate:g}") if rate else ()),
        *("-c:v", "mjpeg", "-q:v", FFMPEG_QUALITY, "-pix_fmt", "yuvj420p", "-f", "mjpeg", "-"),
    ]
