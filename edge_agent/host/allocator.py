"""Allocator: returns unused memory to the system."""

from __future__ import annotations

import ctypes
import gc


def release_free_memory() -> None:
    """Collect cycles and give the pages of the C library's heap that are free back to the system.

    Models of one agent are freed in pieces between those of the next, and glibc keeps them: 50 MB after a few reloads.
    Does nothing of the second where the C library cannot (musl).
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
