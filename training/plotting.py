"""Plotting: figures of matplotlib and pictures, in the format of their file names."""

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


def require_plot_format(path: Path) -> None:
    """Check, before the work for a plot, that it can be written under this name.

    Raises:
        ConfigError: matplotlib is not installed, or does not write this format.
    """
    formats = new_figure(1, 1).canvas.get_supported_filetypes()
    if path.suffix.lower().removeprefix(".") not in formats:
        raise ConfigError(f"{path}: plots are written as .{', .'.join(sorted(formats))}; choose one of these suffixes")


def require_picture_format(path: Path) -> None:
    """Check, before the work for a picture, that it can be written under this name.

    Raises:
        ConfigError: OpenCV does not write this format.
    """
    if not cv2.haveImageWriter(f"picture{path.suffix}"):
        raise ConfigError(f"{path}: pictures of this suffix cannot be written; choose .png or .jpg")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure in the format of its suffix, into a new folder if needed.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)


def write_picture(path: Path, image: Image) -> None:
    """Write a picture (BGR, uint8) in the format of its suffix. Unlike `cv2.imwrite`, it reports a full disk.

    Raises:
        OSError: it cannot be written.
    """
    _, data = cv2.imencode(path.suffix, image)
    path.write_bytes(data.tobytes())
