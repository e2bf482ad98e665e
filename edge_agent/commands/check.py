"""`edge-agent check`: is everything there that the agent needs, and if not, what is to be done?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import accept_json, add_command, configured, print_json
from edge_agent.config_file import default_file
from edge_agent.diagnosis.parts import looks_at_parts
from edge_agent.errors import AgentError, ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping


MARK_WIDTH = len("WRONG")
CHECK_WIDTH = len("configuration")


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "check",
        check,
        summary="look at configuration, models, cameras and broker, a line each: what is wrong and what to do",
        example="edge-agent check --config /etc/maskwatch/config.yaml",
    )
    accept_json(parser)


def check(options: argparse.Namespace) -> int:
    """Look at every part, also after one has failed; the exit status is that of the first failure.

    The quick yes or no before a start; `edge-agent doctor` looks at the device around it as well.
    """
    tell = print_json if options.json else _print_finding
    file = options.config or default_file() or "the defaults"
    try:
        config = configured(options)
    except ConfigError as error:
        # Everything else depends on it.
        tell({"check": "configuration", "ok": False, "message": str(error)})
        return error.exit_code
    tell({"check": "configuration", "ok": True, "message": str(file)})
    status = 0
    for name, look in looks_at_parts(config):
        try:
            found, is_good = look(), True
        except AgentError as error:
            found, is_good = str(error), False
            status = status or error.exit_code
        tell({"check": name, "ok": is_good, "message": found})
    return status


def _print_finding(finding: Mapping[str, Any]) -> None:
    mark = "ok" if finding["ok"] else "WRONG"
    print(f"{mark.ljust(MARK_WIDTH)}  {finding['check'].ljust(CHECK_WIDTH)}  {finding['message']}", flush=True)
