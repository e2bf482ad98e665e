"""The short versions of `make proof-crashes` and `make proof-lost-writes`."""

import random
import shutil
import subprocess

import pytest

from tests.proofs import crashes, lost_writes

SYNCS_OF_A_START = 12
"""Folders and files are made, and the store is begun."""
MAY_TRACE = (
    shutil.which("strace")
    and not subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode
)


def test_an_agent_that_is_killed_at_random_moments_loses_nothing_while_the_broker_comes_and_goes(tmp_path):
    figures = crashes.prove(tmp_path, kills=8, whole_kills=1, seed=random.SystemRandom().randrange(2**32))

    assert {promise: figures[promise] for promise in crashes.PROMISES} == dict.fromkeys(crashes.PROMISES, 0)
    assert figures["kills"] >= 8
    assert figures["acknowledged"] > 20


@pytest.mark.skipif(not MAY_TRACE, reason="needs strace, and the right to trace a process")
@pytest.mark.parametrize("with_broker", [False, True])
def test_a_power_cut_that_takes_every_unsynced_write_with_it_loses_nothing_acknowledged(tmp_path, with_broker):
    figures = lost_writes.prove(tmp_path / "proof", messages=25, cuts=10, with_broker=with_broker, seed=7)

    assert {promise: figures[promise] for promise in lost_writes.PROMISES} == dict.fromkeys(lost_writes.PROMISES, 0)
    assert figures["messages"] >= 25
    assert figures["cuts"] >= 20
    # An alert costs three: file and folder of its crop, and the transaction; what leaves the outbox costs none.
    assert figures["syncs"] <= 3 * figures["messages"] + SYNCS_OF_A_START
