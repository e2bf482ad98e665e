"""Shared by all tests: the reference data next to the checkout, which may be absent, and the order of the files."""

from __future__ import annotations

import functools
import gc
import logging
import os
from contextlib import closing, suppress
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from edge_agent.alerts.store import AlertStore
from tests.mosquitto import Mosquitto
from tests.mqtt.samples import BOOT_ID
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Pictures, recordings and weights with mixed licences: never part of the repository (CONTRIBUTING.md)."""

COMPUTING = ("converter", "scenes", "training")
"""Packages with long test files that use the CPU all the time."""
WAITING = ("camera", "console", "fleet", "hostile", "journeys", "mqtt")
"""Packages with long test files that often wait for a broker, a browser or a camera."""

# The duration of an example is meaningless on a shared machine.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


def pytest_configure() -> None:
    """Limit TensorFlow to one thread per worker, so that parallel workers (`pytest --numprocesses`) share the cores."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
            os.environ.setdefault(variable, "1")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Load TensorFlow before the first test that needs it."""
    if item.get_closest_marker("tensorflow"):
        load_tensorflow()


@functools.cache
def load_tensorflow() -> None:
    """Import TensorFlow, and exempt its 350,000 objects from garbage collection.

    Each full collection would visit all of them: a quarter of the CPU time of the converter's tests.
    """
    with suppress(ImportError), quiet_tensorflow():
        import keras  # noqa: F401
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for parallel workers, and skip tests that need reference data if there is none."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        places = {path: place for place, path in enumerate(in_turn(list(dict.fromkeys(item.path for item in items))))}
        items.sort(key=lambda item: places[item.path])
    if SHARED.is_dir():
        return
    for item in items:
        if item.get_closest_marker("reference_data"):
            # A distinct reason keeps the summary from folding several tests into one line.
            item.add_marker(pytest.mark.skip(reason=f"{item.name} needs reference data in ../{SHARED.name}"))


def in_turn(files: list[Path]) -> list[Path]:
    """Alternate CPU-bound and waiting files, so that both kinds run at any time; short ones come last."""
    tests = Path(__file__).parent
    packages = [(path, path.relative_to(tests).parts[0]) for path in files]
    computing = [path for path, package in packages if package in COMPUTING]
    waiting = [path for path, package in packages if package in WAITING]
    pairs = [path for pair in zip_longest(computing, waiting) for path in pair if path]
    return [*pairs, *(path for path, package in packages if package not in (*COMPUTING, *WAITING))]


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Path:
    """The folder with the reference data, for tests marked `reference_data`."""
    if not request.node.get_closest_marker("reference_data"):
        pytest.fail("a test that uses 'shared' needs @pytest.mark.reference_data, or it breaks where there is none")
    return SHARED


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Mosquitto without users, running."""
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    """An empty store."""
    with closing(AlertStore(tmp_path / "state" / "alerts.sqlite", boot_id=BOOT_ID)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def logging_stays_as_it_was():
    """Restore the root logger, which commands set up, so that it does not affect the next test."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    for handler in list(root.handlers):
        if handler not in handlers and not type(handler).__module__.startswith("_pytest"):
            root.removeHandler(handler)
