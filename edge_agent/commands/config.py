"""`edge-agent config`: prints the effective configuration."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import add_command, configured
from edge_agent.config.model import Config
from edge_agent.config.redaction import masked
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
    parser.add_argument(
        "--show-secrets",
        action="store_true",
        help="print passwords and tokens in addresses, which are masked otherwise",
    )


def show(options: argparse.Namespace) -> int:
    """Print the schema, or YAML that is a valid configuration file itself unless a secret is masked in it."""
    if options.schema:
        print(json.dumps(Config.model_json_schema(), indent=2))
        return 0
    config = configured(options)
    print(as_yaml(config if options.show_secrets else masked(config), only_changes=options.changes), end="")
    return 0
