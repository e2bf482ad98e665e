"""`edge-agent doctor`: diagnoses this device and prints the command that fixes each problem."""

from __future__ import annotations

import itertools
import logging
import shutil
import sys
import textwrap
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import show_step
from edge_agent.commands.options import accept_json, add_command, print_json
from edge_agent.diagnosis.bundle import JOURNAL_LINES, write_bundle
from edge_agent.diagnosis.checks import run_checks
from edge_agent.diagnosis.examination import Examination, check_configuration, examine
from edge_agent.diagnosis.finding import SEVERITIES, exit_status
from edge_agent.diagnosis.service import last_journal_lines, query_systemd
from edge_agent.foreign_text import safe, safe_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from edge_agent.diagnosis.finding import Finding

MARKS = {"wrong": "WRONG", "warning": "warning", "ok": "ok"}
MARK_WIDTH = max(map(len, MARKS.values()))
QUICK_MARK_WIDTH = len("WRONG")
QUICK_CHECK_WIDTH = len("configuration")
MIN_COLUMNS = 60
SILENCED = ("edge_agent.camera", "edge_agent.alerts", "edge_agent.mqtt", "edge_agent.wiring")
"""Loggers whose messages during the examination are reported as findings already."""


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "doctor",
        doctor,
        summary="diagnose this device: findings by severity, each with the command that fixes it",
        example="edge-agent doctor --bundle support.tar.gz",
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument(
        "--quick",
        action="store_true",
        help="check only configuration, models, cameras and broker; one line per check, printed immediately",
    )
    extent.add_argument(
        "--bundle",
        type=Path,
        metavar="FILE.tar.gz",
        help="write a support bundle: findings, configuration, versions and log; no pictures, no passwords",
    )
    accept_json(parser)


def doctor(options: argparse.Namespace) -> int:
    """Run all checks and print the findings; exit status 0, 1 for warnings, 78 or 75 if something is wrong."""
    for name in SILENCED:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if options.quick:
        return _quick(options)
    now = datetime.now(timezone.utc)
    examination = examine(
        options.config, overrides=options.set, now=now, progress=lambda name: show_step(f"checking {name} ...")
    )
    show_step("")
    if options.json:
        for finding in examination.findings:
            print_json(asdict(finding))
        print_json({"summary": _counts(examination.findings), "system": asdict(examination.system)})
    else:
        _print_page(examination)
    if options.bundle is not None:
        write_bundle(options.bundle, examination, journal=last_journal_lines(JOURNAL_LINES), when=now)
        print(f"{options.bundle}: written; read it before you send it", file=sys.stderr)
    return exit_status(examination.findings)


def _quick(options: argparse.Namespace) -> int:
    """Print what the agent needs to start, line by line; the exit status is that of the first failure."""
    status = 0
    config, found = check_configuration(options.config, options.set, query_systemd())
    for finding in itertools.chain([found], run_checks(config) if config else ()):
        is_ok = finding.severity != "wrong"
        if not is_ok:
            status = status or finding.exit_code
        if options.json:
            print_json({"check": finding.check, "ok": is_ok, "message": finding.message})
        else:
            mark, check = "ok" if is_ok else "WRONG", finding.check
            print(f"{mark:{QUICK_MARK_WIDTH}}  {check:{QUICK_CHECK_WIDTH}}  {safe_lines(finding.message)}", flush=True)
    return status


def _print_page(examination: Examination) -> None:
    name = examination.config.device.name if examination.config else "this device"
    print(f"{name}: {examination.system.line}\n")
    check_width = max(len(finding.check) for finding in examination.findings)
    for finding in examination.findings:
        _print_finding(finding, check_width)
    counts = _counts(examination.findings)
    warnings = "1 warning" if counts["warning"] == 1 else f"{counts['warning']} warnings"
    print(f"\n{counts['wrong']} wrong, {warnings}, {counts['ok']} ok")


def _print_finding(finding: Finding, check_width: int) -> None:
    head = f"{MARKS[finding.severity].ljust(MARK_WIDTH)}  {finding.check.ljust(check_width)}  "
    indent = " " * len(head)
    lines = [part for line in safe_lines(finding.message).splitlines() for part in _fitted(line, len(head))]
    print(head + f"\n{indent}".join(lines))
    if finding.fix:
        print(f"{indent}-> {safe(finding.fix)}")


def _fitted(line: str, margin: int) -> list[str]:
    """Wrap a line for a terminal; in a file or pipe it stays one line, so that it can be searched."""
    if not sys.stdout.isatty():
        return [line]
    columns = max(MIN_COLUMNS, shutil.get_terminal_size().columns - margin)
    # Do not break paths and commands, so that they can be copied.
    return textwrap.wrap(line, columns, break_long_words=False, break_on_hyphens=False) or [""]


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return {severity: sum(finding.severity == severity for finding in findings) for severity in SEVERITIES}
