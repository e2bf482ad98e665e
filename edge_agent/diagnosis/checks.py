"""The parts: is everything there that the agent needs to start?

`edge-agent doctor --quick` asks these alone; without it the doctor also looks at the device around them.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.alerts.crops import Crops
from edge_agent.alerts.encryption import open_encryption
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.inspection import look_into
from edge_agent.alerts.store import AlertStore
from edge_agent.camera import open_camera
from edge_agent.camera.source import shown_source
from edge_agent.diagnosis.console import look_at_console
from edge_agent.errors import CameraError, UnavailableError
from edge_agent.host.clock import boot_id
from edge_agent.mqtt.client import try_broker
from edge_agent.vision.card import model_bytes
from edge_agent.vision.detector import open_detector
from edge_agent.vision.tflite import probe_runtimes
from edge_agent.wiring import alone_in, is_at_work, open_mask_classifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config.model import Config


def checks_of(config: Config) -> list[tuple[str, Callable[[], str]]]:
    """Give the name of each part and how to look at it: a sentence where it is well, an AgentError where not."""
    return [
        ("masks", lambda: _masks(config)),
        ("runtime", lambda: _runtime(config)),
        ("faces", lambda: _faces(config)),
        *((f"camera {name}", lambda name=name: _camera(config, name)) for name in config.cameras),
        ("outbox", lambda: _outbox(config)),
        ("crops", lambda: _crops(config)),
        ("history", lambda: _history(config)),
        ("broker", lambda: try_broker(config.mqtt, config.device.name)),
        ("console", lambda: look_at_console(config)),
    ]


def belongs_to_another(folder: Path) -> bool:
    """Whether root looks at the folder of a service's user: what root wrote there would shut its owner out."""
    try:
        return os.geteuid() == 0 and folder.stat().st_uid != 0
    except OSError:
        return False


def _masks(config: Config) -> str:
    classifier = open_mask_classifier(config)
    size = classifier.card.input
    labels = ", ".join(classifier.labels)
    return f"{config.mask_model}: {labels}; {size.width}x{size.height}; card and golden vectors fit"


def _runtime(config: Config) -> str:
    """Which runtime is used, and why not another."""
    probes = probe_runtimes(model_bytes(config.mask_model))
    classifier = open_mask_classifier(config)
    reasons = [f"{probe.runtime} {probe.version or 'none'} {probe.failure or 'works'}" for probe in probes]
    return f"{classifier.runtime}, as runtime is {config.runtime}: {'; '.join(reasons)}"


def _faces(config: Config) -> str:
    faces = config.faces
    open_detector(faces, runtime=config.runtime, threads=config.threads)
    if faces.detector == "tflite":
        return f"tflite from {faces.card}; card and golden faces fit"
    return f"{faces.detector}{f' from {faces.model}' if faces.model else ''}"


def _camera(config: Config, name: str) -> str:
    camera = config.cameras[name]
    shown = shown_source(camera.source)
    if camera.source.startswith("/dev/") and is_at_work(config.state):
        # A V4L2 device gives its pictures to one program at a time.
        return f"{shown}: not opened, for an agent is at work; 'systemctl status edge-agent' tells how its cameras do"
    with closing(open_camera(camera)) as opened:
        image = opened.read()
    if image is None:
        raise CameraError(f"{shown}: opens, but holds no picture")
    return f"{shown}: {image.shape[1]}x{image.shape[0]}"


def _outbox(config: Config) -> str:
    if belongs_to_another(config.state):
        contents = look_into(config.store_file)
        return f"{config.store_file}: {contents.messages} messages wait; not tried to write, for it is another user's"
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(config.state))
        except UnavailableError:
            contents = look_into(config.store_file)
            return f"{config.store_file}: {contents.messages} messages wait; an agent is at work there"
        store = stack.enter_context(closing(AlertStore(config.store_file, boot_id=boot_id())))
        if store.trouble:
            raise UnavailableError(store.trouble)
        return f"{config.store_file}: {store.count()} messages wait"


def _crops(config: Config) -> str:
    kept = config.crops
    if kept.picture == "none":
        return "no picture is kept (crops.picture: none)"
    encryption = open_encryption(kept.encrypt_for)
    owners = f", for {len(kept.encrypt_for)} public keys alone" if kept.encrypt_for else ""
    if belongs_to_another(config.crops_folder):
        return f"{config.crops_folder}: not tried to write, for it is another user's{owners}"
    crops = Crops(config.crops_folder, jpeg_quality=kept.jpeg_quality, encryption=encryption)
    Path(crops.save("check", np.zeros((8, 8, 3), np.uint8)).file).unlink()
    return f"{config.crops_folder}: can be written{owners}"


def _history(config: Config) -> str:
    with closing(AlertHistory(config.store_file, only_reads=True)) as history:
        return f"{config.store_file}: {history.count()} alerts are known"
