"""`edge-agent config`: prints the effective configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import add_command, configured
from edge_agent.config.model import Config
from edge_agent.config.render import as_yaml

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "config",
        show,
        summary="print the effective configuration: file, --set and defaults",
        example="edge-agent config --changes --config config.yaml",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--changes", action="store_true", help="print only what differs from the defaults")
    shape.add_argument("--schema", action="store_true", help="print the JSON Schema of the configuration file")


def show(options: argparse.Namespace) -> int:
    """Print YAML that is a valid configuration file itself, or the schema."""
    if options.schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        return 0
    print(as_yaml(configured(options), only_changes=options.changes), end="")
    return 0
