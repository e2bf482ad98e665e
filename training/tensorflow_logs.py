"""TensorFlow logs: suppresses TensorFlow's output on the terminal.

Much of it comes from C++ and bypasses logging, so the file descriptor is redirected while TensorFlow works. Our own
progress and messages still go to the terminal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STDERR = 2


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Discard what TensorFlow, Keras and the runtimes write to stderr; `sys.stderr` still reaches the terminal."""
    # TensorFlow reads it when it is imported, inside this context.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in ("absl", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.stderr.flush()
    terminal = os.dup(STDERR)
    ours = os.fdopen(terminal, "w", buffering=1, encoding="utf-8", errors="replace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    previous = sys.stderr
    os.dup2(nowhere, STDERR)
    os.close(nowhere)
    sys.stderr = ours
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stderr = previous
        os.dup2(ours.fileno(), STDERR)
        ours.close()
