"""Feed: keeps the newest frame of one camera and monitors its health.

One thread per camera reads as fast as pictures arrive, so that no backlog builds up, and keeps only the newest.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from edge_agent.camera import Camera, open_camera
from edge_agent.camera.health import CameraHealth
from edge_agent.camera.transform import transform
from edge_agent.domain import Frame
from edge_agent.errors import CameraError
from edge_agent.host.backoff import Backoff
from edge_agent.host.threads import CAMERA_THREAD

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config.model import CameraConfig
    from edge_agent.domain import Picture
    from edge_agent.messages.status import Reason

# A replugged USB camera is back within a second; each further attempt waits twice as long.
FIRST_PAUSE_SECONDS = 1.0
# A frozen camera is reopened, repeatedly with a backoff that doubles up to this.
MAX_FROZEN_PAUSE_SECONDS = 3600.0
# Pause between two plays of a recording on a web server: a short one must not be requested many times a second.
RESTART_SECONDS = 1.0
# Closing takes no longer, even while a read blocks on a hanging camera.
CLOSE_SECONDS = 1.5

log = logging.getLogger(__name__)


NOT_OPENED = "not opened yet"


@dataclass(frozen=True, slots=True)
class FeedState:
    """State of a camera.

    `open_since` is monotonic. `reason` states why it is not open, `faults` what is wrong with its pictures if it is.
    `frames` counts pictures received, `dropped` those that were due but replaced by a newer one before they were taken;
    `reopened` counts recoveries and attempts to reopen a frozen camera. The size is that of the newest transformed
    picture.
    """

    name: str
    is_open: bool = False
    open_since: float = float("-inf")
    reason: str = NOT_OPENED
    frames: int = 0
    dropped: int = 0
    width_px: int = 0
    height_px: int = 0
    finished: bool = False
    reopened: int = 0
    faults: tuple[Reason, ...] = ()

    @property
    def is_starting(self) -> bool:
        """Whether the first attempt to open it is still running."""
        return not self.is_open and self.reason == NOT_OPENED


class CameraFeed:
    """Reads one camera in its own thread, reopening it after losses, until it is closed or its recording ends.

    Only the thread reads the camera, and replaces the state; a lock keeps the newest frame and its state together.
    """

    def __init__(
        self,
        name: str,
        config: CameraConfig,
        *,
        opener: Callable[[CameraConfig, threading.Event], Camera] = open_camera,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        """Nothing is opened before `start`."""
        self._config = config
        self._arrived = threading.Condition()
        self._opener = opener
        self._stop = threading.Event()
        self._state = FeedState(name)
        self._newest: Frame | None = None
        self._failure: Exception | None = None
        # Every picture is converted until a worker sets a limit.
        self._due_at: Callable[[], float] = lambda: float("-inf")
        self._lost_at: float | None = None
        self._backoff = Backoff(first_seconds=first_pause_seconds, max_seconds=config.max_backoff_seconds)
        self._opened_at: float | None = None
        self._health = CameraHealth(config)
        self._frozen_backoff = Backoff(first_seconds=config.frozen_seconds, max_seconds=MAX_FROZEN_PAUSE_SECONDS)
        self._reopen_frozen_at = float("-inf")
        self._has_restarted = False
        # A daemon: a blocked read must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name=CAMERA_THREAD + name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def convert_only_what_is_due(self, due_at: Callable[[], float]) -> None:
        """Skip pictures taken before `due_at()`, monotonic seconds, which is called for each picture."""
        self._due_at = due_at

    def wait(self, timeout_seconds: float) -> Frame | None:
        """Return the newest frame, once; wait up to `timeout_seconds` for one, None if there is none.

        Raises:
            Exception: whatever ended the thread other than the camera, for it is a bug.
        """
        with self._arrived:
            if self._newest is None and self._failure is None and not self._state.finished:
                self._arrived.wait(timeout_seconds)
            if self._failure is not None:
                raise self._failure
            frame, self._newest = self._newest, None
            return frame

    def state(self) -> FeedState:
        """Return the current state."""
        with self._arrived:
            return self._state

    def ask_to_stop(self) -> None:
        """Ask the thread to stop as soon as possible; does not wait."""
        self._stop.set()

    def close(self, *, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Stop the thread; if a read blocks for longer, it is abandoned and releases the camera when the read ends."""
        self.ask_to_stop()
        self._thread.join(timeout_seconds)
        if self._thread.is_alive():
            log.warning("camera %s: blocked in a read; its thread is abandoned", self._state.name)

    def _run(self) -> None:
        try:
            self._follow()
        # A bug, not a camera fault: raised in the thread that takes frames; it would be lost in this one.
        except Exception as error:  # noqa: BLE001
            with self._arrived:
                self._failure = error
                self._state = replace(self._state, is_open=False, reason=f"bug: {error!r}")
                self._arrived.notify_all()

    def _follow(self) -> None:
        while not self._stop.is_set():
            self._opened_at = None
            try:
                with closing(self._opener(self._config, self._stop)) as camera:
                    is_over = self._play(camera)
            except CameraError as error:
                if self._stop.is_set():
                    return
                self._lose(error)
                self._pause()
            else:
                if is_over:
                    return

    def _pause(self) -> None:
        """Wait before the next attempt, longer each time."""
        well_seconds = 0.0 if self._opened_at is None else time.monotonic() - self._opened_at
        self._stop.wait(self._backoff.take(well_seconds=well_seconds))

    def _play(self, camera: Camera) -> bool:
        """Read until the end of a recording or a stop request; False if the camera must be reopened."""
        begun_at: float | None = None
        while camera.grab() and not self._stop.is_set():
            if (position_seconds := camera.position_seconds) is not None:
                # Recordings play in real time, like a camera on site.
                begun_at = time.monotonic() - position_seconds if begun_at is None else begun_at
                if self._stop.wait(begun_at + position_seconds - time.monotonic()):
                    return True
            taken_at = time.monotonic() - camera.age_seconds
            if taken_at < self._due_at():
                self._state = replace(self._state, frames=self._state.frames + 1)
                continue
            picture = camera.retrieve()
            self._keep(transform(picture, self._config), taken_at=taken_at)
            # Recordings are never reopened.
            if position_seconds is None and self._is_to_be_reopened(picture, at=taken_at):
                return False
        if self._stop.is_set():
            return True
        if camera.position_seconds is None:
            self._restart()
            return False
        self._finish()
        return True

    def _restart(self) -> None:
        """Prepare to play a recording on a web server again; logged once."""
        if not self._has_restarted:
            log.info("camera %s: the recording has ended and is played again and again", self._state.name)
        self._has_restarted = True
        self._stop.wait(RESTART_SECONDS)

    def _is_to_be_reopened(self, picture: Picture, *, at: float) -> bool:
        """Check the health of a picture, and return whether reopening the camera may help."""
        self._log_faults(self._health.observe(picture, at=at))
        if not any(fault.code == "camera_frozen" for fault in self._state.faults):
            self._frozen_backoff.reset()
            self._reopen_frozen_at = at
            return False
        if at < self._reopen_frozen_at:
            return False
        # A scene that really never changes costs a short interruption now and then.
        self._reopen_frozen_at = at + self._frozen_backoff.take()
        self._state = replace(self._state, reopened=self._state.reopened + 1)
        return True

    def _log(self, level: int, text: str, *, reason: str) -> None:
        """Log a line, with its fields for the journal; reasons as in the status."""
        fields = {"CAMERA": self._state.name, "REASON": reason}
        log.log(level, "camera %s: %s", self._state.name, text, extra=fields)

    def _log_faults(self, faults: tuple[Reason, ...]) -> None:
        """Log the beginning and the end of each fault."""
        before = self._state.faults
        if faults == before:
            return
        for fault in faults:
            if fault not in before:
                self._log(logging.WARNING, fault.text, reason=fault.code)
        for fault in before:
            if fault not in faults:
                self._log(logging.INFO, f"recovered (was: {fault.text})", reason=fault.code)
        self._state = replace(self._state, faults=faults)

    def _keep(self, picture: Picture, *, taken_at: float) -> None:
        """Count a picture and offer it."""
        height_px, width_px = picture.shape[:2]
        if (width_px, height_px) != (self._state.width_px, self._state.height_px):
            self._state = replace(self._state, width_px=width_px, height_px=height_px)
        if self._opened_at is None:
            self._opened_at = taken_at
        if not self._state.is_open:
            self._recover(at=taken_at)
        with self._arrived:
            before = self._state
            replaced = self._newest is not None
            self._state = replace(before, frames=before.frames + 1, dropped=before.dropped + replaced)
            # Buffering, decoding and transforming take time.
            taken_when = datetime.now(timezone.utc) - timedelta(seconds=time.monotonic() - taken_at)
            self._newest = Frame(before.name, before.frames, picture, taken_at=taken_at, taken_when=taken_when)
            self._arrived.notify_all()

    def _recover(self, *, at: float) -> None:
        size = f"{self._state.width_px}x{self._state.height_px}"
        reopened = self._state.reopened + (self._lost_at is not None)
        self._state = replace(self._state, is_open=True, open_since=at, reason="", reopened=reopened)
        if self._lost_at is None:
            log.info("camera %s: opened, %s", self._state.name, size)
        else:
            text = f"reopened after {at - self._lost_at:.0f} s, {size}"
            self._log(logging.INFO, text, reason="camera_away")
        self._lost_at = None

    def _lose(self, error: CameraError) -> None:
        self._state = replace(self._state, is_open=False, reason=str(error))
        # Logged once until the camera is back.
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            self._log(logging.WARNING, f"{error}; retrying", reason="camera_away")

    def _finish(self) -> None:
        log.info("camera %s: the recording has ended after %d frames", self._state.name, self._state.frames)
        with self._arrived:
            self._state = replace(self._state, is_open=False, reason="the recording has ended", finished=True)
            self._arrived.notify_all()
