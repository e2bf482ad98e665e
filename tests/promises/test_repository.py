"""The files of the repository agree with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]

MAX_FILE_BYTES = 6 * 1024 * 1024
"""So that cloning takes seconds even on the slow connection of a device."""


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def tracked() -> list[Path]:
    """Files under version control."""
    listed = subprocess.run(["git", "ls-files", "--cached", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def project(key: str) -> str:
    found = re.search(rf'^{key} = "([^"]+)"$', text("pyproject.toml"), re.MULTILINE)
    assert found, f"pyproject.toml has no {key}"
    return found.group(1)


def test_make_lists_every_target_with_one_line():
    # Otherwise a make inside another one also prints its folder.
    command = ["make", "--no-print-directory"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", text("Makefile"), re.MULTILINE))
    # `python` checks the interpreter for other targets and is not listed.
    assert {line.split()[1] for line in listed} == targets - {"python"}
    assert all(len(line.split()) > 2 for line in listed)


def test_every_target_without_a_file_is_declared_phony():
    declared = re.search(r"^\.PHONY:((?:.*\\\n)*.*)$", text("Makefile"), re.MULTILINE)
    assert declared
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", text("Makefile"), re.MULTILINE))
    assert set(declared.group(1).replace("\\", " ").split()) == targets


def test_the_version_heads_the_changelog():
    newest = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)
    assert newest, "CHANGELOG.md has no heading such as '## 0.1.0 - unreleased'"
    assert newest.group(1) == project("version")


def test_the_continuous_integration_runs_the_make_targets():
    assert re.search(r"^exec make test\b", text(".ci/run"), re.MULTILINE)
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    assert {"run": "make test"} in workflow["jobs"]["everything"]["steps"]


def test_pre_commit_runs_the_same_checks_as_make():
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == ["make check"]


def test_every_pinned_tool_is_one_that_development_needs_and_has_a_version():
    pinned = re.search(r"^PINNED := (.+)$", text("Makefile"), re.MULTILINE)
    assert pinned
    names = {name.lower() for name in pinned.group(1).split()}
    assert names == set(re.findall(r"^([a-z0-9-]+)==", text("constraints-dev.txt"), re.MULTILINE))
    development = re.search(r"^dev = \[\n(.*?)^\]", text("pyproject.toml"), re.MULTILINE | re.DOTALL)
    assert development
    assert names <= {name.lower() for name in re.findall(r'^  "([A-Za-z0-9-]+)', development.group(1), re.MULTILINE)}


def test_programs_of_the_continuous_integration_exist():
    for script in (ROOT / ".ci").iterdir():
        assert script.stat().st_mode & 0o111, f"{script.name} is not executable"
        assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
        assert "set -euo pipefail\n" in script.read_text(encoding="utf-8")


def test_the_workflow_tests_every_python_that_the_package_accepts():
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    tried = workflow["jobs"]["device"]["strategy"]["matrix"]["python"]
    first, end = re.findall(r"3\.(\d+)", project("requires-python"))
    assert tried == [f"3.{minor}" for minor in range(int(first), int(end))]
    assert f"(3, {first}) <= sys.version_info[:2] <= (3, {int(end) - 1})" in text("Makefile")


def test_no_file_exceeds_the_size_limit():
    large = {str(file): file.stat().st_size for file in tracked() if file.stat().st_size > MAX_FILE_BYTES}
    assert not large


def test_no_file_contains_a_local_path():
    folder = re.compile(rb"/(?:work/(?:main|shared)|root/|home/(?!pi\b|jetson\b)[a-z]+/|tmp/[a-z]+/)")
    found = {
        str(file.relative_to(ROOT)): match.group().decode()
        for file in tracked()
        if (match := folder.search(file.read_bytes())) and b"\0" not in file.read_bytes()[:1024]
    }
    # This file contains the pattern.
    found.pop("tests/promises/test_repository.py", None)
    assert not found


def test_the_licence_file_matches_the_package_metadata():
    licence = text("LICENSE").split()
    assert licence[:4] == ["Apache", "License", "Version", "2.0,"]
    assert "Copyright [yyyy] [name of copyright owner]" in " ".join(licence), "the text of the licence is changed"
    assert project("license") == "Apache-2.0"


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "examples/README.md"])
def test_the_documents_name_only_targets_that_exist(document):
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", text("Makefile"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`|^ {4})make ([a-z][a-z0-9-]*)", text(document), re.MULTILINE))
    assert named <= targets


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="needs Debian")
def test_a_package_that_the_system_does_not_have_stops_no_test(tmp_path):
    # The browser of the tests is a package of Debian, but not of Ubuntu, on which the workflows run.
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("apt-cache", "awk", "bash", "dpkg-query", "sed"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    (tools / "id").write_text("#!/bin/sh\necho 1000\n")  # without root, nothing is installed
    (tools / "id").chmod(0o755)
    packages = tmp_path / "packages.txt"
    packages.write_text("bash  # is there\nno-such-package  # a reason\n")

    done = subprocess.run(
        [ROOT / ".ci" / "debian-packages", packages],
        env={"PATH": str(tools)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert "no-such-package" in done.stderr
