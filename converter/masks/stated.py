"""Stated: properties of a model that the user states on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from converter.masks.outputs import StatedLabels

if TYPE_CHECKING:
    from converter.masks.preprocessing import Colours, PixelRange, Preprocessing
    from edge_agent.vision.card import Resampling


@dataclass(frozen=True, slots=True)
class Stated:
    """Unset properties are None or empty. `by` names the origin: the user, or the card of a converted model."""

    labels: StatedLabels = field(default_factory=StatedLabels)
    pixels: PixelRange | None = None
    colours: Colours | None = None
    means: tuple[float, ...] | None = None
    deviations: tuple[float, ...] | None = None
    resampling: Resampling | None = None
    margin_fraction: float | None = None
    size_px: int | None = None
    by: str = "stated"

    def allows(self, way: Preprocessing) -> bool:
        """Whether a preprocessing is consistent with the stated properties."""
        pairs = (
            (self.pixels, way.pixels),
            (self.colours, way.colours),
            (self.means, way.means),
            (self.deviations, way.deviations),
        )
        return all(stated is None or stated == used for stated, used in pairs)


NOTHING_STATED = Stated()
