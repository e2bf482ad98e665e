"""Loaded model: the result of every loader of float classifiers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from converter.masks.outputs import SingleOutput
    from converter.masks.preprocessing import Colours, PixelRange
    from edge_agent.vision.card import Resampling


def describe_tensors(inputs: int, outputs: int) -> str:
    """What is wrong with a model that has so many inputs and outputs, and the remedy."""
    remedy = (
        "export a model of that output only, in Keras keras.Model(model.input, model.outputs[0]), in PyTorch a module "
        "whose forward returns only that"
    )
    return (
        f"has {inputs} inputs and {outputs} outputs; a mask classifier takes one picture of a face and gives one score "
        f"per label: {'train one that takes only the picture' if inputs > 1 else remedy}"
    )


@dataclass(frozen=True, slots=True, eq=False)
class LoadedModel:
    """A float classifier as loaded from its file.

    `call` takes a tensor of `shape`, in which open sides are None, and of `dtype`. `owner` owns the weights.
    `output_names`, `pixels`, `colours`, `resampling` and `margin_fraction` come from files beside the model, and are
    empty or None if these do not state them. `single_output` is what the loss in the file says of a single output.
    `usual_resampling` is the framework's default for downscaling.
    `run_file` runs the file in its own runtime, where `call` is a conversion of it: (1, height, width, channels),
    float32, to its raw outputs, (outputs,).
    """

    path: Path
    name: str
    kind: str
    call: Callable[[Any], Any]
    owner: Any
    shape: tuple[int | None, ...]
    dtype: str = "float32"
    output_names: tuple[str, ...] = ()
    single_output: SingleOutput | None = None
    margin_fraction: float | None = None
    pixels: PixelRange | None = None
    colours: Colours | None = None
    resampling: Resampling | None = None
    usual_resampling: Resampling = "linear"
    run_file: Callable[[NDArray[np.float32]], NDArray[np.float64]] | None = None
    training_data: tuple[str, ...] = ()
