"""`maskwatch-fleet init`: creates what the fleet needs in RabbitMQ and PostgreSQL; keeps what exists."""

from __future__ import annotations

import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError
from fleet import database
from fleet.definitions import definitions, require_device_id
from fleet.management import Management, add_devices, differences, make

if TYPE_CHECKING:
    import argparse

    from fleet.config import FleetConfig
NAME = "init"
SUMMARY = "create virtual host, queues, policies and database schema, and admit devices"
EXAMPLE = "maskwatch-fleet init --devices devices.txt"
MISTAKES_SHOWN = 20
"""Invalid lines of a device file in an error message."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add --devices and --print-definitions."""
    parser.add_argument(
        "--devices",
        type=Path,
        metavar="FILE",
        help="admit the devices in this file, one id per line, by certificate",
    )
    parser.add_argument(
        "--print-definitions", action="store_true", help="only print the definitions for RabbitMQ as JSON"
    )


def run(config: FleetConfig, options: argparse.Namespace) -> int:
    """Create definitions and schema, and admit devices."""
    if options.print_definitions:
        json.dump(definitions(config), sys.stdout, indent=2)
        print()
        return 0
    devices = _devices(options.devices) if options.devices is not None else None
    management = Management(config.broker)
    lacks = differences(config, management)
    make(config, management)
    print(
        f"RabbitMQ: virtual host '{config.broker.virtual_host}' {'was given' if lacks else 'holds'} the fleet's queues "
        "and policies"
    )
    with database.connect(config.database, application="maskwatch-fleet init") as connection:
        is_new = database.make_schema(connection)
        now = datetime.now(timezone.utc)
        database.maintain(connection, retention_days=config.database.retention_days, when=now)
        name = connection.info.dbname
    print(f"PostgreSQL: database '{name}' {'was given' if is_new else 'holds'} schema {database.SCHEMA_VERSION}")
    if devices is not None:
        added = add_devices(config, management, devices)
        print(f"RabbitMQ: {len(set(devices))} devices are admitted, {added} of them now")
    return 0


def _devices(file: Path) -> list[str]:
    """The ids in a file.

    Raises:
        ConfigError: it cannot be read, or has invalid ids; the message lists them with their lines.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; check --devices and who may read it") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not in UTF-8; save it as plain text in UTF-8, one id per line") from error
    found: list[str] = []
    mistakes: list[str] = []
    for number, line in enumerate(lines, 1):
        device = line.strip()
        if not device or device.startswith("#"):
            continue
        try:
            require_device_id(device)
        except ConfigError as error:
            mistakes.append(f"  line {number:<3} {error}")
        found.append(device)
    if mistakes:
        more = len(mistakes) - MISTAKES_SHOWN
        shown = [*mistakes[:MISTAKES_SHOWN], *([f"  and {more} more"] if more > 0 else [])]
        raise ConfigError("\n".join([f"{file}:", *shown]))
    return found
