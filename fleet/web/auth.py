"""Auth: identifies and authorises visitors. Extends the console's by user names and roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from starlette.concurrency import run_in_threadpool

from edge_agent.config.model import ConsoleConfig
from edge_agent.config.secrets import MIN_CHARACTERS, ConsoleSecrets, read_password
from edge_agent.console.auth import Auth
from fleet.credentials import secret_file
from fleet.web.users import user_of

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from edge_agent.console.sessions import User
    from fleet.config import WebConfig


class _PagesConfig(ConsoleConfig):
    section: ClassVar[str] = "web"


def console_config(config: WebConfig) -> ConsoleConfig:
    """Settings for the console's components. Any address is allowed, as every user has to log in."""
    return _PagesConfig.model_construct(**config.model_dump(exclude={"token_file", "silent_seconds"}))


class FleetAuth(Auth):
    """Sessions with user name and role. Owned by the event loop; the database answers in threads."""

    wrong_login = "Wrong user name or password."

    def __init__(self, config: WebConfig, pool: ConnectionPool) -> None:
        """Read the token, if one is configured; users are in the database.

        Raises:
            ConfigError: it cannot be read, or is too short.
        """
        file = secret_file("web-token", config.token_file)
        token = read_password(file, key="web.token_file", min_characters=MIN_CHARACTERS) if file else ""
        super().__init__(console_config(config), ConsoleSecrets(token=token))
        self._pool = pool

    @property
    def needs_login(self) -> bool:
        """Always true: the pages show data of many people."""
        return True

    async def _user(self, name: str, password: str) -> User | None:
        def find() -> User | None:
            with self._pool.connection() as connection:
                return user_of(connection, name, password)

        return await run_in_threadpool(find)
