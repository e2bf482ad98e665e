"""Auth: identifies and authorises visitors. Extends the console's by user names and roles."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edge_agent.config.model import ConsoleConfig
from edge_agent.config.secrets import MIN_CHARACTERS, ConsoleSecrets, read_password
from edge_agent.console.auth import Auth, Client

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.console.sessions import User
    from fleet.config import WebConfig


def console_config(config: WebConfig) -> ConsoleConfig:
    """Settings for the console's components. Any address is allowed, as every user has to log in."""
    return ConsoleConfig.model_construct(**config.model_dump(exclude={"token_file", "silent_seconds"}))


class FleetAuth(Auth):
    """Sessions with user name and role. Owned by the event loop."""

    def __init__(self, config: WebConfig, *, clock: Callable[[], float]) -> None:
        """Read the token, if one is configured.

        Raises:
            ConfigError: it cannot be read, or is too short.
        """
        file = config.token_file
        token = read_password(file, key="web.token_file", min_characters=MIN_CHARACTERS) if file else ""
        super().__init__(console_config(config), ConsoleSecrets(token=token), clock=clock)
        self.login_lock = asyncio.Lock()
        """Held while a password is checked: guesses at once would all precede the first recorded failure."""

    @property
    def needs_login(self) -> bool:
        """Always true: the pages show data of many people."""
        return True

    def begin(self, client: Client, user: User) -> str:
        """Start a session after a correct password; returns the new cookie."""
        self._attempts.record_success(client.address, "password")
        self.sessions.end(client.cookie)
        return self.sessions.begin(at=self._clock(), user=user)

    def record_failure(self, client: Client) -> None:
        """Record a wrong password; further attempts are delayed."""
        self._attempts.record_failure(client.address, "password", at=self._clock())
