"""Can the device software be installed from wheels alone on each supported system, and in which versions?

    make test-matrix

It resolves pyproject.toml as on each of those systems, with the markers of its Python and CPU, and writes the table in
docs/platforms.md. Nothing is compiled on a device: a package without a wheel is a failure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HOUSE = Path(__file__).parents[2]
PAGE = HOUSE / "docs" / "platforms.md"
BEGIN, END = "<!-- begin: make test-matrix -->\n", "<!-- end: make test-matrix -->\n"
SHOWN = ("ai-edge-litert", "tflite-runtime", "av", "numpy", "opencv-python-headless", "paho-mqtt", "pydantic")
TIMEOUT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Platform:
    """A system by the criteria of wheels: its Python, and the version of its C library."""

    name: str
    python: str
    glibc: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """The versions for a system; `failure` is the reason if there are none."""

    platform: Platform
    extra: str
    versions: dict[str, str]
    failure: str


# Trixie has glibc 2.41; the resolver knows tags up to 2.40, and wheels for it also run on later versions.
PLATFORMS = (
    Platform("Ubuntu 22.04, JetPack 6", "3.10", "2_35"),
    Platform("Raspberry Pi OS and Debian 12 (Bookworm)", "3.11", "2_36"),
    Platform("Ubuntu 24.04", "3.12", "2_39"),
    Platform("Raspberry Pi OS and Debian 13 (Trixie)", "3.13", "2_40"),
    Platform("Ubuntu 26.04", "3.14", "2_40"),
)
EXTRAS = ("", "tflite-runtime")


def resolve(platform: Platform, extra: str, *, pip_index: str) -> Resolution:
    """Ask the resolver what this system would install, wheels only."""
    command = [
        "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary", ":all:",
        "--python-platform", f"aarch64-manylinux_{platform.glibc}", "--python-version", platform.python,
        *(["--extra", extra] if extra else []), *(["--default-index", pip_index] if pip_index else []),
        str(HOUSE / "pyproject.toml"),
    ]  # fmt: skip
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
    )
    lines = [line.split("==") for line in done.stdout.splitlines() if "==" in line]
    failure = "" if done.returncode == 0 else " ".join(done.stderr.split())
    return Resolution(platform, extra, dict(lines), failure)


def table(resolutions: list[Resolution]) -> str:
    """The rows of the table on the page."""
    rows = [f"| system, 64 bit ARM | Python | extra | {' | '.join(SHOWN)} |", f"|---|---|---|{'---|' * len(SHOWN)}"]
    for one in resolutions:
        versions = [one.versions.get(name, "-") for name in SHOWN]
        extra = f"`{one.extra}`" if one.extra else ""
        rows.append(f"| {one.platform.name} | {one.platform.python} | {extra} | {' | '.join(versions)} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """Resolve every combination, write the table and report what cannot be resolved."""
    pip = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    # The resolver does not read pip's settings, in which users behind a mirror have configured it.
    pip_index = subprocess.run(pip, capture_output=True, text=True, check=False).stdout.strip()
    resolutions = []
    for platform in PLATFORMS:
        for extra in EXTRAS:
            one = resolve(platform, extra, pip_index=pip_index)
            resolutions.append(one)
            outcome = one.failure or f"{len(one.versions)} packages, all as wheels"
            _log(f"{platform.name}, Python {platform.python}{f' [{extra}]' if extra else ''}: {outcome}")
    if any(one.failure for one in resolutions):
        return 1
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table(resolutions)}\n{END}{after}", encoding="utf-8")
    _log(f"{PAGE.relative_to(HOUSE)}: written")
    return 0


def _log(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
