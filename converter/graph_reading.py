"""Graph reading: what do the first and the last operations of a frozen TensorFlow graph say about a model?

A scaling at the beginning says which range the pixels have, the last operation whether the outputs are
probabilities. Layers are not asked: the same scaling is a Rescaling layer in one file, two operations of Keras 2
in the next, and nameless in a SavedModel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

Ending: TypeAlias = Literal["probabilities", "sigmoid", "logits"]

_PASSES_ON = {"Identity", "Cast", "StopGradient", "PreventGradient"}
_PASSES_BACK = {*_PASSES_ON, "Reshape", "Squeeze"}
_COLOURS = 3


def nodes_of(function: Any) -> dict[str, Any]:
    """The nodes of a concrete function, whose graph must be flat, by name."""
    return {node.name: node for node in function.graph.as_graph_def().node}


def ending(nodes: Mapping[str, Any], last: str) -> Ending:
    """What the last operation makes of the outputs."""
    node = nodes[last]
    while node.op in _PASSES_BACK and node.input:
        node = nodes[_source(node.input[0])]
    match node.op:
        case "Softmax":
            return "probabilities"
        case "Sigmoid":
            return "sigmoid"
        case _:
            return "logits"


def first_scaling(nodes: Mapping[str, Any]) -> tuple[float, float]:
    """What happens to a pixel before the first layer, as factor and offset (of the middle channel)."""
    followers: dict[str, list[Any]] = {}
    for node in nodes.values():
        for name in node.input:
            followers.setdefault(_source(name), []).append(node)
    scaling = (1.0, 0.0)
    here = next(node for node in nodes.values() if node.op == "Placeholder")
    while len(followers.get(here.name, ())) == 1:
        (step,) = followers[here.name]
        after = scaling if step.op in _PASSES_ON else _after(scaling, step, here.name, nodes)
        if after is None:
            break
        scaling, here = after, step
    return scaling


def _after(scaling: tuple[float, float], step: Any, name: str, nodes: Mapping[str, Any]) -> tuple[float, float] | None:
    """Factor and offset after one more operation; None where it is no scaling of the pixels."""
    constant = _constant_beside(name, step, nodes)
    if constant is None:
        return None
    factor, offset = scaling
    match step.op:
        case "Mul":
            return factor * constant, offset * constant
        case "RealDiv" | "Div":
            return factor / constant, offset / constant
        case "AddV2" | "Add" | "BiasAdd":
            return factor, offset + constant
        case "Sub":
            return factor, offset - constant
        case _:
            return None


def _constant_beside(name: str, step: Any, nodes: Mapping[str, Any]) -> float | None:
    """The constant that a step applies to the pixels, or to the middle channel; None where it applies none."""
    from tensorflow import make_ndarray

    operands = [_source(operand) for operand in step.input]
    if len(operands) == 1 or operands[0] != name:
        return None
    node = nodes[operands[1]]
    while node.op in _PASSES_ON:
        node = nodes[_source(node.input[0])]
    if node.op != "Const":
        return None
    values = np.asarray(make_ndarray(node.attr["value"].tensor), np.float64).reshape(-1)
    return float(values[values.size // 2]) if values.size in {1, _COLOURS} else None


def _source(name: str) -> str:
    return str(name).lstrip("^").split(":")[0]
