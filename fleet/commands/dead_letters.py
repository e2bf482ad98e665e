"""`maskwatch-fleet dead-letters`: lists or replays messages that could not be stored."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from edge_agent.command_line import number
from edge_agent.foreign_text import safe_lines
from fleet import amqp, database
from fleet.dead_letters import replay, view

if TYPE_CHECKING:
    import argparse

    from fleet.config import FleetConfig
NAME = "dead-letters"
SUMMARY = "show messages that could not be stored, or replay them"
EXAMPLE = "maskwatch-fleet dead-letters --replay"
SHOWN_BYTES = 200


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --replay, --most and --json."""
    parser.add_argument("--replay", action="store_true", help="send all of them again, for example after an upgrade")
    parser.add_argument(
        "--most", type=number(least=1, kind=int), default=50, metavar="N", help="maximum number to show (default: 50)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines and nothing else on stdout")


def run(config: FleetConfig, options: argparse.Namespace) -> int:
    """Show or replay."""
    with amqp.connect(config.broker) as broker:
        if options.replay:
            with database.open_database(config.database, application="maskwatch-fleet dead-letters") as connection:
                sent = replay(broker, connection, prefix=config.topic_prefix)
            print(json.dumps({"replayed": sent}) if options.json else f"{sent} dead letters were sent again")
            return 0
        for letter in view(broker, prefix=config.topic_prefix, limit=options.most):
            text = letter.body.decode(errors="backslashreplace")
            reason = letter.reason or "valid now, unless the database rejects it; use --replay"
            if options.json:
                print(json.dumps({"routing_key": letter.routing_key, "reason": letter.reason, "body": text}))
            else:
                print(safe_lines(f"{letter.routing_key}: {reason}\n    {text[:SHOWN_BYTES]}"))
    return 0
