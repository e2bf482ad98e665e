"""Generate the man pages as roff from the argument parsers, so that they agree with `--help`.

python -m deploy.debian.man_page edge-agent | maskwatch-fleet
"""  # noqa: INP001  (a script)

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Page:
    """The parts of a man page that the argument parser does not contain."""

    summary: str
    build_parser: Callable[[], argparse.ArgumentParser]
    statuses: Mapping[str, str]
    files: Mapping[str, str]


def _agent() -> Page:
    from edge_agent.cli import build_parser  # noqa: PLC0415  (see PAGES)

    return Page(
        "face mask detection with MQTT alerts",
        build_parser,
        {
            "1": "A picture or recording cannot be read.",
            "70": "A bug; please report it.",
            "75": "A camera, broker or disk is away for now.",
            "78": "Configuration or model: a person has to act. The service is not restarted.",
        },
        {
            "/etc/maskwatch/config.yaml": "The configuration; every key has a default.",
            "/etc/maskwatch/credentials/mqtt-password": "The password at the broker, for root alone.",
            "/var/lib/maskwatch": "Alerts, with those that wait for the broker, and crops.",
        },
    )


def _fleet() -> Page:
    from fleet.cli import build_parser  # noqa: PLC0415  (see PAGES)

    return Page(
        "server side of maskwatch: alerts of many devices",
        build_parser,
        {
            "1": "The doctor has found something that failed, or a simulation lost messages.",
            "70": "A bug; please report it.",
            "75": "A broker, database or disk is away for now.",
            "78": "Configuration, password, certificate or schema: a person has to act. The service is not restarted.",
        },
        {
            "/etc/maskwatch/fleet.yaml": "The configuration; every key has a default.",
            "/etc/maskwatch/credentials/": "Passwords and keys, for root alone; systemd hands them to the services.",
            "/srv/maskwatch": "The repository of signed models, which nginx serves.",
            "/usr/share/doc/maskwatch-fleet/fleet.md": "Installation, operations, and what to do at each alarm.",
        },
    )


# Parsers are imported on demand: the fleet's libraries may be missing where the agent is packaged.
PAGES: Mapping[str, Callable[[], Page]] = {"edge-agent": _agent, "maskwatch-fleet": _fleet}


def commands_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parser of each command."""
    for action in parser._actions:  # noqa: SLF001  (argparse has no public way)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return {str(name): command for name, command in action.choices.items()}
    return {}


def man_page(program: str) -> Iterator[str]:
    """Return the lines of a program's man page (section 1)."""
    page = PAGES[program]()
    parser, name = page.build_parser(), _escaped(program)
    yield f'.TH {name.upper()} 1 "" maskwatch "User Commands"'
    yield from (".SH NAME", f"{name} \\- {_escaped(page.summary)}")
    yield from (".SH SYNOPSIS", f".B {name}", "[\\-\\-version] [\\-\\-help] \\fICOMMAND\\fR [\\fIOPTION\\fR]...")
    yield from (".SH DESCRIPTION", _escaped(parser.description or ""))
    yield ".SH COMMANDS"
    for command_name, command in commands_of(parser).items():
        yield from _section(command_name, command)
    yield from _table("EXIT STATUS", page.statuses)
    yield from _table("FILES", page.files)


def _section(name: str, command: argparse.ArgumentParser) -> Iterator[str]:
    """Format a command and its subcommands."""
    yield f".SS {name}"
    yield _escaped(command.description or "")
    for action in command._actions:  # noqa: SLF001
        if action.dest not in ("help", argparse.SUPPRESS) and action.help != argparse.SUPPRESS:
            yield from (".TP", f"\\fB{_escaped(_shown(action))}\\fR", _escaped(action.help or ""))
    yield from (".PP", _escaped(command.epilog or ""))
    for below, its in commands_of(command).items():
        yield from _section(f"{name} {below}", its)


def _table(title: str, rows: Mapping[str, str]) -> Iterator[str]:
    yield f".SH {title}"
    for left, right in rows.items():
        yield from (".TP", f"\\fB{_escaped(left)}\\fR", _escaped(right))


def _shown(action: argparse.Action) -> str:
    value = action.metavar or action.dest.upper()
    if not action.option_strings:
        return str(value)
    return ", ".join(action.option_strings) + ("" if action.nargs == 0 else f" {value}")


def _escaped(text: str) -> str:
    """Escape text so that roff finds no requests in it and does not hyphenate it."""
    escaped = " ".join(text.replace("%%", "%").split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in man_page(sys.argv[1]))
