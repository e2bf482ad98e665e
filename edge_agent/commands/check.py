"""`edge-agent check`: is everything there that the agent needs, and if not, what is to be done?"""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_agent.camera import open_camera
from edge_agent.camera.source import shown_source
from edge_agent.commands.options import accept_json, add_command, configured, print_json
from edge_agent.config_file import default_file
from edge_agent.delivery.identity import boot_id
from edge_agent.delivery.inspection import look_into
from edge_agent.delivery.mqtt import try_broker
from edge_agent.delivery.outbox import Outbox
from edge_agent.errors import AgentError, CameraError, ConfigError, UnavailableError
from edge_agent.evidence.crops import Crops
from edge_agent.evidence.sealing import open_seal
from edge_agent.vision.card import model_bytes
from edge_agent.vision.faces import open_face_finder
from edge_agent.vision.tflite import probe_runtimes
from edge_agent.wiring import alone_in, open_reader

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from edge_agent.config import Config


MARK_WIDTH = len("WRONG")
CHECK_WIDTH = len("configuration")


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "check",
        check,
        summary="look at configuration, models, cameras and broker, a line each: what is wrong and what to do",
        example="edge-agent check --config /etc/maskwatch/config.yaml",
    )
    accept_json(parser)


def check(options: argparse.Namespace) -> int:
    """Look at every part, also after one has failed; the exit status is that of the first failure."""
    tell = print_json if options.json else _print_finding
    file = options.config or default_file() or "the defaults"
    try:
        config = configured(options)
    except ConfigError as error:
        # Everything else depends on it.
        tell({"check": "configuration", "ok": False, "message": str(error)})
        return error.exit_code
    tell({"check": "configuration", "ok": True, "message": str(file)})
    checks: list[tuple[str, Callable[[], str]]] = [
        ("masks", lambda: _masks(config)),
        ("runtime", lambda: _runtime(config)),
        ("faces", lambda: _faces(config)),
        *((f"camera {name}", lambda name=name: _camera(config, name)) for name in config.cameras),
        ("outbox", lambda: _outbox(config)),
        ("crops", lambda: _crops(config)),
        ("broker", lambda: try_broker(config.mqtt, config.device.name)),
    ]
    status = 0
    for name, look in checks:
        try:
            found, is_good = look(), True
        except AgentError as error:
            found, is_good = str(error), False
            status = status or error.exit_code
        tell({"check": name, "ok": is_good, "message": found})
    return status


def _print_finding(finding: Mapping[str, Any]) -> None:
    mark = "ok" if finding["ok"] else "WRONG"
    print(f"{mark.ljust(MARK_WIDTH)}  {finding['check'].ljust(CHECK_WIDTH)}  {finding['message']}", flush=True)


def _masks(config: Config) -> str:
    reader = open_reader(config)
    size = reader.card.input
    labels = ", ".join(reader.labels)
    return f"{config.mask_model}: {labels}; {size.width}x{size.height}; card and golden vectors fit"


def _runtime(config: Config) -> str:
    """Which runtime is used, and why not another."""
    probes = probe_runtimes(model_bytes(config.mask_model))
    reader = open_reader(config)
    reasons = [f"{probe.runtime} {probe.version or 'none'} {probe.failure or 'works'}" for probe in probes]
    return f"{reader.runtime}, as runtime is {config.runtime}: {'; '.join(reasons)}"


def _faces(config: Config) -> str:
    faces = config.faces
    open_face_finder(faces, runtime=config.runtime, threads=config.threads)
    if faces.finder == "tflite":
        return f"tflite from {faces.card}; card and golden faces fit"
    return f"{faces.finder}{f' from {faces.model}' if faces.model else ''}"


def _camera(config: Config, name: str) -> str:
    camera = config.cameras[name]
    with closing(open_camera(camera)) as opened:
        image = opened.read()
    if image is None:
        raise CameraError(f"{shown_source(camera.source)}: opens, but holds no picture")
    return f"{shown_source(camera.source)}: {image.shape[1]}x{image.shape[0]}"


def _outbox(config: Config) -> str:
    with ExitStack() as stack:
        try:
            stack.enter_context(alone_in(config.state))
        except UnavailableError:
            contents = look_into(config.outbox_file)
            return f"{config.outbox_file}: {contents.messages} messages wait; an agent is at work there"
        outbox = stack.enter_context(closing(Outbox(config.outbox_file, boot_id=boot_id())))
        if outbox.trouble:
            raise UnavailableError(outbox.trouble)
        return f"{config.outbox_file}: {outbox.count()} messages wait"


def _crops(config: Config) -> str:
    evidence = config.evidence
    if evidence.picture == "none":
        return "no picture is kept (evidence.picture: none)"
    crops = Crops(config.crops_folder, jpeg_quality=evidence.jpeg_quality, seal=open_seal(evidence.encrypt_for))
    Path(crops.save("check", np.zeros((8, 8, 3), np.uint8)).file).unlink()
    owners = f", for {len(evidence.encrypt_for)} public keys alone" if evidence.encrypt_for else ""
    return f"{config.crops_folder}: can be written{owners}"
