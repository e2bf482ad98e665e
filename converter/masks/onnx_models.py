"""ONNX: how does what PyTorch exports become a SavedModel?

By onnx2tf, in a process of its own, as it prints much and takes memory. Its result is held against ONNX Runtime.
`python -m converter.masks.onnx_models MODEL.onnx FOLDER` is that process.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converter.masks.saved_models import load_saved_model
from edge_agent.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from converter.masks.loaded_model import LoadedModel

PACKAGES = ("onnx2tf", "onnx", "onnxruntime", "onnx_graphsurgeon", "sng4onnx")
LARGEST_DIFFERENCE = 1e-3
"""Of any output: what float32 in another order of additions leaves."""


def load_onnx(path: Path) -> LoadedModel:
    """Load an ONNX file by way of a SavedModel.

    Raises:
        ModelError: the converter is not installed or cannot take it, or the result answers otherwise.
    """
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise ModelError(f"{path}: ONNX needs {', '.join(missing)}; pip install 'maskwatch[onnx]'")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", __name__, str(path.resolve()), folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  (our own module)
        if done.returncode:
            lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
            raise ModelError(
                f"{path}: onnx2tf cannot convert it: {lines[-1] if lines else f'ended with {done.returncode}'}; export "
                "it with a fixed size and batch 1, or save it from Keras"
            )
        loaded = load_saved_model(Path(folder), said=path)
    return replace(loaded, name=path.stem, kind="ONNX")


def to_saved_model(path: Path, folder: Path) -> None:
    """Convert with onnx2tf and hold the result against ONNX Runtime on one random picture.

    Raises:
        ModelError: the two answer differently.
    """
    import onnx2tf.onnx2tf as converter
    import onnxruntime
    import tensorflow as tf

    def no_pictures() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return np.zeros((20, 128, 128, 3), np.float32)

    # It would fetch pictures from the network to try its own result on; that is tried below.
    converter.download_test_image_data = no_pictures
    converter.convert(
        input_onnx_file_path=str(path),
        output_folder_path=str(folder),
        non_verbose=True,
        batch_size=1,
        output_signaturedefs=True,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    ((name, taken),) = signature.structured_input_signature[1].items()
    picture = np.random.default_rng(1).random(tuple(taken.shape)).astype(taken.dtype.as_numpy_dtype)
    wanted_shape = [side if isinstance(side, int) else 0 for side in session.get_inputs()[0].shape]
    first = len(wanted_shape) == picture.ndim and wanted_shape[1] == picture.shape[-1] != wanted_shape[-1]
    (wanted, *_) = session.run(
        None, {session.get_inputs()[0].name: picture.transpose(0, 3, 1, 2) if first else picture}
    )
    (given, *_) = signature(**{name: tf.constant(picture)}).values()
    apart = float(np.abs(np.asarray(wanted) - np.asarray(given)).max())
    if not apart <= LARGEST_DIFFERENCE * max(1.0, float(np.abs(wanted).max())):
        raise ModelError(f"its result differs by {apart:.3g} from what ONNX Runtime gives")


def main(arguments: Sequence[str]) -> int:
    """Convert one file; what went wrong stands in the last line of stderr."""
    path, folder = arguments
    try:
        to_saved_model(Path(path), Path(folder))
    # Whatever onnx2tf raises means the same.
    except (Exception, SystemExit) as error:  # noqa: BLE001
        print(" ".join(str(error).split())[:300] or type(error).__name__, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
