"""Secrets: the password in a file, and the errors for a file without one."""

from __future__ import annotations

import pytest

from edge_agent.config.secrets import read_password
from edge_agent.errors import ConfigError


def test_the_password_is_the_first_line_with_its_spaces(tmp_path):
    file = tmp_path / "password"
    file.write_text("pässword with spaces \r\nsecond line\n", encoding="utf-8")

    assert read_password(file, key="mqtt.password_file") == "pässword with spaces "


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "No such file"),
        (b"\n", "first line is empty"),
        (b"", "first line is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"1234567\n", "shorter than 8 characters"),
        (b"x" * 1_000_000, "longer than"),
    ],
)
def test_a_file_without_a_usable_password_is_named_with_its_key(tmp_path, content, complaint):
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=rf"{file}: .*{complaint}.*console\.password_file") as raised:
        read_password(file, key="console.password_file", min_characters=8)
    assert "1234567" not in str(raised.value)


def test_a_file_of_any_size_is_not_read_as_a_whole(tmp_path):
    file = tmp_path / "password"
    with file.open("wb") as sparse:
        sparse.write(b"password\n")
        sparse.truncate(10**12)

    assert read_password(file, key="mqtt.password_file") == "password"
