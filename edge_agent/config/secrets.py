"""Secrets: reads passwords from the first line of files, such as systemd credentials (LoadCredential)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config.model import Config

MAX_CHARACTERS = 10_000
"""More than any password or token; a file that was named by mistake may be of any size."""
MIN_CHARACTERS = 8
"""Minimum length of a password or token of the console."""


@dataclass(frozen=True, slots=True)
class ConsoleSecrets:
    """The credentials of users, programs and displays; empty: none is set."""

    password: str = ""
    token: str = ""
    display_token: str = ""


def read_password(file: Path, *, key: str, min_characters: int = 1) -> str:
    """Read the first line, including spaces; `key` is the configuration key that names the file.

    Raises:
        ConfigError: it cannot be read, is shorter than `min_characters`, or longer than any password.
    """
    try:
        with file.open("rb") as opened:
            lines = opened.readline(4 * MAX_CHARACTERS + 4).decode("utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(
            f"{file}: the password cannot be read: {error.strerror}; check {key} and who may read it"
        ) from error
    except UnicodeDecodeError:
        # The original message would show a byte of the password.
        raise ConfigError(f"{file}: the password is not UTF-8 text; check {key}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"{file}: the first line is empty; write the password there ({key})")
    if len(lines[0]) > MAX_CHARACTERS:
        raise ConfigError(f"{file}: the first line is longer than {MAX_CHARACTERS} characters; check {key}")
    if len(lines[0]) < min_characters:
        raise ConfigError(
            f"{file}: the first line is shorter than {min_characters} characters, which is easy to guess; write a "
            f"longer one there ({key}), such as 'openssl rand -hex 16' prints"
        )
    return lines[0]


def read_console_secrets(config: Config) -> ConsoleSecrets:
    """Read the secret files of the console.

    Raises:
        ConfigError: one cannot be read, or is too short.
    """

    def read(file: Path | None, key: str) -> str:
        return "" if file is None else read_password(file, key=key, min_characters=MIN_CHARACTERS)

    console, display = config.console, config.display
    return ConsoleSecrets(
        password=read(console.password_file, "console.password_file"),
        token=read(console.token_file, "console.token_file"),
        display_token=read(display.token_file if display.enabled else None, "display.token_file"),
    )
