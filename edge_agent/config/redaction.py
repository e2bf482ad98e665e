"""Redaction: a source, and a whole configuration, without secrets; and the files that hold them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel

from edge_agent.config.model import named_source
from edge_agent.foreign_text import without_credentials

if TYPE_CHECKING:
    from pathlib import Path

    from edge_agent.config.model import Config

SECRET_FILES = {"password_file", "key_file", "key_password_file", "token_file", "secret_file"}
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


def without_secrets(config: Config) -> Config:
    """The configuration without secrets; names of secret files remain."""
    cameras = {
        name: camera.model_copy(update={"source": shown_source(camera.source)})
        for name, camera in config.cameras.items()
    }
    hidden = {
        "username": "(set)" if config.mqtt.username else "",
        "websocket_path": config.mqtt.websocket_path.partition("?")[0],
        "websocket_headers": dict.fromkeys(config.mqtt.websocket_headers, "(set)"),
    }
    # Path and query of a webhook's URL authorise requests.
    webhooks = tuple(webhook.model_copy(update={"url": webhook.name}) for webhook in config.webhooks)
    mqtt = config.mqtt.model_copy(update=hidden)
    return config.model_copy(update={"cameras": cameras, "mqtt": mqtt, "webhooks": webhooks})


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


def _shown_command(name: str, parameters: str) -> str:
    """The program name only, or the address of an ffmpeg source: other words of a command may be credentials."""
    words = parameters.split()
    if name == "pipe" and words:
        return f"pipe: {words[0]}"
    if name == "ffmpeg" and words:
        return f"ffmpeg: {shown_source(words[-1].strip(_QUOTES))}"
    return name
