"""Accuracy check: compares a detector's int8 networks with their float network before a release."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from converter.faces.evaluation import DetectorReport

GUARDED_METRIC = "ap_50_16px"
MAX_AP_LOSS = 0.005
"""Average precision may drop by half a point; quantization costs a healthy detector less."""
MAX_NETWORK_BYTES = 400_000
"""Limit of one network; a device stores one per input size."""


def check_detector(converted: DetectorReport, original: DetectorReport, sizes_bytes: Sequence[int]) -> list[str]:
    """The reasons against releasing a detector; empty if it passes."""
    objections = []
    ap, float_ap = converted.ap[GUARDED_METRIC], original.ap[GUARDED_METRIC]
    if float_ap - ap > MAX_AP_LOSS:
        objections.append(
            f"{converted.name}: average precision is {ap:.3f} against {float_ap:.3f} in float, more than "
            f"{MAX_AP_LOSS:g} lower; calibrate with more and more varied pictures"
        )
    if max(sizes_bytes) > MAX_NETWORK_BYTES:
        objections.append(
            f"{converted.name}: a network has {max(sizes_bytes)} bytes, more than {MAX_NETWORK_BYTES}; train a "
            "narrower one"
        )
    return objections
