"""`maskwatch-fleet notify`: forwards alerts and resolutions to Alertmanager, until SIGTERM."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fleet.commands.periodic import repeat
from fleet.notify import Notifier

if TYPE_CHECKING:
    import argparse

    import psycopg

    from fleet.config import FleetConfig
NAME = "notify"
SUMMARY = "forward alerts and resolutions to Prometheus Alertmanager"
EXAMPLE = "maskwatch-fleet notify --set 'notify.alertmanagers=[http://one:9093, http://two:9093]'"
INTERVAL_SECONDS = 2.0


def add_options(_parser: argparse.ArgumentParser) -> None:
    """No further options."""


def run(config: FleetConfig, _options: argparse.Namespace) -> int:
    """Notify until SIGTERM or Ctrl-C."""
    notifier = Notifier(config.notify)

    def post(connection: psycopg.Connection) -> None:
        notifier.post(connection, at=time.monotonic())

    repeat(config.database, post, every_seconds=INTERVAL_SECONDS, application="maskwatch-fleet notify")
    return 0
