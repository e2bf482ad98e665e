"""A real network camera for tests: gst-rtsp-server on a free loopback port, killed at the end.

The server itself is this file run by the system's python3, which has Debian's gi and GStreamer:

    /usr/bin/python3 tests/rtsp_server.py PORT LAUNCH [USER:PASSWORD]
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGE_OF_ELEMENT = {
    "videotestsrc": "gstreamer1.0-plugins-base",
    "rtph264pay": "gstreamer1.0-plugins-good",
    "h264parse": "gstreamer1.0-plugins-bad",
    "x264enc": "gstreamer1.0-plugins-ugly",
}
PIPELINE = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=12 ! h264parse ! rtph264pay name=pay0 pt=96 )"
)


class RtspServer:
    """A moving test picture, H.264, 320x240 at 25 frames a second. Keeps its port across `kill` and `start`."""

    def __init__(self, credentials: str = "", *, launch: str = PIPELINE) -> None:
        """Nothing runs before `start`; `credentials` is user:password, if authentication is required.

        `launch` describes another picture, in the syntax of gst-launch.
        """
        # The system's python3, which runs this file, cannot import our other modules.
        from tests.mosquitto import free_port

        self.port = free_port()
        self._credentials, self._launch = credentials, launch
        self._process: subprocess.Popen[str] | None = None

    def address(self, credentials: str = "") -> str:
        """The address of the stream."""
        return f"rtsp://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}/live"

    def start(self) -> None:
        """Start serving; returns when connections are accepted."""
        command = [SYSTEM_PYTHON, __file__, str(self.port), self._launch, *filter(None, [self._credentials])]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout
        assert self._process.stderr
        if self._process.stdout.readline() != "ready\n":
            message = self._process.stderr.read()
            self.kill()
            raise AssertionError(f"the RTSP server does not start: {message}")

    def played_at(self) -> float:
        """Wait for a viewer and return when its first picture was sent, in monotonic seconds."""
        assert self._process
        assert self._process.stdout
        return float(self._process.stdout.readline())

    def freeze(self) -> None:
        """Hang with all connections open."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the server, as when a camera loses power."""
        if self._process is not None:
            self._process.kill()
            # Also closes the pipes.
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def serve(port: str, launch: str, credentials: str) -> None:
    """Serve until killed. Runs in the system's python3 only."""
    try:
        import gi  # type: ignore[import-not-found]  # Debian's python3-gi, not in this environment

        gi.require_version("Gst", "1.0")
        gi.require_version("GstRtspServer", "1.0")
        from gi.repository import GLib, Gst, GstRtspServer  # type: ignore[import-not-found]  # as above
    except (ImportError, ValueError) as error:
        sys.exit(f"{error}; apt-get install python3-gi gir1.2-gst-rtsp-server-1.0")

    Gst.init(None)
    missing = {package for element, package in PACKAGE_OF_ELEMENT.items() if not Gst.ElementFactory.find(element)}
    if missing:
        sys.exit(f"GStreamer elements are missing; apt-get install {' '.join(sorted(missing))}")
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    factory = GstRtspServer.RTSPMediaFactory(launch=launch, shared=True)
    factory.connect("media-configure", _say_when_played, Gst.State.PLAYING)
    if credentials:
        _ask_for(credentials, server, factory, gst=Gst, rtsp=GstRtspServer)
    server.get_mount_points().add_factory("/live", factory)
    if not server.attach(None):
        sys.exit(f"port {port} is taken")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    GLib.MainLoop().run()


def _say_when_played(_factory: Any, media: Any, playing: Any) -> None:
    """Print when each playback begins."""

    def changed(_media: Any, state: int) -> None:
        if state == int(playing):
            sys.stdout.write(f"{time.monotonic()}\n")
            sys.stdout.flush()

    media.connect("new-state", changed)


def _ask_for(credentials: str, server: Any, factory: Any, *, gst: Any, rtsp: Any) -> None:
    """Require authentication as this user."""
    token = rtsp.RTSPToken()
    token.set_string(rtsp.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
    auth = rtsp.RTSPAuth()
    auth.add_basic(rtsp.RTSPAuth.make_basic(*credentials.split(":", 1)), token)
    server.set_auth(auth)
    allowed = "viewer, media.factory.access=true, media.factory.construct=true"
    factory.add_role_from_structure(gst.Structure.new_from_string(allowed))


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
