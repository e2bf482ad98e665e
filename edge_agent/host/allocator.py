"""Allocator: keeps the C library's heap small."""

from __future__ import annotations

import ctypes
import gc

M_ARENA_MAX = -8
"""Parameter of glibc's mallopt (malloc.h)."""
ARENAS = 2


def share_arenas() -> None:
    """Limit glibc to two malloc arenas for threads started from now on.

    By default glibc creates up to eight arenas per core, and each keeps the fragments of its busiest moment: over an
    hour of recordings an agent grew by 67 to 86 MB, with two arenas not at all, for the same CPU time. Does nothing if
    the C library has no such parameter (musl).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)


def release_free_memory() -> None:
    """Collect reference cycles, and return free pages of the C library's heap to the system.

    On a reload, the freed memory of the old models lies between the new ones, and glibc keeps it: 50 MB after a few
    reloads. Only collects cycles if the C library has no such function (musl).
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
