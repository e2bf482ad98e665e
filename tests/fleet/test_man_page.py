"""The man page of maskwatch-fleet is written from its parser."""

from __future__ import annotations

from deploy.debian.man_page import commands_of, man_page
from fleet.cli import build_parser


def test_the_man_page_names_every_command_and_its_options():
    page = "\n".join(man_page("maskwatch-fleet")).replace("\\-", "-")

    for name, command in commands_of(build_parser()).items():
        assert f".SS {name}\n" in page
        assert all(option in page for option in command._option_string_actions if option not in ("-h", "--help"))
    assert ".SS rollout replace-key\n" in page
