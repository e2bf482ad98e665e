"""Examination: tests a model's results and speed on this machine, in a separate process.

A model is foreign code in all but name: one that crashes, hangs or takes all memory takes that process along.
"""

from __future__ import annotations

import multiprocessing
import time
from typing import TYPE_CHECKING, Any

from edge_agent.domain import Box
from edge_agent.errors import AgentError, ModelError
from edge_agent.vision.classifier import open_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from pathlib import Path

    from edge_agent.domain import Label
    from edge_agent.vision.tflite import RuntimeChoice

BENCH_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""Models are loaded within two; a small device that is busy takes ten."""


def examine(
    model: Path,
    *,
    runtime: RuntimeChoice,
    threads: int,
    labels: Sequence[Label],
    slowest_seconds: float,
    patience_seconds: float = PATIENCE_SECONDS,
) -> None:
    """Hold a model against its golden vectors, and time it for a second.

    `slowest_seconds`: what a reading may take.

    Raises:
        ModelError: it does not fit, reads pictures differently here, crashes, hangs, or is too slow.
    """
    seconds = float(_elsewhere(_bench, model, runtime, threads, tuple(labels), patience_seconds=patience_seconds))
    if seconds > slowest_seconds:
        raise ModelError(
            f"a reading takes {1000 * seconds:.0f} ms, but there are only {1000 * slowest_seconds:.0f} ms per "
            "frame (detect_fps)"
        )


def _elsewhere(work: Callable[..., Any], *arguments: Any, patience_seconds: float) -> Any:
    """Do a piece of work in another process.

    Raises:
        ModelError: that process said so, crashed or hangs.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, work, arguments), daemon=True)
    with ours:
        process.start()
        theirs.close()
        try:
            if not ours.poll(patience_seconds):
                raise ModelError(f"does not answer within {patience_seconds:.0f} s")
            is_done, said = ours.recv()
        except EOFError:
            process.join(patience_seconds)
            raise ModelError(f"crashes (exit status {process.exitcode})") from None
        finally:
            process.kill()
            process.join()
    if not is_done:
        raise ModelError(said)
    return said


def _answer(theirs: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        theirs.send((True, work(*arguments)))
    except AgentError as error:
        theirs.send((False, str(error)))
    except Exception as error:  # noqa: BLE001  (whatever a model brings about)
        theirs.send((False, f"{type(error).__name__}: {error}"))


def _bench(model: Path, runtime: RuntimeChoice, threads: int, labels: Sequence[Label]) -> float:
    """The median seconds of a reading, with golden vectors held before."""
    classifier = open_classifier(model, runtime=runtime, threads=threads, labels=labels)
    image = classifier.card.golden[0].image()
    whole = Box(0, 0, image.shape[1], image.shape[0])
    times: list[float] = []
    until = time.perf_counter() + BENCH_SECONDS
    while time.perf_counter() < until:
        began = time.perf_counter()
        classifier.classify(image, whole)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]
