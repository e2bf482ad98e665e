"""Secrets: removes those of the configuration from files and logs before they are shared."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from edge_agent.camera.source import without_secrets as without_secrets_of_command
from edge_agent.config.model import named_source
from edge_agent.config.redaction import secret_files, shown_source

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config.model import Config

HIDDEN = "***"
SHORTEST_VALUE = 4
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"]+")
# key=value in queries and environments, by common names of secrets.
_NAMED = re.compile(
    r"(?P<key>\b(?:pass(?:word|wd)?|pwd|token|secret|api_?key|auth)\b\s*[=:]\s*)[^\s&,;'\"]+", re.IGNORECASE
)


class Scrubber:
    """Removes the secrets of a configuration from text."""

    def __init__(self, config: Config) -> None:
        """Collect the secrets in URLs of cameras and webhooks, and in files."""
        self._sources = {camera.source: shown_source(camera.source) for camera in config.cameras.values()}
        self._sources |= {webhook.url: webhook.name for webhook in config.webhooks}
        self._commands = [_words(source) for source in self._sources]
        secrets = {secret for source in self._sources for secret in _secrets_of(source)}
        # The last word, without a scheme such as `Bearer`.
        secrets |= {value.split()[-1] for value in config.mqtt.websocket_headers.values() if value.strip()}
        secrets |= {value for _, value in parse_qsl(urlsplit(config.mqtt.websocket_path).query)}
        for file in secret_files(config).values():
            secrets |= _lines_of(file)
        # Longest first, as one may be part of another.
        self._secrets = sorted(secrets, key=len, reverse=True)

    def scrub(self, text: str) -> str:
        """The text without secrets."""
        for source, shown in self._sources.items():
            text = text.replace(source, shown)
        # Also user and password in any other URL, as of cameras no longer configured.
        for command in self._commands:
            text = without_secrets_of_command(text, command=command)
        text = _NAMED.sub(rf"\g<key>{HIDDEN}", text)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def _words(source: str) -> list[str]:
    """The words of the command of a `pipe:` source; empty for other sources."""
    named = named_source(source)
    return shlex.split(named[1]) if named else []


def _secrets_of(source: str) -> set[str]:
    found = set()
    # The command of a source may also contain a URL.
    for address in _ADDRESS.findall(source):
        try:
            parts = urlsplit(address)
        except ValueError:
            continue
        # Short values such as a channel '1' are no secrets, and occur everywhere.
        found |= {value for _, value in parse_qsl(parts.query) if len(value) >= SHORTEST_VALUE}
        found |= {parts.password} if parts.password else set()
    return found | {unquote(secret) for secret in found}


def _lines_of(file: Path) -> set[str]:
    try:
        return {line for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line}
    except OSError:
        return set()
