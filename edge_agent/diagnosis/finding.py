"""Finding: the result of one check, its severity and its fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_agent.errors import ConfigError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

Severity: TypeAlias = Literal["wrong", "warning", "ok"]

SEVERITIES: tuple[Severity, ...] = ("wrong", "warning", "ok")
"""The worst first."""

WARNED = 1
"""Exit status where nothing is wrong and something may become so."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the diagnosis; `fix` is the command that helps, or what to do where no command does.

    wrong: the agent cannot do its job, or part of it. warning: it can, for now. `exit_code` tells whether a person must
    act (78) or waiting may help (75); it counts where something is wrong.
    """

    check: str
    severity: Severity
    message: str
    fix: str = ""
    exit_code: int = UnavailableError.exit_code


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Order by severity; what is equally bad stays in the order in which it was checked."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def exit_status(findings: Iterable[Finding]) -> int:
    """Give 0 where all is well, 1 for warnings, 78 where a person must act, 75 where something is only away."""
    found = list(findings)
    wrong = {finding.exit_code for finding in found if finding.severity == "wrong"}
    if wrong:
        return ConfigError.exit_code if ConfigError.exit_code in wrong else UnavailableError.exit_code
    return WARNED if any(finding.severity == "warning" for finding in found) else 0
