"""`edge-agent doctor`: what is wrong with this device, and which command mends it?"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import accept_json, add_command, print_json
from edge_agent.diagnosis.bundle import JOURNAL_LINES, write_bundle
from edge_agent.diagnosis.examination import Examination, examine
from edge_agent.diagnosis.finding import SEVERITIES, exit_status
from edge_agent.diagnosis.service import last_journal_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edge_agent.diagnosis.finding import Finding

MARKS = {"wrong": "WRONG", "warning": "warning", "ok": "ok"}
MARK_WIDTH = max(map(len, MARKS.values()))
NARROWEST_COLUMNS = 60
SAID_ON_THE_PAGE = ("edge_agent.camera", "edge_agent.delivery", "edge_agent.wiring")
"""What these log while they are looked at is a finding."""


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "doctor",
        doctor,
        summary="say what is wrong with this device, the worst first, and which command mends it",
        example="edge-agent doctor --bundle support.tar.gz",
    )
    parser.add_argument(
        "--bundle",
        type=Path,
        metavar="FILE.tar.gz",
        help="also gather findings, configuration, versions and log for somebody who helps; no picture, no password",
    )
    accept_json(parser)


def doctor(options: argparse.Namespace) -> int:
    """Look at everything and print it; 0 where all is well, 1 for warnings, 78 or 75 where something is wrong."""
    for name in SAID_ON_THE_PAGE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    now = datetime.now(timezone.utc)
    examination = examine(options.config, overrides=options.set, now=now, tell=_tell_progress)
    _tell_progress("")
    if options.json:
        for finding in examination.findings:
            print_json(asdict(finding))
        print_json({"summary": _counts(examination.findings), "system": asdict(examination.system)})
    else:
        _print_page(examination)
    if options.bundle is not None:
        write_bundle(
            options.bundle,
            findings=examination.findings,
            system=examination.system,
            config=examination.config,
            machine=examination.machine,
            journal=last_journal_lines(JOURNAL_LINES),
            when=now,
        )
        print(f"{options.bundle}: written; read it before you send it", file=sys.stderr)
    return exit_status(examination.findings)


def _print_page(examination: Examination) -> None:
    name = examination.config.device.name if examination.config else "this device"
    print(f"{name}: {examination.system.line}\n")
    check_width = max(len(finding.check) for finding in examination.findings)
    for finding in examination.findings:
        _print_finding(finding, check_width)
    counts = _counts(examination.findings)
    print(f"\n{counts['wrong']} wrong, {counts['warning']} to be warned of, {counts['ok']} in order")


def _print_finding(finding: Finding, check_width: int) -> None:
    head = f"{MARKS[finding.severity].ljust(MARK_WIDTH)}  {finding.check.ljust(check_width)}  "
    indent = " " * len(head)
    lines = [part for line in finding.message.splitlines() for part in _fitted(line, len(head))]
    print(head + f"\n{indent}".join(lines))
    if finding.mend:
        print(f"{indent}-> {finding.mend}")


def _fitted(line: str, margin: int) -> list[str]:
    """Break a line for a terminal; in a file or a pipe it stays one, so that it can be searched for."""
    if not sys.stdout.isatty():
        return [line]
    columns = max(NARROWEST_COLUMNS, shutil.get_terminal_size().columns - margin)
    # A path or a command that were broken could not be copied.
    return textwrap.wrap(line, columns, break_long_words=False, break_on_hyphens=False) or [""]


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return {severity: sum(finding.severity == severity for finding in findings) for severity in SEVERITIES}


def _tell_progress(name: str) -> None:
    """Name on a terminal what is being looked at: a camera or a broker may take ten seconds to not answer."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{f'looking at {name} ...' if name else ''}", end="", file=sys.stderr, flush=True)
