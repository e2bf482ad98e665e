"""`edge-agent models`: which models are installed, and how good are they said to be?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import accept_json, add_command, configured, print_json
from edge_agent.config import shipped
from edge_agent.errors import ModelError
from edge_agent.vision.masks import open_mask_reader

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "models",
        list_models,
        summary="list the models that are installed, with hashes and metrics",
        example="edge-agent models --json",
    )
    accept_json(parser)


def list_models(options: argparse.Namespace) -> int:
    """List what is shipped and what the configuration names; the exit status tells whether every card fits."""
    config = configured(options)
    used = config.mask_model
    paths = sorted({*shipped("models").glob("*.tflite"), used})
    status = 0
    for path in paths:
        try:
            described = _described(path, is_used=path == used)
        except ModelError as error:
            status = error.exit_code
            described = {"path": str(path), "used": path == used, "error": str(error)}
        if options.json:
            print_json(described)
        else:
            _print_described(described)
    return status


def _described(path: Path, *, is_used: bool) -> dict[str, Any]:
    card = open_mask_reader(path).card
    return {
        "path": str(path),
        "used": is_used,
        "kind": card.kind,
        "name": card.name,
        "sha256": card.sha256,
        "bytes": card.size_bytes,
        "labels": list(card.labels),
        "input": [card.input.width, card.input.height],
        "metrics": card.metrics,
    }


def _print_described(described: dict[str, Any]) -> None:
    mark = "*" if described["used"] else " "
    if "error" in described:
        print(f"{mark} {described['error']}")
        return
    width, height = described["input"]
    print(f"{mark} {described['path']}")
    print(f"    {described['name']}: {', '.join(described['labels'])}; {width}x{height}, {described['bytes']} bytes")
    print(f"    sha256 {described['sha256']}")
    _print_metrics(described["metrics"], indent="    ")


def _print_metrics(metrics: Mapping[str, Any], *, indent: str) -> None:
    """A line for each figure; those that belong together, such as the recall of each label, share one."""
    for name, value in metrics.items():
        if not isinstance(value, dict):
            print(f"{indent}{name}: {_shown(value)}")
        elif any(isinstance(part, dict) for part in value.values()):
            print(f"{indent}{name}:")
            _print_metrics(value, indent=indent + "  ")
        else:
            print(f"{indent}{name}: {', '.join(f'{part} {_shown(figure)}' for part, figure in value.items())}")


def _shown(figure: Any) -> str:
    return f"{figure:.3f}" if isinstance(figure, float) else str(figure)
