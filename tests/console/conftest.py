"""What do tests of the console share? One that is open to this machine, and one that asks for a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.served import secret_files, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.console.served import Served


@pytest.fixture
def slow_to_forgive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses after wrong passwords are not over before a busy machine has tried again."""
    monkeypatch.setattr("edge_agent.console.limits.FIRST_PAUSE_SECONDS", 120.0)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Served]:
    """Nobody has to log in."""
    with served(tmp_path) as opened:
        yield opened


@pytest.fixture
def ask(console: Served) -> Iterator[httpx.Client]:
    """A program on the same machine."""
    with console.client() as client:
        yield client


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Served]:
    """Asks for a password or a token."""
    with served(tmp_path, **secret_files(tmp_path)) as opened:
        yield opened
