"""Support bundle: diagnostic files that are safe to share.

Configuration, versions, findings, metrics and the last lines of the journal; no pictures, passwords or addresses
with credentials.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.database import files_set_aside
from edge_agent.alerts.history import AlertHistory
from edge_agent.config.redaction import secrets_of, without_secrets
from edge_agent.config.render import as_yaml
from edge_agent.errors import UnavailableError
from edge_agent.foreign_text import mask
from edge_agent.host.atomic_files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    from edge_agent.diagnosis.examination import Examination

FOLDER = "maskwatch-support"
JOURNAL_LINES = 1000
README = """Files collected by `edge-agent doctor --bundle` on this device:

doctor.json    findings by severity
system.json    board, operating system and versions
config.yaml    the effective configuration, all keys; users, passwords and queries are removed from addresses
machine.json   temperature, throttling, memory, disk
outbox.json    number of pending messages, and the newest telemetry among them
history.json   number of alerts in the history, without their content
journal.txt    the last lines of the service's log, without secrets; empty if not readable

It contains no pictures or passwords. Review it before you send it.
"""


def write_bundle(path: Path, examination: Examination, *, journal: str, when: datetime) -> None:
    """Write the bundle, complete or not at all, readable for its owner alone.

    The errors of a configuration that could not be read may quote a password, so only their lines and keys are
    reported, and no journal.

    Raises:
        UnavailableError: the file cannot be written.
    """
    findings, config, machine = examination.findings, examination.config, examination.machine
    files: dict[str, object] = {"README.txt": README, "system.json": asdict(examination.system)}
    if config is None:
        files["doctor.json"] = [{**asdict(finding), "message": _places_of(finding.message)} for finding in findings]
    else:
        history = AlertHistory(config.store_file, only_reads=True)
        files |= {
            "doctor.json": [asdict(finding) for finding in findings],
            "config.yaml": as_yaml(without_secrets(config)),
            "machine.json": machine.model_dump() if machine else {},
            "outbox.json": _outbox(history),
            "history.json": _history(history),
            "journal.txt": journal,
        }
    secrets = secrets_of(config) if config else set()
    try:
        write_whole(path, _packed(files, secrets, when=when), mode=0o600)
    except OSError as error:
        raise UnavailableError(
            f"{path}: cannot be written: {error.strerror}; choose a file in another folder"
        ) from error


def _packed(files: Mapping[str, object], secrets: set[str], *, when: datetime) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, file in files.items():
            masked = _masked(file, secrets)
            text = masked if isinstance(masked, str) else json.dumps(masked, indent=2) + "\n"
            content = text.encode("utf-8", "backslashreplace")
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            entry.size, entry.mtime, entry.mode = len(content), int(when.timestamp()), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def _outbox(history: AlertHistory) -> dict[str, Any]:
    try:
        contents = history.outbox()
        telemetry = None
        for message in history.pending_messages():
            if str(message.get("schema", "")).startswith("maskwatch.telemetry/"):
                telemetry = message
        return {
            "waiting": contents.waiting,
            "bytes": contents.size_bytes,
            "oldest": contents.oldest,
            "dropped": contents.dropped,
            "set_aside": [file.name for file in files_set_aside(history.file)],
            "newest_telemetry": telemetry,
        }
    except (OSError, UnavailableError) as error:
        return {"error": str(error)}


def _history(history: AlertHistory) -> dict[str, Any]:
    set_aside = [file.name for file in files_set_aside(history.file)]
    try:
        return {"alerts": history.count(), "set_aside": set_aside}
    except (OSError, UnavailableError) as error:
        return {"error": str(error), "set_aside": set_aside}


def _places_of(message: str) -> str:
    """Lines and keys of the errors in a configuration."""
    places = re.findall(r"^ +(line \d+ +[\w.\[\]-]+:|--set )", message, re.MULTILINE)
    return "\n".join([message.splitlines()[0].partition(": ")[0], *places]) if message else ""


def _masked(value: object, secrets: set[str]) -> object:
    """Mask secrets in a value before it becomes JSON, which writes some of their characters in another way."""
    match value:
        case str():
            return mask(value, secrets)
        case dict():
            return {key: _masked(item, secrets) for key, item in value.items()}
        case list() | tuple():
            return [_masked(item, secrets) for item in value]
        case _:
            return value
