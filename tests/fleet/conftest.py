"""What do the tests of the fleet share? One PostgreSQL for a worker, with a database for each test."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from fleet import database
from fleet.config import DatabaseConfig
from tests.fleet.engines import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server."""
    with Postgres() as server:
        yield server


@pytest.fixture
def conninfo(postgres: Postgres) -> str:
    """An empty database of its own."""
    return postgres.database()


@pytest.fixture
def connection(conninfo: str) -> Iterator[psycopg.Connection]:
    """A database with schema and partitions."""
    with database.connect(DatabaseConfig(conninfo=conninfo), application="test") as opened:
        database.make_schema(opened)
        database.maintain(opened, retention_days=90, when=datetime.now(timezone.utc))
        yield opened
