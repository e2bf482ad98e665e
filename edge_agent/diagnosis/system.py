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

# A board names itself in its device tree, a PC in its firmware; the first file that is there counts.
MODEL_FILES = ("proc/device-tree/model", "sys/class/dmi/id/product_name")
# Whatever takes part in a frame's path, and what gets into its way when it is installed too.
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
    """What a report names, so that two devices can be compared. `cores` are those this process may use."""

    model: str
    operating_system: str
    kernel: str
    architecture: str
    cores: int
    python: str
    packages: Mapping[str, str]

    @property
    def line(self) -> str:
        """One line for a person."""
        return (
            f"{self.model}, {self.cores} cores, {self.operating_system} ({self.architecture}), Python {self.python}, "
            f"maskwatch {self.packages.get('maskwatch', 'not installed')}"
        )


def look_at_system(*, root: Path = Path("/")) -> System:
    """Read what the machine says about itself below `root`."""
    return System(
        model=next((name for file in MODEL_FILES if (name := _text(root / file))), "unnamed machine"),
        operating_system=_pretty_name(_text(root / "etc/os-release")),
        kernel=platform.release(),
        architecture=platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        python=platform.python_version(),
        packages=installed_packages(),
    )


def installed_packages() -> dict[str, str]:
    """Versions of those packages that matter and are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _pretty_name(os_release: str) -> str:
    for line in os_release.splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip('"')
    return "unnamed system"


def _text(file: Path) -> str:
    try:
        # A device tree ends its texts with a zero.
        return file.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
