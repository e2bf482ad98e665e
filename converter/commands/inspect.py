"""`edge-convert inspect`: describes a .tflite file, a detector's networks, or a float model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.faces.candidates import DEFAULT_MIN_FACE_PX
from converter.faces.files import detector_card_of, networks_of
from converter.inspection import EDGE_TPU_MEMORY_BYTES, Inspection, TensorFacts, inspect_model
from converter.masks.networks import open_network
from converter.masks.overrides import ModelOverrides
from converter.masks.preprocessing import PIXEL_RANGES
from converter.model_kind import TFLITE_SUFFIX, is_detector
from converter.tflite_conversion import run_converter
from edge_agent.command_line import add_command, number
from edge_agent.errors import ModelError
from edge_agent.foreign_text import safe
from edge_agent.vision.card import model_bytes
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.detector.tflite import open_tflite_detector
from training.tensorflow_logs import quiet_tensorflow

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "inspect",
        inspect,
        summary="show tensors, operators, cost and Edge TPU support of a .tflite file, of the networks of a face "
        "detector, or of a float model before conversion",
        example="edge-convert inspect models/masks.tflite",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a .tflite file, the card (.json) of a face detector, or any kind that 'edge-convert convert' takes",
    )
    parser.add_argument(
        "--size",
        type=number(least=8, kind=int),
        metavar="PX",
        help="input size of a float model, if the file does not determine it",
    )
    parser.add_argument(
        "--pixels", choices=PIXEL_RANGES, help="pixel range of the input, if the model's own scaling is unusual"
    )
    parser.add_argument("--operators", action="store_true", help="list every operator")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON line per network and nothing else on stdout"
    )


def inspect(options: argparse.Namespace) -> int:
    """Print the contents; the exit status tells whether the card fits."""
    if not (options.model.suffix == TFLITE_SUFFIX or is_detector(options.model)):
        return _inspect_float(options)
    card_file = detector_card_of(options.model)
    problem = _problem_of_card(options.model, card_file)
    for path in networks_of(options.model):
        _show(path, inspect_model(model_bytes(path), name=str(path)), {"card": problem or "fits"}, options)
    if not options.json:
        print(safe(f"card: {problem or 'fits'}"))
    return ModelError.exit_code if problem else 0


def _inspect_float(options: argparse.Namespace) -> int:
    """Show a float model as converted to TFLite, and what its file states about pixels and outputs."""
    network = open_network(options.model, ModelOverrides(size_px=options.size, pixels=options.pixels))
    with quiet_tensorflow():
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.graph])
        content = run_converter(converter, "float32", name=str(options.model))
    facts = {
        "kind": network.kind,
        "input": [network.height_px, network.width_px, network.channels],
        "output_count": network.outputs,
        "output_names": list(network.output_names),
        "pixels": network.pixels,
    }
    if not options.json:
        print(safe(f"{network.kind}, {network.width_px}x{network.height_px}, {network.channels} channel(s)"))
        print(safe(f"outputs: {network.outputs} {', '.join(network.output_names) or '(the file names none)'}"))
        print(safe(f"pixels: {network.pixels or 'not stated by the file'} {network.pixels_from}".rstrip()))
    _show(options.model, inspect_model(content, name=str(options.model)), facts, options)
    return 0


def _show(path: Path, inspection: Inspection, facts: dict[str, Any], options: argparse.Namespace) -> None:
    if not options.json:
        _print_inspection(path, inspection, each=options.operators)
        return
    totals = {
        "multiply_adds": inspection.multiply_adds,
        "parameter_bytes": inspection.parameter_bytes,
        "operators_on_edge_tpu": inspection.on_edge_tpu,
    }
    print(json.dumps({"path": str(path), **totals, **facts, **asdict(inspection)}))


def _problem_of_card(model: Path, detector_card: Path | None) -> str:
    """Why a device would not load the model; empty if it would."""
    try:
        with quiet_tensorflow():
            if detector_card is None:
                open_classifier(model)
            else:
                open_tflite_detector(detector_card, min_score=None, min_face_px=DEFAULT_MIN_FACE_PX)
    except ModelError as error:
        return str(error)
    return ""


def _print_inspection(path: Path, inspection: Inspection, *, each: bool) -> None:
    print(safe(f"{path}: {inspection.size_bytes} bytes, {inspection.parameter_bytes} of them weights"))
    for kind, tensors in (("input", inspection.inputs), ("output", inspection.outputs)):
        for tensor in tensors:
            print(safe(f"{kind}: {tensor.name} {list(tensor.shape)} {tensor.dtype.lower()}{_quantization(tensor)}"))
    print(f"one inference: {inspection.multiply_adds / 1e6:.1f} million multiply-adds")
    counts = Counter(safe(operator.name) for operator in inspection.operators)
    print(
        f"{len(inspection.operators)} operators: {', '.join(f'{count} {name}' for name, count in counts.most_common())}"
    )
    weights = Counter(
        operator.weights
        for operator in inspection.operators
        if operator.weights and (operator.multiply_adds or operator.name == "DEQUANTIZE")
    )
    print(f"weights: {', '.join(f'{count} {kind}' for kind, count in weights.most_common())}")
    if each:
        for number, operator in enumerate(inspection.operators):
            print(
                f"  {number:3} {safe(operator.name):20} -> {operator.output_shape!s:22} "
                f"{operator.multiply_adds:>12} {operator.parameter_bytes:>9} bytes  {operator.weights}"
            )
    _print_edge_tpu(inspection)


def _print_edge_tpu(inspection: Inspection) -> None:
    whole = len(inspection.operators)
    print(f"Edge TPU (estimated): takes {inspection.on_edge_tpu} of {whole} operators")
    obstacles = Counter(
        (safe(operator.name), safe(operator.obstacle)) for operator in inspection.operators if operator.obstacle
    )
    for (name, obstacle), count in obstacles.items():
        print(f"  {count} {name} fall back to the CPU: {obstacle}")
    behind = whole - inspection.on_edge_tpu - sum(obstacles.values())
    if behind:
        print(f"  {behind} more run on the CPU, as they follow one of these")
    if inspection.on_edge_tpu and inspection.parameter_bytes > EDGE_TPU_MEMORY_BYTES:
        print("  its weights do not fit into the Edge TPU's memory and are transferred for every inference")


def _quantization(tensor: TensorFacts) -> str:
    if not tensor.scales:
        return ""
    return f", value = (number - {tensor.zero_points[0]}) * {tensor.scales[0]:.7g}"
