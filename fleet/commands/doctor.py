"""`maskwatch-fleet doctor`: reports problems of the fleet servers and their fixes."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge_agent.foreign_text import safe
from fleet.doctor import examine

if TYPE_CHECKING:
    import argparse

    from fleet.config import FleetConfig
NAME = "doctor"
SUMMARY = "check brokers, queues, database, certificates and roll-outs"
EXAMPLE = "maskwatch-fleet doctor --json"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON lines and nothing else on stdout")


def run(config: FleetConfig, options: argparse.Namespace) -> int:
    """Run all checks; returns 1 if one failed."""
    found = examine(config, when=datetime.now(timezone.utc))
    for finding in found:
        if options.json:
            print(json.dumps(asdict(finding)))
        else:
            print(safe(f"{finding.state:8} {finding.what}: {finding.text}"))
    return int(any(finding.state == "failed" for finding in found))
