"""Users: stores users and roles, and checks passwords."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Literal, TypeAlias

from edge_agent.config.secrets import MIN_CHARACTERS
from edge_agent.console.sessions import User
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from psycopg import Connection

Role: TypeAlias = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")
SALT_BYTES = 16
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**14, 8, 1
"""Parameters of RFC 7914 for interactive logins: 16 MB and about 50 ms per attempt."""
MAX_NAME_CHARACTERS = 100


def set_user(connection: Connection, name: str, role: Role | None, password: str) -> None:
    """Add a user, or change the role and password of one. Without a role a user keeps theirs; a new one is a viewer.

    Raises:
        ConfigError: the name is invalid, or the password too short.
    """
    if not name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise ConfigError("a user's name has 1 to 100 characters that can be printed")
    if len(password) < MIN_CHARACTERS:
        raise ConfigError(f"the password has fewer than {MIN_CHARACTERS} characters; choose a longer one")
    # The same salt as before: only another password changes the hash, and ends the sessions of the user.
    row = connection.execute("select password_salt from users where name = %s", [name]).fetchone()
    salt = row[0] if row else secrets.token_bytes(SALT_BYTES)
    connection.execute(
        "insert into users as u values (%(name)s, coalesce(%(role)s, 'viewer'), %(salt)s, %(hash)s) "
        "on conflict (name) do update set role = coalesce(%(role)s, u.role), "
        "password_salt = excluded.password_salt, password_hash = excluded.password_hash",
        {"name": name, "role": role, "salt": salt, "hash": _hashed(password, salt)},
    )


def user_of(connection: Connection, name: str, password: str) -> User | None:
    """The user if the password is correct. Unknown users take as long as known ones."""
    row = connection.execute(
        "select role, password_salt, password_hash from users where name = %s", [name.replace("\0", "")]
    ).fetchone()
    role, salt, expected = row or (None, b"\0" * SALT_BYTES, b"")
    return User(name, role, expected) if hmac.compare_digest(_hashed(password, salt), expected) else None


def is_current(connection: Connection, user: User) -> bool:
    """Whether a user still exists, with the password of this login."""
    row = connection.execute("select password_hash from users where name = %s", [user.name]).fetchone()
    return row is not None and hmac.compare_digest(row[0], user.password_hash)


def current_role(connection: Connection, name: str) -> Role:
    """The role of a user now; unknown users, such as programs with the token, are viewers."""
    row = connection.execute("select role from users where name = %s", [name]).fetchone()
    return row[0] if row else "viewer"


def _hashed(password: str, salt: bytes) -> bytes:
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P)
