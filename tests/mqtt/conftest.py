"""Fixtures of the MQTT tests: a broker and a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.alerts.store import AlertStore
from tests.mosquitto import Mosquitto
from tests.mqtt.samples import BOOT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Mosquitto without users, running."""
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    """An empty store."""
    opened = AlertStore(tmp_path / "state" / "alerts.sqlite", boot_id=BOOT_ID)
    yield opened
    opened.close()
