"""Configuration rendering: formats a configuration as YAML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel

from edge_agent.config.model import CameraRulesConfig, Config

if TYPE_CHECKING:
    from collections.abc import Iterator


def as_yaml(config: Config, *, only_changes: bool = False) -> str:
    """Format every key with its value and one comment line, or only keys whose value differs from the default."""
    lines = list(_section(config, Config(), "", only_changes=only_changes))
    return "\n".join(lines).strip() + "\n" if lines else "# Every key has its default.\n"


def _section(section: BaseModel, defaults: BaseModel, indent: str, *, only_changes: bool) -> Iterator[str]:
    # A camera's own rules override the section `rules` even with a default value.
    is_written = isinstance(section, CameraRulesConfig)
    for key, field in type(section).model_fields.items():
        value, default = getattr(section, key), getattr(defaults, key, None)
        if (key not in section.model_fields_set) if is_written else (only_changes and value == default):
            continue
        # An empty line before each section.
        if isinstance(value, BaseModel) or (isinstance(value, dict) and value):
            yield ""
        if not only_changes:
            yield f"{indent}# {field.description}"
        yield from _key(key, value, default, indent, only_changes=only_changes)


def _key(key: str, value: Any, default: Any, indent: str, *, only_changes: bool) -> Iterator[str]:
    if isinstance(value, CameraRulesConfig) and not value.model_fields_set:
        yield f"{indent}{key}: {{}}"
    elif isinstance(value, BaseModel):
        yield f"{indent}{key}:"
        yield from _section(value, default, indent + "  ", only_changes=only_changes)
    elif isinstance(value, dict) and value:
        yield f"{indent}{key}:"
        for name, item in value.items():
            # Compared with a camera that has all defaults.
            yield from _key(name, item, type(item)(), indent + "  ", only_changes=only_changes)
    elif isinstance(value, tuple) and any(isinstance(item, BaseModel) for item in value):
        yield f"{indent}{key}:"
        for item in value:
            # Required keys, such as an address, are always written.
            yield f"{indent}  -"
            yield from _section(item, type(item).model_construct(), indent + "    ", only_changes=only_changes)
    else:
        yield f"{indent}{key}: {_scalar(value)}".rstrip()


def _scalar(value: Any) -> str:
    plain = str(value) if isinstance(value, Path) else list(value) if isinstance(value, tuple) else value
    if plain is None:
        return ""
    return yaml.safe_dump(plain, default_flow_style=True, width=1000).removesuffix("...\n").strip()
