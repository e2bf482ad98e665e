"""The man page: what do `--help` and its commands say, as roff? Written from the parser, so that both agree."""  # noqa: INP001  (a script)

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from edge_agent.cli import build_parser

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILES = {
    "/etc/maskwatch/config.yaml": "The configuration; every key has a default.",
    "/etc/maskwatch/credentials/mqtt-password": "The password at the broker, for root alone.",
    "/var/lib/maskwatch": "Alerts, with those that wait for the broker, and crops.",
}
STATUSES = {
    "1": "A picture or recording cannot be read.",
    "70": "A bug; please report it.",
    "75": "A camera, broker or disk is away for now.",
    "78": "Configuration or model: a person has to act. The service is not restarted.",
}


def commands_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Give the parser of each command."""
    for action in parser._actions:  # noqa: SLF001  (argparse has no other way to ask)
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return {str(name): command for name, command in action.choices.items()}
    return {}


def man_page() -> Iterator[str]:
    """Give the lines of edge-agent(1)."""
    parser = build_parser()
    yield '.TH EDGE\\-AGENT 1 "" maskwatch "User Commands"'
    yield from (".SH NAME", "edge\\-agent \\- face mask detection with MQTT alerts")
    yield from (".SH SYNOPSIS", ".B edge\\-agent", "[\\-\\-version] [\\-\\-help] \\fICOMMAND\\fR [\\fIOPTION\\fR]...")
    yield from (".SH DESCRIPTION", _escaped(parser.description or ""))
    yield ".SH COMMANDS"
    for name, command in commands_of(parser).items():
        yield from _section(name, command)
    yield from _table("EXIT STATUS", STATUSES)
    yield from _table("FILES", FILES)


def _section(name: str, command: argparse.ArgumentParser) -> Iterator[str]:
    """A command, and those below it."""
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
    """Text in which roff sees no request and no hyphenation."""
    escaped = " ".join(text.replace("%%", "%").split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in man_page())
