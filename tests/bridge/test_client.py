"""Bridge client: a request ends with a reason if the agent or its socket fails."""

import asyncio
from pathlib import Path

import pytest

from edge_agent.bridge import client
from edge_agent.bridge.client import AgentClient, UnansweredError
from edge_agent.bridge.protocol import SOCKET_NAME
from tests.console.served import a_bridge, a_config
from tests.values import a_status


def error_of(socket_file: Path) -> str:
    """The error of a request for the status."""

    async def ask() -> str:
        agent = AgentClient(socket_file)
        try:
            with pytest.raises(UnansweredError) as why:
                await agent.status()
        finally:
            await agent.close()
        return str(why.value)

    return asyncio.run(ask())


def test_a_missing_agent_is_reported_within_a_second(tmp_path):
    assert "not running" in error_of(tmp_path / SOCKET_NAME)


def test_a_socket_path_that_is_too_long_is_reported(tmp_path):
    assert "x" * 120 in error_of(tmp_path / ("x" * 120) / SOCKET_NAME)


def test_concurrent_status_requests_share_one_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(client, "STATUS_SECONDS", 60.0)
    config = a_config(tmp_path)

    async def ask() -> list[object]:
        agent = AgentClient(config.state / SOCKET_NAME)
        bridge.update_status(a_status())
        found = await asyncio.gather(*(agent.status() for _ in range(20)))
        await agent.close()
        return [*found]

    with a_bridge(config) as bridge:
        found = asyncio.run(ask())

    assert len({id(status) for status in found}) == 1
