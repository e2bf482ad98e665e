"""Allocator: keeps the C library's heap small."""

from __future__ import annotations

import ctypes
import gc

M_ARENA_MAX = -8
"""Parameter of glibc's mallopt (malloc.h)."""
ARENAS = 2


def share_arenas() -> None:
    """Let the threads that are started from now on share two heaps.

    By default glibc gives up to eight per core to threads in turn, and each keeps the fragments of its busiest moment:
    over an hour of recordings an agent grew by 67 to 86 MB, with two heaps not at all, for the same CPU time. Does
    nothing where the C library has no such parameter (musl).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)


def release_free_memory() -> None:
    """Collect cycles and give the pages of the C library's heap that are free back to the system.

    Models of one agent are freed in pieces between those of the next, and glibc keeps them: 50 MB after a few reloads.
    Does nothing of the second where the C library cannot (musl).
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
