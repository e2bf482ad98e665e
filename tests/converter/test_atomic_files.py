"""Atomic files: files that appear together or not at all."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from converter.atomic_files import check_writable, write_atomically
from edge_agent.errors import ConfigError, ModelError
from tests.file_sizes import limited_file_size


def test_files_and_their_folder_are_created(tmp_path):
    folder = tmp_path / "models" / "new"

    write_atomically({folder / "a.tflite": b"model", folder / "a.json": b"card"})

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"a.tflite": b"model", "a.json": b"card"}


def test_a_folder_is_checked_before_it_is_created(tmp_path):
    check_writable(tmp_path / "models" / "new")

    assert not list(tmp_path.iterdir())


def test_a_disk_mounted_read_only_is_not_writable(tiny_disk):
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)

    with pytest.raises(ConfigError, match="disk cannot be written to"):
        check_writable(tiny_disk / "models")


def test_existing_files_are_replaced_without_leftovers(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"old")

    write_atomically({tmp_path / "a.tflite": b"new", tmp_path / "a.json": b"card"})

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.tflite": b"new", "a.json": b"card"}


def test_a_failed_rename_reverts_the_earlier_one(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"old")
    (tmp_path / "a.json").mkdir()

    with pytest.raises(ConfigError, match="nothing was written, what was there is unchanged: Is a directory"):
        write_atomically({tmp_path / "a.tflite": b"new", tmp_path / "b.json": b"new", tmp_path / "a.json": b"new"})

    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.tflite"]
    assert (tmp_path / "a.tflite").read_bytes() == b"old"


def test_existing_files_are_kept_until_the_new_ones_are_verified(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"old")
    during = {}

    def refuse():
        during.update({path.name: path.read_bytes() for path in tmp_path.iterdir()})
        raise ModelError("cannot be loaded")

    with pytest.raises(ModelError):
        write_atomically({tmp_path / "a.tflite": b"new", tmp_path / "a.json": b"card"}, verify=refuse)

    assert (during["a.tflite"], during["a.json"]) == (b"new", b"card")
    assert b"old" in during.values()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.tflite": b"old"}


@pytest.mark.parametrize("is_running", [False, True])
def test_files_of_a_killed_process_are_removed(tmp_path, is_running):
    with subprocess.Popen(["sleep", "60"]) as process:
        left = [tmp_path / f".a.tflite.{process.pid}.{kind}" for kind in ("new", "previous")]
        if not is_running:
            process.kill()
            process.wait()
        for path in left:
            path.write_bytes(b"half")

        write_atomically({tmp_path / "a.tflite": b"new"})
        process.kill()

    assert [path.exists() for path in left] == [is_running, is_running]


@pytest.mark.parametrize("fails", [False, True])
def test_a_copy_that_the_user_made_is_neither_deleted_nor_put_in_place(tmp_path, fails):
    (tmp_path / "a.tflite.bak").write_bytes(b"mine")

    def load():
        if fails:
            raise ModelError("cannot be loaded")

    with contextlib.suppress(ModelError):
        write_atomically({tmp_path / "a.tflite": b"new"}, verify=load)

    kept = {"a.tflite.bak": b"mine"} | ({} if fails else {"a.tflite": b"new"})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "models").write_text("")

    with pytest.raises(ConfigError, match=r"models: nothing was written.*or choose another folder"):
        write_atomically({tmp_path / "models" / "a.tflite": b"new"})


def test_a_file_that_grows_too_large_changes_nothing(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"old")
    with limited_file_size(1000), pytest.raises(ConfigError, match="File too large; make room there"):
        write_atomically({tmp_path / "a.json": b"card", tmp_path / "a.tflite": bytes(2000)})

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.tflite": b"old"}


def test_a_full_disk_changes_nothing(tiny_disk):
    (tiny_disk / "a.tflite").write_bytes(b"old" * 5000)

    with pytest.raises(ConfigError, match=r"disk: nothing was written.*No space left on device; make room there"):
        write_atomically({tiny_disk / "a.tflite": bytes(40_000), tiny_disk / "a.json": bytes(20_000)})

    assert {path.name: path.read_bytes() for path in tiny_disk.iterdir()} == {"a.tflite": b"old" * 5000}
