"""Overrides: properties of a model that the user states on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from converter.masks.outputs import LabelMapping

if TYPE_CHECKING:
    from converter.masks.outputs import SingleOutput
    from converter.masks.preprocessing import Colours, PixelRange, Preprocessing
    from edge_agent.vision.card import Resampling


@dataclass(frozen=True, slots=True)
class ModelOverrides:
    """Unset properties are None or empty. `origin`: the user, or the card of a converted model."""

    labels: LabelMapping = field(default_factory=LabelMapping)
    pixels: PixelRange | None = None
    colours: Colours | None = None
    means: tuple[float, ...] | None = None
    deviations: tuple[float, ...] | None = None
    resampling: Resampling | None = None
    margin_fraction: float | None = None
    size_px: int | None = None
    single_output: SingleOutput | None = None
    origin: str = "stated"

    def is_consistent_with(self, preprocessing: Preprocessing) -> bool:
        """Whether a preprocessing is consistent with the stated properties."""
        pairs = (
            (self.pixels, preprocessing.pixels),
            (self.colours, preprocessing.colours),
            (self.means, preprocessing.means),
            (self.deviations, preprocessing.deviations),
        )
        return all(overrides is None or overrides == used for overrides, used in pairs)


NO_OVERRIDES = ModelOverrides()
