"""`edge-agent run`: starts the agent, reloads its configuration, and stops it."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_agent.camera import open_camera, source_kind
from edge_agent.camera.cameras import Cameras
from edge_agent.commands.options import add_command, configured
from edge_agent.errors import AgentError, in_one_line
from edge_agent.host.allocator import release_free_memory, share_arenas
from edge_agent.host.clock import boot_id
from edge_agent.host.disk import DiskThread, reach
from edge_agent.host.systemd import Notifier
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.pauses import Pauses
from edge_agent.wiring import open_agent

if TYPE_CHECKING:
    import argparse

    from edge_agent.agent import Agent
    from edge_agent.config.model import CameraConfig, Config

OWNER_AND_GROUP = 0o027
RELOAD_SECONDS = 5.0
"""Minimum interval: loading the models takes two seconds, and detection should run in between."""
DISK_SECONDS = 5.0
"""A disk that does not respond within this time is reported; a network file system may be mounted later."""

log = logging.getLogger(__name__)


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands, "run", run, summary="run the agent until it is stopped", example="edge-agent run --demo"
    )
    parser.add_argument("--source", help="use this camera, recording or folder instead of the configured ones")
    parser.add_argument(
        "--demo",
        action="store_true",
        help="demonstration on this terminal: a loopback broker unless one is configured, a subscriber that prints "
        "each alert, and the example recording unless a source is given",
    )


def run(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT, or until every recording has ended; SIGHUP reloads the configuration."""
    # As UMask in the unit: alerts and pictures must not be readable by all users.
    os.umask(OWNER_AND_GROUP | os.umask(OWNER_AND_GROUP))
    share_arenas()
    if options.source is not None:
        # JSON is valid YAML and quotes any name.
        cameras = {"camera": {"source": options.source}}
        options.set = [*options.set, f"cameras={json.dumps(cameras)}"]
        _check_source(configured(options).cameras["camera"])
    lifecycle = _Lifecycle()
    if options.demo:
        from edge_agent.commands.demo import run_demo  # noqa: PLC0415  (brings asyncio: 2 MB that an agent never uses)

        return run_demo(options, stop=lifecycle.wake)
    notifier = Notifier()
    config = configured(options)
    # The previous configuration, to restore if the new one fails; None once the new one works.
    fallback: Config | None = None
    pauses = Pauses(boot_id=boot_id())
    with Cameras() as followed, KeptConnection() as kept:
        while True:
            if not _wait_for_disk(config, lifecycle, notifier):
                return 0
            try:
                reload = partial(_request_reload, options, lifecycle)
                with open_agent(config, notifier, cameras=followed, kept=kept, pauses=pauses, reload=reload) as agent:
                    fallback = None
                    changed = _watch(agent, options, lifecycle, notifier)
                    if changed is None:
                        followed.ask_to_stop()
                        return 0
                # Free its models before the next agent loads its own.
                del agent
                release_free_memory()
            except AgentError as error:
                # A reloaded configuration that fails must not stop a running agent.
                if fallback is None:
                    raise
                log.error("new configuration failed, keeping the old one: %s", in_one_line(error))  # noqa: TRY400
                config, fallback = fallback, None
                continue
            config, fallback = changed, config


def _wait_for_disk(config: Config, lifecycle: _Lifecycle, notifier: Notifier) -> bool:
    """Wait until the disks of state and crops respond; False if stopped first."""
    for folder in (config.state, config.crops_folder):
        disk: DiskThread[bool] = DiskThread(timeout_seconds=DISK_SECONDS)
        access = partial(reach, folder)
        if disk.ask(access):
            continue
        log.error("%s: the disk is not responding; detection starts once it responds: see state_dir", folder)
        while not disk.ask(access):
            notifier.status(f"waiting for the disk of {folder}")
            notifier.alive()
            if lifecycle.wake.wait(1.0) and not lifecycle.takes_reload():
                return False
        log.info("%s: the disk responds", folder)
    return True


def _request_reload(options: argparse.Namespace, lifecycle: _Lifecycle) -> None:
    """Reload on a command, as SIGHUP does, after validating the configuration.

    Raises:
        ConfigError: it is invalid.
    """
    configured(options)
    lifecycle.reload()


def _check_source(camera: CameraConfig) -> None:
    """Check that a recording or folder is readable: unlike a camera, it will not become available later.

    Raises:
        CameraError: it is missing or cannot be read.
    """
    if source_kind(camera.source) in ("recording", "pictures"):
        with closing(open_camera(camera)):
            pass


def _watch(agent: Agent, options: argparse.Namespace, lifecycle: _Lifecycle, notifier: Notifier) -> Config | None:
    """Run the agent; returns the reloaded configuration, or None at the end."""
    while True:
        agent.run(lifecycle.wake)
        if not lifecycle.takes_reload():
            notifier.stopping()
            return None
        notifier.reloading()
        try:
            agent.recorder.check_responds()
            changed = configured(options)
        except AgentError as error:
            log.error("configuration rejected, keeping the old one: %s", in_one_line(error))  # noqa: TRY400
            notifier.ready()
            continue
        log.info("configuration reloaded")
        return changed


class _Lifecycle:
    """Requests to end or reload, by signal or command. `wake` is set for each; signal handlers only set flags.

    Reloads are at least RELOAD_SECONDS apart.
    """

    def __init__(self) -> None:
        self.wake = threading.Event()
        self._ends = False
        self._reloads = False
        self._reloaded_at = float("-inf")
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        signal.signal(signal.SIGHUP, self.reload)
        signal.signal(signal.SIGALRM, self.reload)

    def takes_reload(self) -> bool:
        """Whether `wake` was set for a reload and not for the end; resets it."""
        if self._ends or not self._reloads:
            return False
        self._reloads = False
        self._reloaded_at = time.monotonic()
        self.wake.clear()
        # SIGTERM may have arrived in between.
        return not self._ends

    def _end(self, *_: object) -> None:
        self._ends = True
        self.wake.set()

    def reload(self, *_: object) -> None:
        """Request a reload, now or once RELOAD_SECONDS are over."""
        left_seconds = self._reloaded_at + RELOAD_SECONDS - time.monotonic()
        if left_seconds > 0:
            signal.setitimer(signal.ITIMER_REAL, left_seconds)
            return
        self._reloads = True
        self.wake.set()
