"""Checks of everything that the agent needs to start.

`edge-agent doctor --quick` asks these alone; without it the doctor also checks the device around them.
"""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.alerts.encryption import open_encryption
from edge_agent.alerts.history import AlertHistory
from edge_agent.diagnosis.broker import check_broker
from edge_agent.diagnosis.camera import check_camera
from edge_agent.diagnosis.console import check_console
from edge_agent.diagnosis.finding import Finding, quoted
from edge_agent.diagnosis.fixes import (
    fix_access,
    fix_broker,
    fix_camera,
    fix_console,
    fix_folder,
    fix_model,
    fix_webhook,
)
from edge_agent.diagnosis.groups import user_name
from edge_agent.diagnosis.service import query_systemd
from edge_agent.diagnosis.signals import check_signals
from edge_agent.errors import AgentError, UnavailableError
from edge_agent.host.atomic_files import is_there
from edge_agent.rollout.installation import TRUST, read_rollout
from edge_agent.rollout.repository_client import repository_opener
from edge_agent.vision.card import model_bytes
from edge_agent.vision.detector import open_detector
from edge_agent.vision.tflite import probe_runtimes
from edge_agent.webhooks.post import addresses_of, port_of, read_secret
from edge_agent.wiring import open_mask_classifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_agent.config.model import Config, WebhookConfig

ROLLOUT_UNIT = "maskwatch-rollout.service"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the agent needs to start.

    `run` describes it in a sentence, or raises an AgentError; what works but is of no use, such as a camera in the
    dark, is a Finding. `fix` is the command for an error that names none.
    """

    name: str
    run: Callable[[], str | Finding]
    fix: Callable[[Exception], str]


def checks_of(config: Config) -> Iterator[Check]:
    """Every check, in order."""
    state, crops = (fix_folder(folder, user=user_name()) for folder in (config.state, config.crops_folder))
    yield Check("masks", partial(_masks, config), lambda _: fix_model(config.mask_model))
    yield Check("runtime", partial(_runtime, config), lambda _: f"{sys.executable} -m pip install ai-edge-litert")
    yield Check("faces", partial(_faces, config), lambda _: fix_model(config.faces.card))
    for name, camera in config.cameras.items():
        yield Check(f"camera {name}", partial(check_camera, config, name), partial(fix_camera, camera.source))
    yield Check("outbox", partial(_outbox, config), lambda _: state)
    yield Check("crops", partial(_crops, config), lambda _: crops)
    yield Check("history", partial(_history, config), lambda _: state)
    yield Check("broker", partial(check_broker, config), partial(fix_broker, config.mqtt))
    yield Check("console", partial(check_console, config), partial(fix_console, config))
    for number, webhook in enumerate(config.webhooks):
        run = partial(check_webhook, webhook, number=number)
        yield Check(f"webhook {webhook.name}", run, partial(fix_webhook, webhook))
    if url := config.rollout.url:
        yield Check("rollout", partial(check_rollout, config), lambda _: f"curl -I {url}/metadata/timestamp.json")
    if config.signals.outputs:
        yield Check("signals", partial(check_signals, config.signals), lambda _: "gpioinfo")


def run_checks(config: Config, progress: Callable[[str], None] = lambda _name: None) -> Iterator[Finding]:
    """Run every check, each when its finding is asked for; `progress` gets the name of the next one."""
    for check in checks_of(config):
        progress(check.name)
        try:
            found = check.run()
            yield found if isinstance(found, Finding) else Finding(check.name, "ok", found)
        except AgentError as error:
            fix = fix_access(str(error)) or error.fix or check.fix(error)
            yield Finding(check.name, "wrong", str(error), fix, error.exit_code)
        except OSError as error:
            # A folder may not be accessible to the current user; the other checks still run.
            message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            yield Finding(check.name, "wrong", message, fix_access(message) or check.fix(error))


def _masks(config: Config) -> str:
    classifier = open_mask_classifier(config)
    size = classifier.card.input
    labels = ", ".join(classifier.labels)
    return f"{config.mask_model}: {labels}; {size.width}x{size.height}; card and golden vectors fit"


def _runtime(config: Config) -> str:
    """The runtime in use, and why the others are not used."""
    probes = probe_runtimes(model_bytes(config.mask_model))
    classifier = open_mask_classifier(config)
    reasons = [" ".join(filter(None, (probe.runtime, probe.version, probe.failure or "works"))) for probe in probes]
    return f"{classifier.runtime}, because runtime is {config.runtime}: {'; '.join(reasons)}"


def _faces(config: Config) -> str:
    faces = config.faces
    open_detector(faces, runtime=config.runtime, threads=config.threads)
    if faces.detector == "tflite":
        return f"tflite from {faces.card}; card and golden faces fit"
    return f"{faces.detector}{f' from {faces.model}' if faces.model else ''}"


def _outbox(config: Config) -> str:
    pending = AlertHistory(config.store_file, only_reads=True).outbox().messages
    return f"{config.store_file}: {pending} pending messages; {_writable(config.state)}"


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
        above = next(parent for parent in folder.parents if is_there(parent))
        if not above.is_dir():
            raise UnavailableError(
                f"{folder}: Not a directory: {above} is in its place", fix=f"mv {quoted(above)} {quoted(above)}.old"
            )
        if not os.access(above, os.W_OK | os.X_OK):
            raise UnavailableError(f"{folder}: cannot be created: Permission denied in {above}")
        return "does not exist yet; the agent creates it"
    if not folder.is_dir():
        raise UnavailableError(
            f"{folder}: File exists, and is not a folder", fix=f"mv {quoted(folder)} {quoted(folder)}.old"
        )
    if os.geteuid() == 0:
        return _writable_for_owner(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UnavailableError(f"{folder}: cannot be written: Permission denied")
    return "can be written"


def _writable_for_owner(folder: Path) -> str:
    """The check for root, who can write anywhere: whether the folder belongs to the owner of the state."""
    owner, parent_owner = folder.stat().st_uid, folder.parent.stat().st_uid
    if owner == 0 and parent_owner != 0:
        raise UnavailableError(
            f"{folder}: belongs to root, so that the agent cannot write there",
            fix=f"sudo chown --reference={quoted(folder.parent)} {quoted(folder)}",
        )
    if not os.access(folder, os.W_OK):
        raise UnavailableError(f"{folder}: cannot be written: the disk is read-only")
    return "can be written" if owner == 0 else "write access not tested: it belongs to another user"


def _history(config: Config) -> str:
    return f"{config.store_file}: {AlertHistory(config.store_file, only_reads=True).count()} alerts"


def check_webhook(webhook: WebhookConfig, *, number: int) -> str:
    """Describe a webhook and its resolved address, without posting; `number` is its index in the list.

    Raises:
        ConfigError: its secret cannot be read or is invalid.
        UnavailableError: its host name is unknown, or resolves to a link-local or metadata address.
    """
    if webhook.secret_file is not None:
        read_secret(webhook.secret_file, key=f"webhooks.{number}.secret_file")
    address, *_ = addresses_of(urlsplit(webhook.url).hostname or "", port_of(webhook.url))
    signed = "unsigned" if webhook.secret_file is None else "signed"
    return f"{address}; {', '.join(webhook.events)}, {signed}"


def check_rollout(config: Config) -> str | Finding:
    """Describe the desired model of the fleet, and the state of this device.

    Raises:
        ConfigError: TUF is not installed, or the root cannot be read.
        UnavailableError: the repository is unreachable or invalid.
    """
    settings = config.rollout
    with TemporaryDirectory() as folder:
        # A copy: known metadata protects against roll-back, and root must not create files in the agent's folder.
        seen = Path(folder, TRUST)
        with suppress(OSError):
            shutil.copytree(config.models_folder / TRUST, seen)
        assignments = repository_opener(settings, folder=seen)().assignments().groups
    assigned, now = assignments.get(settings.group), read_rollout(config.models_folder)
    if assigned is None and assignments:
        text = f"{settings.url}: no group '{settings.group}' (rollout.group); known: {', '.join(sorted(assignments))}"
        return Finding("rollout", "warning", text, "sudoedit /etc/maskwatch/config.yaml")
    wanted = f"assignment {assigned.number}: {assigned.model or 'as configured'}" if assigned else "no assignment yet"
    text = f"{settings.url}: {wanted}; this device: {now.model or 'as configured'}, {now.state}"
    if now.state == "rejected":
        return Finding("rollout", "warning", f"{text}: {now.reason}", f"journalctl -u {ROLLOUT_UNIT} -n 50")
    service = query_systemd(ROLLOUT_UNIT)
    if service is None:
        return text
    if (active := service["ActiveState"]) != "active":
        fix = f"sudo systemctl enable --now {ROLLOUT_UNIT}"
        return Finding("rollout", "warning", f"{text}; {ROLLOUT_UNIT} is {active}", fix)
    return f"{text}; {service['StatusText']}" if service["StatusText"] else text
