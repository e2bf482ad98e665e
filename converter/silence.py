"""Silence: suppresses TensorFlow's log output on the terminal.

Much of it comes from C++ and knows no logger, so the file descriptor itself is turned away for as long as
TensorFlow works. Progress and messages of our own keep going to the terminal.
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
    """Keep what TensorFlow, Keras and the runtimes write to stderr away; `sys.stderr` still reaches the terminal."""
    # Read when TensorFlow is imported, which happens inside.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    logging.getLogger("absl").setLevel(logging.ERROR)
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
