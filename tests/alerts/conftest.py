"""Fixture of the alert tests: a store."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from edge_agent.alerts.store import AlertStore
from tests.mqtt.samples import BOOT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AlertStore]:
    """An empty store."""
    with closing(AlertStore(tmp_path / "state" / "alerts.sqlite", boot_id=BOOT_ID)) as opened:
        yield opened
