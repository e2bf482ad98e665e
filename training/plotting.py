"""Plotting: figures of matplotlib, and pictures as PNG files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

    from edge_agent.domain import Image

DPI = 110


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure, without pyplot, which would need a display and keep global state.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("plots need matplotlib; pip install 'maskwatch[train]'") from error
    figure = Figure(figsize=(width_inches, height_inches), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, into a new folder if needed.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def write_png(path: Path, image: Image) -> None:
    """Write a picture (BGR, uint8). Unlike `cv2.imwrite`, it reports a full disk.

    Raises:
        OSError: it cannot be written.
    """
    _, data = cv2.imencode(".png", image)
    path.write_bytes(data.tobytes())
