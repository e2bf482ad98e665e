"""One command makes a release: changelog, commit, tag and next version; or nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
NAMING_THE_VERSION = (
    "deploy/README.md",
    "deploy/ansible/README.md",
    "deploy/ansible/roles/maskwatch/defaults/main.yml",
    "deploy/ansible/roles/maskwatch_fleet/defaults/main.yml",
    "docs/asyncapi.yaml",
    "docs/fleet.md",
)


@pytest.fixture
def checkout(tmp_path):
    """A repository with the files that a release changes."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "release", tmp_path / ".ci")
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.2.0 - unreleased\n\n- new\n\n## 1.1.0 - 2026-01-01\n")
    [current] = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for name in NAMING_THE_VERSION:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text().replace(current, "1.2.0"))
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "begin")
    return tmp_path


def environment():
    who = {f"GIT_{role}_{what}": "a@b.c" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    return {**os.environ, **who, "GIT_CONFIG_GLOBAL": "/dev/null"}


def git(folder, *arguments):
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True, env=environment()
    )
    return done.stdout


def release(folder, *arguments):
    command = [folder / ".ci" / "release", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment())


def test_a_release_is_dated_and_tagged_and_the_next_version_opened(checkout):
    assert release(checkout, "1.3.0").returncode == 0

    released = git(checkout, "show", "v1.2.0:CHANGELOG.md")
    assert re.search(r"^## 1\.2\.0 - \d{4}-\d\d-\d\d$", released, re.MULTILINE)
    assert 'version = "1.2.0"' in git(checkout, "show", "v1.2.0:pyproject.toml")
    assert re.findall(r"^## (.*)$", (checkout / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == "1.3.0 - unreleased"
    assert 'version = "1.3.0"' in (checkout / "pyproject.toml").read_text()
    for name in NAMING_THE_VERSION:
        assert "1.2.0" in git(checkout, "show", f"v1.2.0:{name}")
        assert "1.2.0" not in (checkout / name).read_text()
        assert "1.3.0" in (checkout / name).read_text()
    assert git(checkout, "status", "--porcelain") == ""


@pytest.mark.parametrize("wrong", ["", "1.2.0", "1.1.9", "soon", "dirty", "branch", "tagged"])
def test_an_unfinished_release_changes_nothing(checkout, wrong):
    if wrong == "dirty":
        (checkout / "CHANGELOG.md").write_text("nothing")
    if wrong == "branch":
        git(checkout, "switch", "--quiet", "--create", "other")
    if wrong == "tagged":
        git(checkout, "tag", "v1.2.0")
    before = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain"), git(checkout, "tag")

    done = release(
        checkout, *([wrong] if wrong not in {"", "dirty", "branch", "tagged"} else ["1.3.0"] if wrong else [])
    )

    assert done.returncode == 1
    assert done.stderr.startswith("release: ")
    after = git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain"), git(checkout, "tag")
    assert after == before


@pytest.mark.parametrize("step", ["release: 1.2.0", "tag", "release: open 1.3.0"])
def test_a_release_that_fails_midway_is_undone(checkout, step):
    if step == "tag":
        git(checkout, "config", "tag.gpgSign", "true")
        git(checkout, "config", "gpg.program", "false")
    hook = checkout / ".git" / "hooks" / "commit-msg"
    hook.write_text(f'#!/bin/sh\n! grep --quiet --line-regexp "{step}" "$1"\n')
    hook.chmod(0o755)
    before = git(checkout, "rev-parse", "HEAD")

    done = release(checkout, "1.3.0")

    assert done.returncode == 1
    assert "release: " in done.stderr
    assert (git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain"), git(checkout, "tag")) == (
        before,
        "",
        "",
    )


def test_only_a_tag_of_make_release_is_published(checkout):
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    [check] = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "TAG" in step.get("env", ())]

    def passes(tag, *, at):
        git(checkout, "switch", "--quiet", "--detach", at)
        command = ["bash", "-e", "-c", check]
        return subprocess.run(command, cwd=checkout, env={**os.environ, "TAG": tag}, check=False).returncode == 0

    assert release(checkout, "1.3.0").returncode == 0
    assert passes("v1.2.0", at="v1.2.0")
    assert not passes("v1.2.0", at="main")  # the commit that opens 1.3.0
    assert not passes("v1.3.0", at="main")  # unreleased
    assert not passes("v1.1.0", at="v1.2.0")


def test_every_action_is_pinned_by_its_hash_and_runs_make_targets():
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            for step in job["steps"]:
                assert re.search(r"@[0-9a-f]{40}$", step["uses"]) if "uses" in step else step["run"]
                chosen = " ".join(job.get("strategy", {}).get("matrix", {}).get("target", []))
                named = [*re.findall(r"make ([a-z -]+)", step.get("run", "")), chosen]
                assert {name for one in named for name in one.split()} <= targets
