"""Atomic files: complete or not written at all."""

import stat

import pytest

from edge_agent.host.atomic_files import is_there, make_folder, write_whole


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    file = tmp_path / "file"
    write_whole(file, b"a longer one before", mode=0o600)

    write_whole(file, b"new", mode=0o600)

    assert file.read_bytes() == b"new"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "file").mkdir()

    with pytest.raises(OSError, match="Is a directory"):
        write_whole(tmp_path / "file", b"new", mode=0o600)

    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_folder_is_created_with_its_parents_and_may_exist(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()


def test_an_inaccessible_file_is_not_missing(tmp_path):
    (tmp_path / "file").touch()

    assert is_there(tmp_path)
    assert is_there(tmp_path / "file")
    assert not is_there(tmp_path / "missing" / "further")
    assert not is_there(tmp_path / "file" / "below a file")
    # The kernel rejects so long a name, even for root.
    with pytest.raises(OSError, match="name too long"):
        is_there(tmp_path / ("x" * 300))
