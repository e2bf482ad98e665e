"""Secrets: reads a password from the first line of a file, such as a systemd credential (LoadCredential)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def read_password(file: Path, *, key: str, least_characters: int = 1) -> str:
    """Read the first line, including spaces; `key` is the configuration key that names the file.

    Raises:
        ConfigError: it cannot be read, or is shorter than `least_characters`.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(
            f"{file}: the password cannot be read: {error.strerror}; check {key} and who may read it"
        ) from error
    except UnicodeDecodeError:
        # The original message would show a byte of the password.
        raise ConfigError(f"{file}: the password is not UTF-8 text; check {key}") from None
    if not lines or not lines[0]:
        raise ConfigError(f"{file}: the first line is empty; write the password there ({key})")
    if len(lines[0]) < least_characters:
        raise ConfigError(
            f"{file}: the first line is shorter than {least_characters} characters, which is easy to guess; write a "
            f"longer one there ({key}), such as 'openssl rand -hex 16' prints"
        )
    return lines[0]
