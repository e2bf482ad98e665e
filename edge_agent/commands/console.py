"""`edge-agent console`: serves the web pages and the API."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

from edge_agent.commands.options import add_command, configured
from edge_agent.errors import missing_extra
from edge_agent.host.systemd import Notifier
from edge_agent.wiring import open_models

if TYPE_CHECKING:
    import argparse

    from edge_agent.config.model import Config


def add_to(commands: Any) -> None:
    """Describe the command."""
    add_command(
        commands,
        "console",
        console,
        summary="serve the web console and API of the agent on this device",
        example="edge-agent console --set console.port=8081",
    )


def console(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Without a running agent, pages say so and uploads are still analysed."""
    asyncio.run(_serve(configured(options)))
    return 0


async def _serve(config: Config) -> None:
    try:
        # The web framework is an extra.
        from edge_agent.console.app import serve
    except ImportError as error:
        raise missing_extra("console", error) from error
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    notifier = Notifier()
    await serve(config, open_models=lambda: open_models(config), end=end, listening=notifier.ready)
    notifier.stopping()
