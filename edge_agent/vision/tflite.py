"""TFLite interpreter: selects a working runtime and runs models in it.

LiteRT (ai-edge-litert) and its predecessor tflite-runtime have the same API. tflite-runtime imports under numpy 2
and fails only when an interpreter is built, so a runtime is chosen by building one, never by importing.
"""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from edge_agent.errors import ModelError
from edge_agent.vision.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RuntimeName: TypeAlias = Literal["litert", "tflite-runtime"]
RuntimeChoice: TypeAlias = Literal["auto", "litert", "tflite-runtime"]

# LiteRT first: it runs int8 through XNNPACK, 18 times faster than tflite-runtime on x86-64.
PREFERENCE: tuple[RuntimeName, ...] = ("litert", "tflite-runtime")

STDERR = 2
# Two threads at once would restore each other's null device: workers open networks when they first need them.
_redirected = threading.Lock()


@dataclass(frozen=True, slots=True)
class Tensor:
    """Shape, dtype and quantization of an input or output; `scale` is 0 if the tensor is not quantized."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether a runtime can run a model on this machine; `failure` is empty if it can."""

    runtime: RuntimeName
    version: str
    failure: str

    @property
    def works(self) -> bool:
        """Whether an interpreter could be built."""
        return not self.failure


class Interpreter:
    """A loaded model with one input of fixed shape and one or more outputs; thread-safe."""

    def __init__(self, content: bytes, *, runtime: RuntimeName, threads: int, copies: int = 1) -> None:
        """Build the interpreter and allocate its tensors, `copies` times: so many threads can run it at once.

        Raises:
            ImportError: the runtime is not installed.
            Exception: any exception of the runtime for a model that it cannot run.
        """
        self.runtime = runtime
        with _quiet():
            built = [_interpreter_class(runtime)(model_content=content, num_threads=threads) for _ in range(copies)]
            for interpreter in built:
                interpreter.allocate_tensors()
        self.inputs = tuple(_tensor(details) for details in built[0].get_input_details())
        self.outputs = tuple(_tensor(details) for details in built[0].get_output_details())
        self._copies: Pool[Any] = Pool(built)

    def run(self, value: NDArray[np.generic]) -> list[NDArray[np.generic]]:
        """Run the model on one input of its shape and dtype, and return copies of all outputs; waits for a free copy.

        Raises:
            ModelError: the model cannot be run, for example because it is damaged.
        """
        try:
            with self._copies.taken() as interpreter:
                interpreter.set_tensor(self.inputs[0].index, value)
                interpreter.invoke()
                return [interpreter.get_tensor(tensor.index) for tensor in self.outputs]
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the model cannot be run ({_reason(error)}); reinstall it or convert it again") from error


def open_interpreter(
    content: bytes, *, name: str, runtime: RuntimeChoice = "auto", threads: int = 1, copies: int = 1
) -> Interpreter:
    """Build an interpreter for the content of a .tflite file in the first runtime that can run it.

    `name` is the model's name in errors. More `threads` than free cores are slower, up to 30 times in tflite-runtime.
    `copies` is the number of threads that can run it at once.

    Raises:
        ModelError: no runtime can run it; the message gives each one's reason.
    """
    # A runtime may crash instead of raising if the content is not a flatbuffer.
    if content[4:8] != b"TFL3":
        raise ModelError(f"{name}: not a TFLite model ({len(content)} bytes); reinstall it or convert it again")
    candidates = PREFERENCE if runtime == "auto" else (runtime,)
    reasons = []
    for candidate in candidates:
        try:
            return Interpreter(content, runtime=candidate, threads=threads, copies=copies)
        # Any exception while building means that this runtime cannot run the model.
        except Exception as error:  # noqa: BLE001
            reasons.append(f"{candidate}: {_reason(error)}")
    raise ModelError(
        f"{name}: no TFLite runtime can run it ({'; '.join(reasons)}); the file is damaged, or install "
        "ai-edge-litert (64 bit) or maskwatch[tflite-runtime]"
    )


def probe_runtimes(content: bytes) -> list[Probe]:
    """Try to build an interpreter for the content of a .tflite file in each runtime, in order of preference."""
    probes = []
    for runtime in PREFERENCE:
        try:
            Interpreter(content, runtime=runtime, threads=1)
            failure = ""
        except Exception as error:  # noqa: BLE001  (as above)
            failure = _reason(error)
        probes.append(Probe(runtime, _version(runtime), failure))
    return probes


@contextmanager
def _quiet() -> Iterator[None]:
    """Redirect file descriptor 2: the runtimes log the created delegate to stderr, and no setting disables that.

    What other threads log meanwhile waits.
    """
    with _redirected, ExitStack() as stack:
        for handler in logging.getLogger().handlers:
            handler.acquire()
            stack.callback(handler.release)
        sys.stderr.flush()
        try:
            kept = os.dup(STDERR)
        except OSError:  # a service may have none
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, STDERR)
            yield
        finally:
            os.dup2(kept, STDERR)
            os.close(nowhere)
            os.close(kept)


def _interpreter_class(runtime: RuntimeName) -> Any:
    match runtime:
        case "litert":
            from ai_edge_litert.interpreter import Interpreter as LiteRtInterpreter

            return LiteRtInterpreter
        case "tflite-runtime":
            from tflite_runtime.interpreter import Interpreter as TfliteInterpreter

            return TfliteInterpreter


def _version(runtime: RuntimeName) -> str:
    distribution = {"litert": "ai-edge-litert", "tflite-runtime": "tflite-runtime"}[runtime]
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _tensor(details: dict[str, Any]) -> Tensor:
    scale, zero_point = details["quantization"]
    return Tensor(
        index=int(details["index"]),
        name=str(details["name"]),
        shape=tuple(int(side) for side in details["shape"]),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "not installed"
    return " ".join(str(error).split())[:200] or type(error).__name__
