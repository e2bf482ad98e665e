"""Allocator: limits and releases the C library's heap."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys
import weakref
from types import SimpleNamespace

import pytest

from edge_agent.host import allocator
from edge_agent.host.allocator import release_free_memory


class Model:
    itself: Model | None = None


def test_reference_cycles_are_freed():
    gc.disable()
    try:
        model = Model()
        model.itself = model
        seen = weakref.ref(model)
        del model
        assert seen() is not None

        release_free_memory()

        assert seen() is None
    finally:
        gc.enable()


def test_a_c_library_without_malloc_trim_is_accepted(monkeypatch):
    monkeypatch.setattr(allocator, "ctypes", SimpleNamespace(CDLL=lambda _name: object()))

    release_free_memory()


THREADS_THAT_ALLOCATE = """
import ctypes
import threading

from edge_agent.host.allocator import share_arenas

share_arenas()
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
everyone_is_here = threading.Barrier(8)


def allocate() -> None:
    everyone_is_here.wait()
    c.malloc(1000)
    everyone_is_here.wait()


threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
stream = c.fopen
stream.restype = ctypes.c_void_p
report = ctypes.c_void_p(stream(b"/dev/stdout", b"w"))
c.malloc_info(0, report)
c.fclose(report)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no arenas")
def test_threads_share_two_heaps():
    shown = subprocess.run(
        [sys.executable, "-c", THREADS_THAT_ALLOCATE], check=True, capture_output=True, text=True, timeout=60
    ).stdout

    assert shown.count("<heap nr=") == allocator.ARENAS
