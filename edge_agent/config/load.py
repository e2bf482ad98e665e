"""Configuration loading: reads the configuration of the agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.config.model import Config
from edge_agent.config_file import load_as

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM_FILE = Path("/etc/maskwatch/config.yaml")


def default_file() -> Path | None:
    """The configuration file of this system; None if there is none, so that every key has its default."""
    return SYSTEM_FILE if SYSTEM_FILE.exists() else None


def load_config(file: Path | None, *, overrides: Sequence[str] = ()) -> Config:
    """Read the agent's configuration file, as `load_as`."""
    return load_as(
        Config, file, overrides=overrides, if_missing=f"'edge-agent config > {file}' writes one to begin from"
    )
