"""Cameras: opens the configured cameras and reports the state of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.camera import Camera, open_camera
from edge_agent.camera.feed import CLOSE_SECONDS, CameraFeed, FeedState
from edge_agent.host.threads import close_all

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from typing_extensions import Self

    from edge_agent.config.model import CameraConfig


class Cameras:
    """All cameras, each read in its own thread until the context exits. Owned by the main thread."""

    def __init__(self, *, opener: Callable[[CameraConfig, threading.Event], Camera] = open_camera) -> None:
        """Nothing is opened before `follow`."""
        self._opener = opener
        self._configs: dict[str, CameraConfig] = {}
        self.feeds: dict[str, CameraFeed] = {}

    def follow(self, configs: Mapping[str, CameraConfig]) -> None:
        """Read exactly these cameras; those with an unchanged section keep running."""
        outdated = [name for name in self.feeds if self._configs[name] != configs.get(name)]
        close_all([self.feeds.pop(name) for name in outdated], timeout_seconds=CLOSE_SECONDS)
        for name, config in configs.items():
            if name not in self.feeds:
                self.feeds[name] = CameraFeed(name, config, opener=self._opener)
                self.feeds[name].start()
        # In the order of the configuration.
        self.feeds = {name: self.feeds[name] for name in configs}
        self._configs = dict(configs)

    def states(self) -> tuple[FeedState, ...]:
        """Return the state of each camera, in the order of the configuration."""
        return tuple(feed.state() for feed in self.feeds.values())

    def ask_to_stop(self) -> None:
        """Ask all cameras to stop as soon as possible; does not wait."""
        for feed in self.feeds.values():
            feed.ask_to_stop()

    def __enter__(self) -> Self:
        """Return this; `follow` opens the cameras."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all cameras in parallel; one that hangs does not delay the others."""
        close_all(self.feeds.values(), timeout_seconds=CLOSE_SECONDS)
        self.feeds = {}
