import ctypes
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_agent.delivery.identity import boot_id, is_clock_synchronised, uuid7

LATER_THAN_ANY_TEST = datetime(2040, 1, 1, tzinfo=timezone.utc)


def test_an_identifier_is_a_uuid_of_version_7_and_carries_its_time():
    when = LATER_THAN_ANY_TEST

    value = uuid.UUID(uuid7(when))

    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == int(when.timestamp() * 1000)


def test_identifiers_of_the_same_millisecond_count_up():
    taken = [uuid7(LATER_THAN_ANY_TEST) for _ in range(2000)]

    assert taken == sorted(set(taken))


def test_identifiers_count_up_although_the_clock_is_set_back():
    before = uuid7(LATER_THAN_ANY_TEST)

    after = uuid7(LATER_THAN_ANY_TEST - timedelta(days=3650))

    assert after > before


def test_the_boot_id_is_the_one_of_the_kernel():
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_the_clock_is_judged_as_the_kernel_judges_it():
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
