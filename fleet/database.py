"""Database: connects to PostgreSQL and verifies its schema version."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import ConnectionPool

from edge_agent.config.secrets import read_password
from edge_agent.errors import ConfigError, UnavailableError
from fleet.credentials import secret_file

if TYPE_CHECKING:
    from fleet.config import DatabaseConfig

SCHEMA_VERSION = 1
CONNECT_SECONDS = 5
# Inserting a batch takes milliseconds; a statement that takes this long is waiting for a lost peer.
STATEMENT_SECONDS = 60
MAX_CONNECTIONS = 8
"""Of a pool; a query takes milliseconds."""
WAIT_SECONDS = 3.0
"""For a connection of a pool."""
DAYS_BEFORE = 3
"""After an outage devices deliver messages that are days old; older ones go into the default partition."""
DAYS_AHEAD = 3
MAINTENANCE_LOCK = 7_301_902


def connect(config: DatabaseConfig, *, application: str) -> psycopg.Connection:
    """Connect with the schema as search path; autocommit, so that every transaction is explicit.

    Raises:
        ConfigError: the conninfo is invalid, or the password cannot be read.
        UnavailableError: the database does not respond, or refuses the connection.
    """
    try:
        return psycopg.connect(config.conninfo, **parameters(config, application=application))
    except psycopg.ProgrammingError as error:
        raise ConfigError(f"database.conninfo: {one_line(error)}") from error
    except psycopg.OperationalError as error:
        raise UnavailableError(f"PostgreSQL: {one_line(error)}; check database.conninfo and the server") from error


def connection_pool(config: DatabaseConfig, *, application: str) -> ConnectionPool:
    """A pool of such connections, not open yet. Each is checked when it is taken: a server restart ends all of them.

    Raises:
        ConfigError: the password cannot be read.
    """
    return ConnectionPool(
        config.conninfo,
        kwargs=parameters(config, application=application),
        min_size=1,
        max_size=MAX_CONNECTIONS,
        timeout=WAIT_SECONDS,
        # The pool doubles the delay of each attempt. It begins anew after as long as a request waits, so that the first
        # request after an outage gets its connection.
        reconnect_timeout=WAIT_SECONDS,
        check=ConnectionPool.check_connection,
        open=False,
    )


def parameters(config: DatabaseConfig, *, application: str) -> dict[str, Any]:
    """Parameters of every connection: password, search path, timeouts and autocommit.

    Raises:
        ConfigError: the password cannot be read.
    """
    return {
        "password": _password(config),
        "autocommit": True,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": application,
        "options": f"-c search_path=maskwatch,public -c statement_timeout={STATEMENT_SECONDS}s -c timezone=UTC",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }


def _password(config: DatabaseConfig) -> str | None:
    """The password; None lets libpq look for one."""
    # Read here, as libpq ignores password files that are readable by their group.
    file = secret_file("database-password", config.password_file)
    return read_password(file, key="database.password_file") if file else None


def open_database(config: DatabaseConfig, *, application: str) -> psycopg.Connection:
    """Connect to a database that has the schema of this version.

    Raises:
        ConfigError: it has none, or that of another version.
        UnavailableError: the database does not respond, or refuses the connection.
    """
    connection = connect(config, application=application)
    try:
        require_schema(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def require_schema(connection: psycopg.Connection) -> None:
    """Check the schema version of the database.

    Raises:
        ConfigError: it has no schema, or that of another version; the message gives the fix.
    """
    found = schema_version(connection)
    name = connection.info.dbname
    if found is None:
        raise ConfigError(f"database '{name}' holds no schema of the fleet; run 'maskwatch-fleet init'")
    if found > SCHEMA_VERSION:
        raise ConfigError(
            f"database '{name}' has schema {found} and this maskwatch-fleet knows {SCHEMA_VERSION}; upgrade it here, "
            "as it was on the machine that made the schema"
        )
    if found < SCHEMA_VERSION:
        raise ConfigError(f"database '{name}' has schema {found}; run 'maskwatch-fleet init' to bring it up to date")


def schema_version(connection: psycopg.Connection) -> int | None:
    """The schema version of the database; None without a schema."""
    found = connection.execute("select to_regclass('maskwatch.schema_version')").fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute("select max(version) from maskwatch.schema_version").fetchone()
    return int(row[0]) if row and row[0] is not None else None


def make_schema(connection: psycopg.Connection) -> bool:
    """Create the schema if there is none; returns whether it was created.

    Raises:
        ConfigError: there is one of another version.
        UnavailableError: this user lacks the privilege, or the disk is full.
    """
    if schema_version(connection) is not None:
        require_schema(connection)
        return False
    text = files("fleet").joinpath("schema.sql").read_text(encoding="utf-8")
    try:
        with connection.transaction():
            connection.execute(text.encode())
    except psycopg.Error as error:
        raise UnavailableError(
            f"database '{connection.info.dbname}': the schema cannot be made: {one_line(error)}"
        ) from error
    return True


def maintain(connection: psycopg.Connection, *, retention_days: int, when: datetime) -> int:
    """Create the partitions of the coming days and drop expired ones; returns the number dropped.

    Safe to call from any number of processes: an advisory lock serialises them.

    Raises:
        psycopg.Error: the database is unavailable, or its disk is full.
    """
    today = when.astimezone(timezone.utc).date()
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [MAINTENANCE_LOCK])
        first, last = today - timedelta(days=DAYS_BEFORE), today + timedelta(days=DAYS_AHEAD)
        connection.execute("select make_partitions(%s, %s)", [first, last])
        dropped = connection.execute("select drop_before(%s)", [today - timedelta(days=retention_days)]).fetchone()
    return int(dropped[0]) if dropped else 0


def describe_error(error: psycopg.Error) -> str:
    """Describe a PostgreSQL error; the text stays the same while the problem lasts, so that it is logged once."""
    if isinstance(error, psycopg.errors.DiskFull):
        # The original message names a different file each time.
        return "PostgreSQL: its disk is full; make room there"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"PostgreSQL: {one_line(error)}; the user in database.conninfo has to be the owner of the database"
    return f"PostgreSQL: {one_line(error)}"


def one_line(error: psycopg.Error) -> str:
    """The message of PostgreSQL on one line."""
    return " ".join(str(error).split()) or type(error).__name__
