"""Fixtures of the fleet tests: one PostgreSQL per worker, a database per test, and a model repository."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest

from fleet import database
from fleet.config import DatabaseConfig
from fleet.rollout.keys import make_key
from tests.fleet.engines import Postgres
from tests.fleet.repository import PEOPLE, Fleet, Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def prepared(postgres: Postgres) -> str:
    """The name of a template database with schema and partitions: copying it is faster than creating them."""
    config = DatabaseConfig(conninfo=postgres.database())
    with database.connect(config, application="test") as opened:
        database.make_schema(opened)
        database.maintain(opened, retention_days=90, when=datetime.now(timezone.utc))
        return opened.info.dbname


@pytest.fixture
def conninfo(postgres: Postgres, prepared: str) -> Iterator[str]:
    """A separate database with schema and partitions, dropped at the end because each consists of hundreds of files."""
    made = postgres.database(template=prepared)
    yield made
    postgres.drop(made)


@pytest.fixture
def connection(conninfo: str) -> Iterator[psycopg.Connection]:
    """A connection to the test's database."""
    with database.connect(DatabaseConfig(conninfo=conninfo), application="test") as opened:
        yield opened


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The private and public keys of all people of a repository."""
    folder = tmp_path_factory.mktemp("keys")
    for name in PEOPLE:
        make_key(folder / name)
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A web server."""
    served = Server()
    yield served
    served.close()


@pytest.fixture
def fleet(tmp_path: Path, keys: Path, server: Server) -> Fleet:
    """A repository served by the web server."""
    return Fleet(tmp_path, keys, server)
