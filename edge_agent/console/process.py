"""Console process: builds the console from the configuration and serves it until stopped."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

from edge_agent.alerts.history import AlertHistory
from edge_agent.bridge.client import AgentClient
from edge_agent.bridge.protocol import SOCKET_NAME
from edge_agent.bridge.shared import Shared
from edge_agent.config.secrets import read_console_secrets
from edge_agent.console import server
from edge_agent.console.app import build
from edge_agent.console.auth import Auth
from edge_agent.console.context import Context
from edge_agent.console.inference import Inference
from edge_agent.console.live import Live
from edge_agent.console.uploads import Uploads
from edge_agent.console.worker import Worker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from edge_agent.config.model import Config
    from edge_agent.console.inference import OpenModels

MAX_WAITING = 64
"""Tasks of a few milliseconds each; all viewers of a camera share its encoded pictures."""
NEWEST_ALERTS = 12
"""Length of the strip on the live page."""
NEWEST_SECONDS = 1.0
"""How often open pages look for new alerts, all together."""


async def serve(
    config: Config, *, version: str, open_models: OpenModels, end: asyncio.Event, listening: Callable[[], None]
) -> None:
    """Serve until `end` is set; `listening` is called once the port is open.

    Raises:
        ConfigError: the password, the token or the certificate is invalid.
        UnavailableError: the address is not available.
    """
    settings = config.console
    secrets = read_console_secrets(config)
    with ExitStack() as stack:
        worker = stack.enter_context(closing(Worker("worker", max_waiting=MAX_WAITING)))
        inference = stack.enter_context(closing(Inference(open_models, max_pixels=settings.largest_picture_pixels)))
        history = AlertHistory(config.store_file, only_reads=True)
        agent = AgentClient(config.state / SOCKET_NAME)
        context = Context(
            config=config,
            version=version,
            auth=Auth(settings, secrets, has_displays=config.display.enabled),
            agent=agent,
            history=history,
            worker=worker,
            inference=inference,
            live=Live(agent, worker),
            newest_alerts=Shared(lambda: worker.do(history.find, limit=NEWEST_ALERTS), seconds=NEWEST_SECONDS),
            uploads=Uploads(max_bytes=settings.largest_upload_bytes),
        )
        try:
            await server.serve(build(context), settings, end=end, listening=listening)
        finally:
            await agent.close()
