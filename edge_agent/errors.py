"""Errors: how should the caller react? One class per reaction, each with its exit code (sysexits.h)."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError


class AgentError(Exception):
    """An error with a one-sentence message: the problem, the file or key, and what to do next."""

    exit_code = 70  # EX_SOFTWARE

    def __init__(self, message: str, *, fix: str = "") -> None:
        """`fix` is the command that the doctor suggests; empty: the doctor chooses one for the check."""
        super().__init__(message)
        self.fix = fix


class ConfigError(AgentError):
    """A person must edit a file; restarting will not help."""

    exit_code = 78  # EX_CONFIG; the unit has RestartPreventExitStatus=78


class ModelError(ConfigError):
    """A model or its card is missing, damaged or does not fit; reinstall or choose another."""


class UnavailableError(AgentError):
    """A camera, broker or disk is away for now; trying again later may help."""

    exit_code = 75  # EX_TEMPFAIL


class CameraError(UnavailableError):
    """A source cannot be opened or has stopped giving frames; reopen it after a pause."""


class PictureError(AgentError):
    """One picture cannot be read; report it and go on with the next."""

    exit_code = 1


class CropError(AgentError):
    """A crop cannot be kept; the alert goes out without it."""

    exit_code = 74  # EX_IOERR


class OutputError(AgentError):
    """Stdout cannot be written, for example because the disk is full."""

    exit_code = 74  # EX_IOERR


class CommandError(AgentError):
    """A command is rejected; the result names the reason, and the agent goes on."""


def missing_extra(extra: str, error: ImportError) -> ConfigError:
    """The error of a package that an extra of maskwatch installs."""
    install = f"pip install 'maskwatch[{extra}]'"
    return ConfigError(f"{error.name} is missing; install it with {install}", fix=f"{sys.executable} -m {install}")


def mistakes_in(error: ValidationError, *, whole: str = "") -> list[str]:
    """What pydantic has found: each mistake with its key, or with the name of the `whole`, and without the value."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return [
        ": ".join(filter(None, (".".join(map(str, detail["loc"])) or whole, mistake_of(detail)))) for detail in found
    ]


def mistake_of(detail: Mapping[str, Any]) -> str:
    """The message of a mistake that pydantic has found, without what pydantic writes before those of validators."""
    return str(detail["msg"]).removeprefix("Value error, ")


def in_one_line(error: AgentError) -> str:
    """The message of an error on one line, for a log: configuration errors have several lines."""
    lines = "; ".join(" ".join(line.split()) for line in str(error).splitlines())
    # The first line, such as 'config.yaml:', introduces the others.
    return lines.replace(":; ", ": ")
