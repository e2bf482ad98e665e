"""Clock: boot id and synchronisation."""

import ctypes
from pathlib import Path

from edge_agent.host.clock import boot_id, is_clock_synchronised


def test_the_boot_id_is_the_one_of_the_kernel():
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_state_of_the_clock_is_that_of_the_kernel():
    # An independent reading: struct timex begins with modes (int), four longs later comes status (int).
    class Timex(ctypes.Structure):
        _fields_ = (
            ("modes", ctypes.c_int),
            ("offset", ctypes.c_long),
            ("frequency", ctypes.c_long),
            ("largest_error", ctypes.c_long),
            ("estimated_error", ctypes.c_long),
            ("status", ctypes.c_int),
            ("rest", ctypes.c_char * 400),
        )

    timex = Timex()
    assert ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) >= 0
    unsynchronised = 0x0040

    assert is_clock_synchronised() == (not timex.status & unsynchronised)
