from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

from edge_agent.host import allocator
from edge_agent.host.allocator import release_free_memory


class Model:
    itself: Model | None = None


def test_what_only_refers_to_itself_is_freed():
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


def test_a_c_library_that_gives_nothing_back_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocator, "ctypes", SimpleNamespace(CDLL=lambda _name: object()))

    release_free_memory()
