"""Cameras: which frame of which camera is looked at next?"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from edge_agent.camera import Camera, open_camera
from edge_agent.camera.feed import CLOSE_SECONDS, CameraFeed, FeedState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from edge_agent.config import CameraConfig
    from edge_agent.domain import Frame

# How soon the word to stop is heard while no frame comes.
STOP_CHECK_SECONDS = 0.1


class Cameras:
    """All cameras, each followed in its own thread while the context is open. Frames are taken by one thread."""

    def __init__(
        self,
        configs: Mapping[str, CameraConfig],
        *,
        opener: Callable[[CameraConfig, threading.Event], Camera] = open_camera,
    ) -> None:
        """Nothing is opened before the context is entered."""
        self._arrived = threading.Condition()
        self._feeds = [
            CameraFeed(name, config, arrived=self._arrived, opener=opener) for name, config in configs.items()
        ]
        self._turn = 0

    def __enter__(self) -> Self:
        """Begin to follow every camera."""
        for feed in self._feeds:
            feed.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop them all at once; none that hangs makes the others wait."""
        for feed in self._feeds:
            feed.ask_to_stop()
        until = time.monotonic() + CLOSE_SECONDS
        for feed in self._feeds:
            feed.close(timeout_seconds=max(0.0, until - time.monotonic()))

    def frames(self, stop: threading.Event, *, tick_seconds: float = 1.0) -> Iterator[Frame | None]:
        """Give each camera's newest unseen frame in fair turns, and None whenever none came for `tick_seconds`.

        Ends when `stop` is set, or when every camera was a recording that has ended.
        """
        tick_at = time.monotonic() + tick_seconds
        while not stop.is_set():
            with self._arrived:
                # Under one lock: a recording's last frame comes before its end.
                frame = self._take_next()
                if frame is None:
                    if all(feed.state().finished for feed in self._feeds):
                        return
                    self._arrived.wait(max(0.0, min(STOP_CHECK_SECONDS, tick_at - time.monotonic())))
                    frame = self._take_next()
            if frame is not None or time.monotonic() >= tick_at:
                yield frame
                tick_at = time.monotonic() + tick_seconds

    def states(self) -> tuple[FeedState, ...]:
        """Return how each camera does, in the order of the configuration."""
        return tuple(feed.state() for feed in self._feeds)

    def _take_next(self) -> Frame | None:
        """Take a frame from the first camera, beginning behind the one that came last, that has one."""
        for turn in range(self._turn, self._turn + len(self._feeds)):
            frame = self._feeds[turn % len(self._feeds)].take()
            if frame is not None:
                self._turn = turn % len(self._feeds) + 1
                return frame
        return None
