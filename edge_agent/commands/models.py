"""`edge-agent models`: lists the installed models with their metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import accept_json, add_command, configured, print_json
from edge_agent.config.model import shipped
from edge_agent.errors import ModelError
from edge_agent.foreign_text import safe
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.detector.tflite import open_tflite_detector

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
        summary="list the installed models with hashes and metrics",
        example="edge-agent models --json",
    )
    accept_json(parser)


def list_models(options: argparse.Namespace) -> int:
    """List the shipped and the configured models; the exit status is 0 if all cards fit."""
    config = configured(options)
    used = {config.mask_model}
    if config.faces.detector == "tflite":
        used.add(config.faces.card)
    paths = sorted({*_installed(shipped("models")), *used})
    status = 0
    for path in paths:
        try:
            described = _described(path, is_used=path in used)
        except ModelError as error:
            status = error.exit_code
            described = {"path": str(path), "used": path in used, "error": str(error)}
        if options.json:
            print_json(described)
        else:
            _print_described(described)
    return status


def _installed(folder: Path) -> set[Path]:
    """The networks of mask classifiers, and the cards of face detectors, which have several networks."""
    cards = {path for path in folder.glob("*.json") if not path.with_suffix(".tflite").is_file()}
    networks = {
        path for path in folder.glob("*.tflite") if not any(path.stem.startswith(f"{card.stem}-") for card in cards)
    }
    return cards | networks


def _described(path: Path, *, is_used: bool) -> dict[str, Any]:
    return {"path": str(path), "used": is_used, **(_classifier(path) if path.suffix == ".tflite" else _detector(path))}


def _detector(path: Path) -> dict[str, Any]:
    card = open_tflite_detector(path, min_score=None, min_face_px=1.0).card
    return {
        "kind": card.kind,
        "name": card.name,
        "files": [
            {"path": str(path.parent / file.file), "sha256": file.sha256, "bytes": file.size_bytes}
            for file in card.files
        ],
        "inputs": [[file.input.width, file.input.height] for file in card.files],
        "min_score": card.min_score,
        "metrics": card.metrics,
    }


def _classifier(path: Path) -> dict[str, Any]:
    card = open_classifier(path).card
    return {
        "kind": card.kind,
        "name": card.name,
        "sha256": card.sha256,
        "bytes": card.size_bytes,
        "labels": list(card.labels),
        "input": [card.input.width, card.input.height],
        "metrics": card.metrics,
    }


def _print_described(described: dict[str, Any]) -> None:
    if "error" in described:
        print(safe(described["error"]))
        return
    # The card of a third-party model is untrusted.
    name = safe(described["name"])
    print(safe(f"{described['path']}{' (configured)' if described['used'] else ''}"))
    if described["kind"] == "face_detector":
        sizes = ", ".join(f"{width}x{height}" for width, height in described["inputs"])
        print(f"    {name}: face detector; {sizes}")
        for file in described["files"]:
            print(safe(f"    {file['bytes']} bytes, sha256 {file['sha256']}  {file['path']}"))
    else:
        width, height = described["input"]
        print(f"    {name}: {', '.join(described['labels'])}; {width}x{height}, {described['bytes']} bytes")
        print(f"    sha256 {described['sha256']}")
    _print_metrics(described["metrics"], indent="    ")


def _print_metrics(metrics: Mapping[str, Any], *, indent: str) -> None:
    """Print one line per metric; a dictionary of numbers, such as the recall by label, is one line."""
    for name, value in metrics.items():
        if not isinstance(value, dict):
            print(safe(f"{indent}{name}: {_shown(value)}"))
        elif any(isinstance(part, dict) for part in value.values()):
            print(safe(f"{indent}{name}:"))
            _print_metrics(value, indent=indent + "  ")
        else:
            figures = ", ".join(f"{part} {_shown(figure)}" for part, figure in value.items())
            print(safe(f"{indent}{name}: {figures}"))


def _shown(figure: Any) -> str:
    return f"{figure:.3f}" if isinstance(figure, float) else str(figure)
