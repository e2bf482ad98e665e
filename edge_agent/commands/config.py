"""`edge-agent config`: which configuration is in force?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import add_command, configured
from edge_agent.config import Config
from edge_agent.config_file import SYSTEM_FILE, load_config
from edge_agent.config_migration import migrate
from edge_agent.config_text import as_yaml

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "config",
        show,
        summary="print the configuration that is in force: the file, what --set adds, and defaults",
        example="edge-agent config --changes --config config.yaml",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--changes", action="store_true", help="print only what differs from the defaults")
    shape.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration file")
    shape.add_argument(
        "--migrate",
        type=Path,
        nargs="?",
        const=SYSTEM_FILE,
        metavar="FILE",
        help=f"bring a file of an older version up to date, and keep a backup (default: {SYSTEM_FILE})",
    )


def show(options: argparse.Namespace) -> int:
    """Print YAML that is a valid configuration file itself, or the schema; or bring a file up to date."""
    if options.migrate is not None:
        return _migrate(options.migrate)
    if options.schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        return 0
    print(as_yaml(configured(options), only_changes=options.changes), end="")
    return 0


def _migrate(file: Path) -> int:
    migrated = migrate(file)
    if migrated is None:
        print(f"{file}: nothing in it is of an older version; it stays as it is")
    else:
        print(f"{file}: brought up to date; the old file is {migrated.backup}")
        for change in migrated.changes:
            print(f"  {change}")
    # What else is wrong with it is told by its lines in the file as it is now.
    load_config(file)
    return 0
