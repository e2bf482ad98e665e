"""System: board, operating system, Python and package versions."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The device tree of a board, the firmware of a PC; the first existing file is used.
MODEL_FILES = ("proc/device-tree/model", "sys/class/dmi/id/product_name")
# Packages in the path of a frame, and those that conflict with them.
PACKAGES = (
    "maskwatch",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python",
    "ai-edge-litert",
    "tflite-runtime",
    "paho-mqtt",
    "pydantic",
    "pyyaml",
    "pyrage",
    "systemd-python",
)


@dataclass(frozen=True, slots=True)
class System:
    """Hardware and software of a device. `cores` are those available to this process."""

    model: str
    operating_system: str
    kernel: str
    architecture: str
    cores: int
    python: str
    packages: Mapping[str, str]

    @property
    def line(self) -> str:
        """A one-line summary."""
        return (
            f"{self.model}, {self.cores} cores, {self.operating_system} ({self.architecture}), Python {self.python}, "
            f"maskwatch {self.packages.get('maskwatch', 'not installed')}"
        )


def read_system(*, root: Path = Path("/")) -> System:
    """Read hardware and software versions; the board's name from the file system below `root`."""
    return System(
        model=next((name for file in MODEL_FILES if (name := _text(root / file))), "unnamed machine"),
        operating_system=_operating_system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        packages=installed_packages(),
    )


def installed_packages() -> dict[str, str]:
    """Versions of the installed PACKAGES."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _operating_system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unnamed system"


def _text(file: Path) -> str:
    try:
        # Device tree strings end with a null byte.
        return file.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
