"""Hostile files: links and names in folders that root or the agent writes to, and permissions."""

from __future__ import annotations

import os
import stat
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_agent.diagnosis.bundle import write_bundle
from edge_agent.diagnosis.examination import Examination
from edge_agent.diagnosis.system import read_system
from edge_agent.host.atomic_files import UNFINISHED, write_whole
from tests.journeys.agent import EXAMPLE, QUICK, AgentProcess, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
WRITES = ("ansible.builtin.copy", "ansible.builtin.template", "ansible.builtin.file")
SHARED_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108  (looked for)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_a_link_in_place_of_an_unfinished_file_is_not_followed(tmp_path, link):
    target = tmp_path / "shadow"
    target.write_bytes(b"root:x")
    getattr(tmp_path / UNFINISHED.format(name="support.tar.gz"), link)(target)

    write_whole(tmp_path / "support.tar.gz", b"new", mode=0o600)

    assert target.read_bytes() == b"root:x"
    assert (tmp_path / "support.tar.gz").read_bytes() == b"new"


def test_a_bundle_replaces_a_link_and_is_readable_by_its_owner_only(tmp_path):
    target = tmp_path / "shadow"
    target.write_bytes(b"root:x")
    bundle = tmp_path / "support.tar.gz"
    bundle.symlink_to(target)

    examination = Examination([], read_system(), config=None, machine=None)
    write_bundle(bundle, examination, journal="", when=datetime(2026, 3, 1, tzinfo=timezone.utc))

    assert target.read_bytes() == b"root:x"
    assert not bundle.is_symlink()
    assert stat.S_IMODE(bundle.stat().st_mode) == 0o600


def tasks_of(content: Any) -> list[dict[str, Any]]:
    """All tasks of a list, including those in blocks."""
    found = []
    for task in content or []:
        found.append(task)
        for key in ("block", "rescue", "always"):
            found += tasks_of(task.get(key))
    return found


@pytest.mark.parametrize(
    "file", sorted((DEPLOY / "ansible/roles/maskwatch/tasks").glob("*.yml")), ids=lambda file: file.name
)
def test_the_role_writes_with_owner_and_mode_outside_shared_folders(file):
    text = file.read_text(encoding="utf-8")
    assert not [folder for folder in SHARED_FOLDERS if f"{folder}/" in text]
    for task in tasks_of(yaml.safe_load(text)):
        for module in WRITES:
            keys = task.get(module, {})
            if not keys or keys.get("state") == "absent":
                continue
            assert "mode" in keys, task["name"]
            # The preview is written on the user's own machine.
            assert file.name == "preview.yml" or {"owner", "group"} <= keys.keys(), task["name"]


@pytest.mark.parametrize("script", ["install.sh", "debian/postinst", "debian/prerm", "debian/postrm"])
def test_no_script_of_root_writes_to_world_writable_folders(script):
    text = (DEPLOY / script).read_text(encoding="utf-8")

    assert not [folder for folder in SHARED_FOLDERS if f" {folder}/" in text or f">{folder}/" in text]


def test_files_of_the_agent_are_private_also_outside_systemd(tmp_path):
    before = os.umask(0o022)
    try:
        with AgentProcess(tmp_path, {"cameras": {"door": {"source": str(EXAMPLE)}}, **QUICK}) as agent:
            wait_until((tmp_path / "state" / "alerts.sqlite-wal").exists, "the store")
            agent.end()
    finally:
        os.umask(before)

    kept = [path for path in (tmp_path / "state").rglob("*") if not path.is_socket()]
    assert kept
    assert [path for path in kept if path.stat().st_mode & 0o007] == []
