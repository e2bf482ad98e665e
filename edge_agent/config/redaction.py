"""Redaction: a source, and a whole configuration, without secrets; the secrets, and the files that hold them."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel

from edge_agent.config.model import named_source
from edge_agent.foreign_text import MASK, NAMED_SECRET, USERINFO, mask, tokens_in, without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edge_agent.config.model import Config, WebhookConfig

SECRET_FILES = {"password_file", "key_file", "key_password_file", "token_file", "secret_file"}
MIN_SECRET_CHARACTERS = 4
"""Shorter values of queries and headers, such as a channel '1', are no secrets, and occur everywhere."""
_SECRET_OPTION = re.compile(r"-{1,2}(?:u|user|username|pass|passwd|password|pwd|token|key|headers|H)", re.IGNORECASE)
_QUOTES = "'\""


def shown_source(source: str) -> str:
    """The source for messages and logs, without user, password and query."""
    if (named := named_source(source)) is not None:
        return _shown_command(*named)
    # Also for addresses without slashes or scheme.
    beginning = re.match(r"[A-Za-z0-9+.-]+:(//)?", source)
    if beginning is None:
        return source
    return f"{beginning[0]}{without_credentials(source[beginning.end() :])}"


def masked_source(source: str) -> str:
    """The source for its owner: only what looks like a credential is masked."""
    return mask(source, _after_options(_words(source)))


def masked(config: Config, *, mask_source: Callable[[str], str] = masked_source) -> Config:
    """The configuration for its owner: what is no secret stays as it is; a masked value is invalid in a file."""
    cameras = {
        name: camera.model_copy(update={"source": mask_source(camera.source)})
        for name, camera in config.cameras.items()
    }
    path, query, _ = config.mqtt.websocket_path.partition("?")
    mqtt = {
        "websocket_path": f"{mask(f'ws://host{path}').removeprefix('ws://host')}{f'?{MASK}' if query else ''}",
        "websocket_headers": dict.fromkeys(config.mqtt.websocket_headers, MASK),
    }
    # Path and query of a webhook's URL authorise requests.
    webhooks = tuple(webhook.model_copy(update={"url": _masked_url(webhook)}) for webhook in config.webhooks)
    rollout = config.rollout.model_copy(update={"url": mask(config.rollout.url)})
    return config.model_copy(
        update={
            "cameras": cameras,
            "mqtt": config.mqtt.model_copy(update=mqtt),
            "webhooks": webhooks,
            "rollout": rollout,
        }
    )


def without_secrets(config: Config) -> Config:
    """The configuration for others: also without users, queries and the words of commands, which may be secrets."""
    hidden = masked(config, mask_source=shown_source)
    mqtt = hidden.mqtt.model_copy(update={"username": MASK if config.mqtt.username else ""})
    return hidden.model_copy(update={"mqtt": mqtt})


def secret_files(config: Config) -> dict[str, Path]:
    """The configured files whose content is secret, by their keys."""
    sections = dict(config) | {f"webhooks.{number}": webhook for number, webhook in enumerate(config.webhooks)}
    return {
        f"{name}.{key}": file
        for name, section in sections.items()
        if isinstance(section, BaseModel)
        for key, file in section
        if key in SECRET_FILES and file is not None
    }


def secrets_of(config: Config) -> set[str]:
    """The secrets themselves, to be masked in logs: of all addresses, headers and files."""
    addresses = [config.rollout.url, f"ws://host{config.mqtt.websocket_path}"]
    addresses += [word for camera in config.cameras.values() for word in _words(camera.source)]
    found = secrets_in(addresses)
    perhaps: list[str] = []
    for webhook in config.webhooks:
        parts = urlsplit(webhook.url)
        perhaps += [parts.path, parts.query]
    # The last word, without a scheme such as `Bearer`.
    perhaps += [value.split()[-1] for value in config.mqtt.websocket_headers.values() if value.strip()]
    found |= {value for value in perhaps if len(value) >= MIN_SECRET_CHARACTERS}
    return found.union(*map(_lines_of, secret_files(config).values()))


def secrets_in(command: Sequence[str]) -> set[str]:
    """The credentials in the words of a command: in an address, as name=value, or as the word after an option."""
    found = _after_options(command)
    for word in command:
        found |= tokens_in(word)
        found |= {match[1] for match in USERINFO.finditer(word)} | {match[2] for match in NAMED_SECRET.finditer(word)}
        found |= {value for _, value in parse_qsl(word.partition("?")[2]) if len(value) >= MIN_SECRET_CHARACTERS}
    # For user:password, both together and each part.
    found |= {part for secret in found if ":" in secret for part in secret.split(":", 1)}
    return {form for secret in found for form in (secret, unquote(secret)) if form}


def _after_options(command: Sequence[str]) -> set[str]:
    return {word for option, word in pairwise(command) if _SECRET_OPTION.fullmatch(option)}


def _words(source: str) -> list[str]:
    named = named_source(source)
    return shlex.split(named[1]) if named else [source]


def _lines_of(file: Path) -> Iterator[str]:
    try:
        yield from filter(None, file.read_text(encoding="utf-8", errors="replace").splitlines())
    except OSError:
        return


def _masked_url(webhook: WebhookConfig) -> str:
    parts = urlsplit(webhook.url)
    address = f"{parts.scheme}://{parts.netloc}"
    return f"{address}/{MASK}" if parts.path.strip("/") or parts.query else webhook.url


def _shown_command(name: str, parameters: str) -> str:
    """The program name only, or the address of an ffmpeg source: other words of a command may be credentials."""
    words = parameters.split()
    if name == "pipe" and words:
        return f"pipe: {words[0]}"
    if name == "ffmpeg" and words:
        return f"ffmpeg: {shown_source(words[-1].strip(_QUOTES))}"
    return name
