"""Checks of everything that the agent needs to start.

`edge-agent doctor --quick` asks these alone; without it the doctor also checks the device around them.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from edge_agent.alerts.encryption import open_encryption
from edge_agent.alerts.history import AlertHistory
from edge_agent.diagnosis.broker import look_at_broker
from edge_agent.diagnosis.camera import look_at_camera
from edge_agent.diagnosis.console import look_at_console
from edge_agent.diagnosis.rollout import look_at_rollout
from edge_agent.diagnosis.signals import look_at_signals
from edge_agent.diagnosis.webhooks import look_at_webhook
from edge_agent.errors import UnavailableError
from edge_agent.host.atomic_files import is_there
from edge_agent.vision.card import model_bytes
from edge_agent.vision.detector import open_detector
from edge_agent.vision.tflite import probe_runtimes
from edge_agent.wiring import open_mask_classifier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.config.model import Config
    from edge_agent.diagnosis.finding import Finding


def checks_of(config: Config) -> list[tuple[str, Callable[[], str | Finding]]]:
    """The name of each component and its check, which returns a sentence or raises an AgentError.

    A component that works but is of no use, such as a camera in the dark, returns a Finding.
    """
    return [
        ("masks", lambda: _masks(config)),
        ("runtime", lambda: _runtime(config)),
        ("faces", lambda: _faces(config)),
        *((f"camera {name}", lambda name=name: look_at_camera(config, name)) for name in config.cameras),
        ("outbox", lambda: _outbox(config)),
        ("crops", lambda: _crops(config)),
        ("history", lambda: _history(config)),
        ("broker", lambda: look_at_broker(config)),
        ("console", lambda: look_at_console(config)),
        *(
            (f"webhook {webhook.name}", lambda number=number, webhook=webhook: look_at_webhook(webhook, number=number))
            for number, webhook in enumerate(config.webhooks)
        ),
        *([("rollout", lambda: look_at_rollout(config))] if config.rollout.url else []),
        *([("signals", lambda: look_at_signals(config.signals))] if config.signals.outputs else []),
    ]


def _masks(config: Config) -> str:
    classifier = open_mask_classifier(config)
    size = classifier.card.input
    labels = ", ".join(classifier.labels)
    return f"{config.mask_model}: {labels}; {size.width}x{size.height}; card and golden vectors fit"


def _runtime(config: Config) -> str:
    """The runtime in use, and why the others are not used."""
    probes = probe_runtimes(model_bytes(config.mask_model))
    classifier = open_mask_classifier(config)
    reasons = [f"{probe.runtime} {probe.version or 'none'} {probe.failure or 'works'}" for probe in probes]
    return f"{classifier.runtime}, because runtime is {config.runtime}: {'; '.join(reasons)}"


def _faces(config: Config) -> str:
    faces = config.faces
    open_detector(faces, runtime=config.runtime, threads=config.threads)
    if faces.detector == "tflite":
        return f"tflite from {faces.card}; card and golden faces fit"
    return f"{faces.detector}{f' from {faces.model}' if faces.model else ''}"


def _outbox(config: Config) -> str:
    with closing(AlertHistory(config.store_file, only_reads=True)) as history:
        return f"{config.store_file}: {history.outbox().messages} pending messages; {_writable(config.state)}"


def _crops(config: Config) -> str:
    kept = config.crops
    if kept.picture == "none":
        return "no pictures are stored (crops.picture: none)"
    open_encryption(kept.encrypt_for)
    owners = f", for {len(kept.encrypt_for)} public keys only" if kept.encrypt_for else ""
    return f"{config.crops_folder}: {_writable(config.crops_folder)}{owners}"


def _writable(folder: Path) -> str:
    """Check whether the agent can write to a folder, without writing: files created by root would lock its owner out.

    Raises:
        UnavailableError: it cannot be written.
        OSError: it cannot even be seen.
    """
    if not is_there(folder):
        above = next(one for one in folder.parents if is_there(one))
        if not above.is_dir():
            raise UnavailableError(f"{folder}: Not a directory: {above} is in its place", fix=f"mv {above} {above}.old")
        if not os.access(above, os.W_OK | os.X_OK):
            raise UnavailableError(f"{folder}: cannot be created: Permission denied in {above}")
        return "does not exist yet; the agent creates it"
    if not folder.is_dir():
        raise UnavailableError(f"{folder}: File exists, and is not a folder", fix=f"mv {folder} {folder}.old")
    if os.geteuid() == 0:
        return _writable_for_owner(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnavailableError(f"{folder}: cannot be written: Permission denied")
    return "can be written"


def _writable_for_owner(folder: Path) -> str:
    """The check for root, who can write anywhere: whether the folder belongs to the owner of the state."""
    owner, keeper = folder.stat().st_uid, folder.parent.stat().st_uid
    if owner == 0 and keeper != 0:
        raise UnavailableError(
            f"{folder}: belongs to root, so that the agent cannot write there",
            fix=f"sudo chown --reference={folder.parent} {folder}",
        )
    if not os.access(folder, os.W_OK):
        raise UnavailableError(f"{folder}: cannot be written: the disk is read-only")
    return "can be written" if owner == 0 else "write access not tested: it belongs to another user"


def _history(config: Config) -> str:
    with closing(AlertHistory(config.store_file, only_reads=True)) as history:
        return f"{config.store_file}: {history.count()} alerts"
