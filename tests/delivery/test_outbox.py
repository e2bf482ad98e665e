import os
import resource
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.delivery.outbox import Outbox
from edge_agent.domain import Crop
from edge_agent.errors import UnavailableError
from tests.delivery.samples import BOOT_ID, a_message

ANOTHER_BOOT = "6c1e2a34-0000-4000-8000-000000000002"


@contextmanager
def files_no_larger_than(size_bytes):
    """A full disk, as far as this process can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_messages_wait_oldest_first_until_they_are_removed(outbox):
    first, second, third = (outbox.put(a_message()) for _ in range(3))

    outbox.remove(second["id"])

    assert [row.id for row in outbox.waiting(10)] == [first["id"], third["id"]]
    assert [row.message for row in outbox.waiting(1)] == [first]
    assert outbox.count() == 2


def test_messages_are_numbered_from_one(outbox):
    assert [outbox.put(a_message())["sequence"] for _ in range(3)] == [1, 2, 3]


def test_numbers_go_on_after_a_restart_although_nothing_waits(tmp_path):
    before = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)
    before.remove(before.put(a_message())["id"])
    before.close()

    after = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)

    assert after.count() == 0
    assert after.put(a_message())["sequence"] == 2
    after.close()


def test_numbers_begin_again_after_a_boot(tmp_path):
    before = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)
    before.put(a_message())
    before.close()

    after = Outbox(tmp_path / "outbox.sqlite", boot_id=ANOTHER_BOOT)

    assert after.put(a_message())["sequence"] == 1
    assert after.count() == 2
    after.close()


def test_a_message_that_is_put_twice_waits_once(outbox):
    message = a_message()
    kept = outbox.put(message)

    assert outbox.put(message) == kept

    assert outbox.count() == 1
    assert outbox.put(a_message())["sequence"] == 2


def test_a_message_that_cannot_be_written_leaves_no_gap_in_the_numbers(outbox):
    outbox.put(a_message())

    with pytest.raises(TypeError):
        outbox.put({**a_message(), "score": object()})

    assert outbox.put(a_message())["sequence"] == 2
    assert outbox.count() == 2


def test_threads_put_at_once_and_no_number_is_given_twice(outbox):
    def put_some():
        for _ in range(25):
            outbox.put(a_message())

    threads = [threading.Thread(target=put_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [row.message["sequence"] for row in outbox.waiting(1000)] == list(range(1, 101))


def test_crops_of_waiting_messages_are_owed(outbox):
    crop = Crop(file="/somewhere/crops/0190.jpg", sha256="a" * 64, size_bytes=3)
    kept = outbox.put(a_message(crop=crop))
    outbox.put(a_message())

    assert outbox.owed_crops() == {"0190.jpg"}

    outbox.remove(kept["id"])
    assert outbox.owed_crops() == set()


@given(st.lists(st.one_of(st.just("put"), st.just("reopen"), st.integers(0, 5))))
def test_the_outbox_behaves_like_a_list(tmp_path_factory, actions):
    path = tmp_path_factory.mktemp("outbox") / "outbox.sqlite"
    outbox = Outbox(path, boot_id=BOOT_ID)
    model, last = [], 0
    for action in actions:
        if action == "put":
            last += 1
            message = outbox.put(a_message())
            assert message["sequence"] == last
            model.append(message["id"])
        elif action == "reopen":
            outbox.close()
            outbox = Outbox(path, boot_id=BOOT_ID)
        elif action < len(model):
            outbox.remove(model.pop(action))
    assert [row.id for row in outbox.waiting(1000)] == model
    assert outbox.count() == len(model)
    outbox.close()


def test_what_was_put_survives_a_process_that_is_killed(tmp_path):
    program = textwrap.dedent(
        """
        import itertools, sys
        from pathlib import Path
        from edge_agent.delivery.outbox import Outbox
        from tests.delivery.samples import a_message
        outbox = Outbox(Path(sys.argv[1]), boot_id=sys.argv[2])
        for _ in itertools.count():
            print(outbox.put(a_message())["id"], flush=True)
        """
    )
    path = tmp_path / "outbox.sqlite"
    command = [sys.executable, "-c", program, str(path), BOOT_ID]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout
        acknowledged = [process.stdout.readline().strip() for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]

    outbox = Outbox(path, boot_id=BOOT_ID)
    rows = outbox.waiting(100_000)
    outbox.close()
    assert [row.id for row in rows][: len(acknowledged)] == acknowledged
    assert len(rows) - len(acknowledged) in {0, 1}
    assert [row.message["sequence"] for row in rows] == list(range(1, len(rows) + 1))


@pytest.mark.parametrize("content", [b"this is no database " * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(tmp_path, caplog, content):
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(content)

    outbox = Outbox(path, boot_id=BOOT_ID)

    assert outbox.put(a_message())["sequence"] == 1
    outbox.close()
    (aside,) = tmp_path.glob("outbox.sqlite.damaged-*")
    assert aside.read_bytes() == content
    (record,) = caplog.records
    assert str(path) in record.message
    assert str(aside) in record.message


def test_a_file_of_a_later_version_is_set_aside(tmp_path):
    path = tmp_path / "outbox.sqlite"
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 99")
    database.execute("CREATE TABLE something (else_ TEXT)")
    database.close()

    outbox = Outbox(path, boot_id=BOOT_ID)

    assert outbox.put(a_message())["sequence"] == 1
    outbox.close()
    assert len(list(tmp_path.glob("outbox.sqlite.damaged-*"))) == 1


def test_damage_that_shows_later_stops_nothing_and_repeats_no_number(tmp_path, caplog):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, boot_id=BOOT_ID)
    # More than SQLite keeps in memory.
    for _ in range(100):
        outbox.put({**a_message(), "crop_error": "x" * 50_000})
    for file in (path, path.with_name(path.name + "-wal")):
        file.write_bytes(os.urandom(file.stat().st_size))

    assert outbox.waiting(1000) == []
    assert outbox.put(a_message())["sequence"] == 101
    assert outbox.count() == 1
    outbox.close()
    assert len(caplog.records) == 1
    assert list(tmp_path.glob("outbox.sqlite.damaged-*"))


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path):
    (tmp_path / "state").write_text("a file in the place of the folder")

    with pytest.raises(UnavailableError, match=r"state/outbox.sqlite: the outbox cannot be used: .*state_folder"):
        Outbox(tmp_path / "state" / "outbox.sqlite", boot_id=BOOT_ID)


def test_a_full_disk_keeps_nothing_and_says_so_and_later_goes_on(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite", boot_id=BOOT_ID)
    outbox.put(a_message())

    with files_no_larger_than(1000), pytest.raises(UnavailableError, match="outbox cannot be used"):
        outbox.put(a_message())

    assert outbox.count() == 1
    assert outbox.put(a_message())["sequence"] == 2
    assert outbox.count() == 2
    outbox.close()
