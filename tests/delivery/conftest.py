"""A broker and an outbox for every test that asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge_agent.delivery.outbox import Outbox
from tests.delivery.samples import BOOT_ID
from tests.mosquitto import Mosquitto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Mosquitto without users, running."""
    with Mosquitto(tmp_path / "broker") as running:
        yield running


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    """An empty outbox."""
    opened = Outbox(tmp_path / "state" / "outbox.sqlite", boot_id=BOOT_ID)
    yield opened
    opened.close()
