"""`edge-agent run`: falls back to the old configuration only if the new one fails."""

from __future__ import annotations

import argparse
import logging
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from edge_agent.commands import options, run
from edge_agent.errors import UnavailableError

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path
from types import SimpleNamespace


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restore signal handlers and log level, which the command sets."""
    level, known = logging.getLogger().level, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in known}
    yield
    logging.getLogger().setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


class Life:
    """Agents opened one after the other: each fails to open, or runs and performs its action."""

    def __init__(self, *turns: str) -> None:
        self.turns = list(turns)
        self.opened: list[int] = []
        self.recorder = SimpleNamespace(check_responds=lambda: None)

    @contextmanager
    def open_agent(self, config: Any, _notifier: Any, *, reload: Any, **_kept: Any) -> Iterator[Life]:
        self.opened.append(config.mqtt.port)
        self._reload = reload
        if self.turns[0] == "does not open":
            self.turns.pop(0)
            raise UnavailableError("the new one")
        yield self

    def run(self, stop: threading.Event) -> None:
        turn = self.turns.pop(0)
        if turn == "fails":
            raise UnavailableError("later")
        if turn == "is reloaded":
            self._reload()


def ports(monkeypatch: pytest.MonkeyPatch, folder: Path, life: Life) -> int:
    """Run with a configuration whose port increases each time it is read; returns the exit status."""
    file = folder / "config.yaml"
    read = iter(range(2001, 2100))

    def configured(_options: argparse.Namespace) -> Any:
        file.write_text(f"mqtt: {{port: {next(read)}}}\n", encoding="utf-8")
        return options.configured(_options)

    monkeypatch.setattr(run, "configured", configured)
    monkeypatch.setattr(run, "open_agent", life.open_agent)
    return run.run(argparse.Namespace(config=file, set=[], source=None, demo=False))


def test_a_new_configuration_that_does_not_work_leads_back_to_the_old_one(monkeypatch, tmp_path):
    life = Life("is reloaded", "does not open", "ends")

    assert ports(monkeypatch, tmp_path, life) == 0

    first, new, again = life.opened
    assert first == again != new


def test_a_failure_long_after_a_reload_does_not_restore_the_old_configuration(monkeypatch, tmp_path):
    life = Life("is reloaded", "fails")

    with pytest.raises(UnavailableError, match="later"):
        ports(monkeypatch, tmp_path, life)
