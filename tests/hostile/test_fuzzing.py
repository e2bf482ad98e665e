"""Fuzzing: a short version of `make test-hostile`."""

from __future__ import annotations

import pytest

from tests.hostile.fuzz import KINDS, MAX_MEGABYTES, run

COUNTS = {"pictures": 1000, "recordings": 3, "models": 30, "messages": 2000, "packets": 1000}


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_input_never_crashes_a_process(kind):
    found = run(kind, COUNTS[kind])

    assert found["failures"] == []
    assert found["peak_mb"] <= MAX_MEGABYTES
