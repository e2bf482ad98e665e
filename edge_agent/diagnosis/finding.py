"""Finding: the result of one check, its severity and its fix."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_agent.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Severity: TypeAlias = Literal["wrong", "warning", "ok"]

SEVERITIES: tuple[Severity, ...] = ("wrong", "warning", "ok")
"""By severity."""

WARNED = 1
"""Exit status if there are only warnings."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis; `fix` is a command, or an instruction if there is no command.

    wrong: the agent cannot work, fully or in part. warning: it can, for now. `exit_code` of a wrong finding states
    whether a person must act (78) or waiting may help (75).
    """

    check: str
    severity: Severity
    message: str
    fix: str = ""
    exit_code: int = UnavailableError.exit_code


def quoted(file: Path | None) -> str:
    """The name of a configured file or folder, which may contain spaces, for a command."""
    return shlex.quote(str(file))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity; equal severities keep the order of the checks."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def exit_status(findings: Iterable[Finding]) -> int:
    """0 if all is well, 1 for warnings, 78 if a person must act, 75 if something is temporarily unavailable."""
    found = list(findings)
    wrong = {finding.exit_code for finding in found if finding.severity == "wrong"}
    if wrong:
        return ConfigError.exit_code if ConfigError.exit_code in wrong else UnavailableError.exit_code
    return WARNED if any(finding.severity == "warning" for finding in found) else 0
