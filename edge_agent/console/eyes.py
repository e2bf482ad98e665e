"""Eyes: which faces are in a picture that somebody sent, and how do they wear their masks?

The same finder, reader and configuration as the watching has, but a second copy of them, opened when first needed:
neither thread ever waits for the other.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias

from edge_agent.console.desk import Desk
from edge_agent.vision.detection import detect
from edge_agent.vision.images import decode_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.console.leisure import Leisure
    from edge_agent.vision.faces import FaceFinder
    from edge_agent.vision.masks import MaskReader

    OpenEyes: TypeAlias = Callable[[], tuple[FaceFinder, MaskReader]]

log = logging.getLogger(__name__)

MOST_WAITING = 16
"""At 20 to 200 ms a picture, who comes behind so many waits for longer than a program does."""


class Eyes:
    """Looks at one picture at a time, in a thread of its own. Asked from the event loop only."""

    def __init__(self, open_eyes: OpenEyes, *, max_pixels: int, leisure: Leisure) -> None:
        """No picture of more than `max_pixels` is decoded."""
        self._open, self._max_pixels = open_eyes, max_pixels
        self._desk = Desk("console-eyes", most_waiting=MOST_WAITING, leisure=leisure)
        self._opened: tuple[FaceFinder, MaskReader] | None = None

    async def detect(self, content: bytes) -> dict[str, Any]:
        """Look at an encoded picture; the answer is that of `edge-agent detect --json`, without the path.

        Raises:
            BusyError: too many pictures wait.
            ModelError: the models have gone or changed since the start.
            PictureError: it is damaged, or has too many pixels.
        """
        return await self._desk.do(self._detect, content)

    def close(self) -> None:
        """Look at nothing more."""
        self._desk.close()

    def _detect(self, content: bytes) -> dict[str, Any]:
        image = decode_picture(content, max_pixels=self._max_pixels)
        if self._opened is None:
            self._opened = self._open()
        return detect(image, *self._opened).as_json()
