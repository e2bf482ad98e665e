"""Detector gate: compares int8 networks with their float network before a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from converter.faces.evaluation import DetectorReport

GUARDED = "ap_50_16px"
LARGEST_LOSS = 0.005
"""Average precision may drop by half a point; quantization costs a healthy detector less."""
LARGEST_BYTES = 400_000
"""Limit of one network; a device stores one per input size."""


def hold_detector_against(converted: DetectorReport, original: DetectorReport, sizes_bytes: Sequence[int]) -> list[str]:
    """The objections to releasing a detector; empty if it passes."""
    objections = []
    loss = original.ap[GUARDED] - converted.ap[GUARDED]
    if loss > LARGEST_LOSS:
        objections.append(
            f"{converted.name}: average precision is {converted.ap[GUARDED]:.3f} against {original.ap[GUARDED]:.3f} in "
            f"float, more than {LARGEST_LOSS:g} lower; calibrate with more and more varied pictures"
        )
    if max(sizes_bytes) > LARGEST_BYTES:
        objections.append(
            f"{converted.name}: a network has {max(sizes_bytes)} bytes, more than {LARGEST_BYTES}; train a narrower one"
        )
    return objections
