"""`edge-agent rollout`: keeps this device on the model that the fleet assigns to its group."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from edge_agent.bridge.client import AgentClient
from edge_agent.bridge.protocol import SOCKET_NAME
from edge_agent.commands.options import add_command, configured
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.host.systemd import Notifier
from edge_agent.rollout.examination import examine
from edge_agent.rollout.follower import OBSERVE_SECONDS, Follower
from edge_agent.rollout.installation import TRUST
from edge_agent.rollout.repository_client import repository_opener

if TYPE_CHECKING:
    import argparse

    from edge_agent.config.model import Config

MAX_READING_SECONDS = 1.0
"""Maximum time of a reading if no camera has a detect_fps."""


def add_to(commands: Any) -> None:
    """Describe the command."""
    add_command(
        commands,
        "rollout",
        rollout,
        summary="keep this device on the model that the fleet assigns to its group; runs alongside the agent",
        example="edge-agent rollout --set rollout.url=https://models.example.org",
    )


def rollout(options: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    config = configured(options)
    if not config.rollout.url:
        raise ConfigError("rollout.url: not set; see docs/fleet.md")
    asyncio.run(_follow(config))
    return 0


async def _follow(config: Config) -> None:
    end, notifier = asyncio.Event(), Notifier()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    agent = AgentClient(config.state / SOCKET_NAME)
    rates = [camera.detect_fps for camera in config.cameras.values() if camera.detect_fps]
    feeding = asyncio.ensure_future(_feed(notifier))
    try:
        follower = Follower(
            config,
            agent,
            open_repository=repository_opener(config.rollout, folder=config.models_folder / TRUST),
            examine=partial(
                examine,
                runtime=config.runtime,
                threads=config.threads,
                labels=config.masks.labels,
                max_seconds=1 / max(rates) if rates else MAX_READING_SECONDS,
            ),
            at=time.monotonic(),
        )
        notifier.ready()
        while not end.is_set():
            await follower.turn(at=time.monotonic())
            notifier.status(follower.last_poll)
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(end.wait(), OBSERVE_SECONDS)
    except OSError as error:
        raise UnavailableError(f"{config.models_folder}: {error.strerror or error}") from error
    finally:
        feeding.cancel()
        notifier.stopping()
        await agent.close()


async def _feed(notifier: Notifier) -> None:
    while True:
        notifier.alive()
        await asyncio.sleep(OBSERVE_SECONDS)
