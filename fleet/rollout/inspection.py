"""Inspection: checks that the model repository is valid and served, and reports the progress of roll-outs."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import timedelta
from http.client import HTTPException
from typing import TYPE_CHECKING

from edge_agent.errors import UnavailableError
from fleet import database
from fleet.finding import Finding
from fleet.rollout import reports
from fleet.rollout.release import accepted_devices
from fleet.rollout.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from edge_agent.messages.rollout import Assignment, Progress
    from fleet.config import FleetConfig
    from fleet.rollout.release import Device

SIGNED_BY_PEOPLE = {"root": timedelta(days=30), "targets": timedelta(days=30)}
"""Warning time before expiry: bringing people and their keys together takes an appointment."""
RENEWED = timedelta(days=1.5)
"""The server renews its signatures, valid for three days, daily; less time left means that a renewal failed."""
ANSWER_SECONDS = 10.0
MAX_ANSWER_BYTES = 1_000_000


def check_repository(config: FleetConfig, when: datetime) -> Iterator[Finding]:
    """Check the files and how they are served; yields nothing without a configured repository.

    Raises:
        ConfigError: the folder is not a repository.
        UnavailableError: a file is damaged.
    """
    if config.rollout.repository is None:
        return
    repository = Repository(config.rollout.repository)
    for role, until in repository.expires().items():
        yield _expiry(role, until, when=when)
    for role, count in repository.missing_signatures().items():
        state = f"missing signatures: {count}" if count else "run 'maskwatch-fleet rollout publish'"
        yield Finding("repository", "warning", f"{role} is staged and not served: {state}")
    if config.rollout.url:
        yield _served(config.rollout.url, repository)


def check_stages(config: FleetConfig, _when: datetime) -> Iterator[Finding]:
    """Check the progress of each assignment.

    Raises:
        ConfigError: there is no repository, or the database has no schema.
        UnavailableError: the database is unavailable, or a file is damaged.
        psycopg.Error: the database is unavailable.
    """
    if config.rollout.repository is None:
        return
    repository = Repository(config.rollout.repository)
    assignments, stages = repository.assignments().groups, repository.stages().groups
    if not assignments:
        return
    with database.open_database(config.database, application="maskwatch-fleet doctor") as connection:
        for group, assignment in assignments.items():
            progress = stages.get(group)
            devices = reports.devices(connection, group, since=progress.since if progress else None)
            yield _stage(group, assignment, progress, devices)


def _expiry(role: str, until: datetime, *, when: datetime) -> Finding:
    by_people = role in SIGNED_BY_PEOPLE
    fix = (
        f"run 'maskwatch-fleet rollout renew {role}', have two people sign it, and publish it"
        if by_people
        else "start maskwatch-fleet@rollout, which renews it each day"
    )
    day = f"{until:%Y-%m-%d %H:%M} UTC"
    if until <= when:
        return Finding("repository", "failed", f"{role} expired on {day}, and devices believe it no more: {fix}")
    if until - when < SIGNED_BY_PEOPLE.get(role, RENEWED):
        return Finding("repository", "warning", f"{role} is valid until {day}: {fix}")
    return Finding("repository", "ok", f"{role} is valid until {day}")


def _served(url: str, repository: Repository) -> Finding:
    """Compare the served files with the local ones."""
    address = f"{url}/metadata/timestamp.json"
    try:
        found = _fetch(address)
    except UnavailableError as error:
        return Finding("repository", "failed", str(error))
    if found == repository.timestamp_bytes():
        return Finding("repository", "ok", f"{url} serves it")
    if found.lstrip().startswith(b"<"):
        text = f"{address}: answers HTML: check that nginx serves metadata/ and targets/ of {repository.folder} there"
    else:
        text = f"{address}: another repository, or an old copy: let nginx serve {repository.folder} itself"
    return Finding("repository", "failed", text)


def _fetch(address: str) -> bytes:
    """Fetch an address.

    Raises:
        UnavailableError: it cannot be fetched.
    """
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_SECONDS) as answer:  # noqa: S310  (http, https: see config)
            content: bytes = answer.read(MAX_ANSWER_BYTES)
            return content
    except urllib.error.HTTPError as error:
        with error:
            raise UnavailableError(
                f"{address}: answers {error.code} {error.reason}: check that nginx serves metadata/ and targets/, "
                "and that its user may read them"
            ) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise UnavailableError(
            f"{address}: is not served ({reason}): check rollout.url, nginx and its certificate"
        ) from error


def _stage(group: str, assignment: Assignment, progress: Progress | None, devices: Sequence[Device]) -> Finding:
    name = f"group {group}, {assignment.model or 'as configured'}"
    if progress is None:
        return Finding("roll-out", "warning", f"{name}: no stage yet: start maskwatch-fleet@rollout")
    accepted = len(accepted_devices(assignment, progress, devices))
    rejected = sum(device.number == assignment.number and device.state == "rejected" for device in devices)
    text = f"{name}: stage '{progress.stage}', accepted by {accepted} devices, rejected by {rejected}"
    if progress.is_rolled_back:
        return Finding("roll-out", "warning", f"{text}; rolled back ({progress.reason})")
    if progress.is_paused:
        fix = "'maskwatch-fleet rollout resume', 'roll-back', or another assignment"
        return Finding("roll-out", "warning", f"{text}; paused: {progress.reason}; {fix}")
    return Finding("roll-out", "ok", text)
