"""Fixtures of the console tests: a console without a password, and one with a password and a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.console.browsing import a_browser
from tests.console.served import secret_files, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from playwright.sync_api import Browser

    from tests.console.served import Served


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, or else the test is skipped."""
    with a_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def long_login_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lengthen the delay after wrong passwords, so that it has not ended when a busy machine tries again."""
    monkeypatch.setattr("edge_agent.console.limits.FIRST_PAUSE_SECONDS", 120.0)


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Served]:
    """A console without login."""
    with served(tmp_path) as opened:
        yield opened


@pytest.fixture
def client(console: Served) -> Iterator[httpx.Client]:
    """An HTTP client on the same machine."""
    with console.client() as opened:
        yield opened


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Served]:
    """A console that requires a password or a token."""
    with served(tmp_path, **secret_files(tmp_path)) as opened:
        yield opened
