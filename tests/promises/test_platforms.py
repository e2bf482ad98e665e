"""docs/platforms.md and the package agree; `make test-matrix` asks a resolver for the versions."""

from __future__ import annotations

import re
from pathlib import Path

from tests.proofs.platforms import BEGIN, END, EXTRAS, PAGE, PLATFORMS, Resolution, table

ROOT = Path(__file__).parents[2]


def rows() -> list[list[str]]:
    """The cells of the table, without its header."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    lines = [line for line in rest.partition(END)[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_python_that_the_package_accepts_has_a_system_that_was_resolved():
    accepted = re.search(
        r'^requires-python = ">=3\.(\d+),<3\.(\d+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    assert accepted
    first, end = map(int, accepted.groups())
    assert [platform.python for platform in PLATFORMS] == [f"3.{minor}" for minor in range(first, end)]


def test_the_page_has_a_row_for_each_system_with_and_without_the_extra():
    assert [(name, python, extra.strip("`")) for name, python, extra, *_ in rows()] == [
        (platform.name, platform.python, extra) for platform in PLATFORMS for extra in EXTRAS
    ]


def test_wherever_the_small_runtime_is_installed_its_pins_hold():
    with_it = [row for row in rows() if row[4] != "-"]
    assert [row[1] for row in with_it] == ["3.10", "3.11"]
    for row in with_it:
        assert row[6].startswith("1."), "tflite-runtime fails under numpy 2"
        assert row[7].startswith("4.11."), "OpenCV 4.11 is the last for numpy 1"


def test_a_package_that_a_system_does_not_get_is_a_dash():
    resolution = Resolution(PLATFORMS[0], "", {"numpy": "2.0"}, "")

    assert table([resolution]).splitlines()[-1] == "| Ubuntu 22.04, JetPack 6 | 3.10 |  | - | - | - | 2.0 | - | - | - |"
