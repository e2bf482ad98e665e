"""Examination: tests a model's results and speed on this machine, in a separate process.

A model is in effect foreign code: if it crashes, hangs or uses all memory, only that process is affected.
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
TIMEOUT_SECONDS = 60.0
"""Models load within two seconds; a busy small device takes ten."""


def examine(
    model: Path,
    *,
    runtime: RuntimeChoice,
    threads: int,
    labels: Sequence[Label],
    max_seconds: float,
) -> None:
    """Check a model against its golden vectors, and benchmark it for a second.

    `max_seconds`: the longest time allowed for a reading.

    Raises:
        ModelError: it does not fit, gives other results here, crashes, hangs, or is too slow.
    """
    seconds = float(_in_subprocess(_bench, model, runtime, threads, tuple(labels), timeout_seconds=TIMEOUT_SECONDS))
    if seconds > max_seconds:
        raise ModelError(
            f"a reading takes {1000 * seconds:.0f} ms, but there are only {1000 * max_seconds:.0f} ms per "
            "frame (detect_fps)"
        )


def _in_subprocess(work: Callable[..., Any], *arguments: Any, timeout_seconds: float) -> Any:
    """Run a function in another process.

    Raises:
        ModelError: that process reported an error, crashed or hangs.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, work, arguments), daemon=True)
    with receiver:
        process.start()
        sender.close()
        try:
            if not receiver.poll(timeout_seconds):
                raise ModelError(f"does not answer within {timeout_seconds:.0f} s")
            is_done, result = receiver.recv()
        except EOFError:
            process.join(timeout_seconds)
            raise ModelError(f"crashes (exit status {process.exitcode})") from None
        finally:
            process.kill()
            process.join()
    if not is_done:
        raise ModelError(result)
    return result


def _answer(sender: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sender.send((True, work(*arguments)))
    except AgentError as error:
        sender.send((False, str(error)))
    except Exception as error:  # noqa: BLE001  (whatever a model brings about)
        sender.send((False, f"{type(error).__name__}: {error}"))


def _bench(model: Path, runtime: RuntimeChoice, threads: int, labels: Sequence[Label]) -> float:
    """The median seconds of a reading, after checking the golden vectors."""
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
