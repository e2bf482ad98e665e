"""Sessions: login sessions and their expiry. In memory only: a restart logs all users out.

Pure: time comes in as `at`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

IDLE_SECONDS = 12 * 3600.0
"""Timeout of inactive sessions; an open page sends a request every second."""
MAX_AGE_SECONDS = 7 * 86_400.0
MAX_SESSIONS = 1000
"""A few hundred bytes each; the least recently used one is dropped first."""
COOKIE_BYTES = 32


@dataclass(frozen=True, slots=True)
class User:
    """A user who has logged in.

    `password_hash` is of the password that the user logged in with.
    """

    name: str = ""
    role: str = ""
    password_hash: bytes = b""


UNNAMED = User()
"""The only user of a console."""


@dataclass(slots=True)
class _Session:
    began_at: float
    used_at: float
    user: User


class Sessions:
    """Sessions of logged-in users by the hashes of their cookies. Owned by the event loop."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._sessions: dict[bytes, _Session] = {}

    def begin(self, *, at: float, user: User = UNNAMED) -> str:
        """Log a user in; returns a new cookie."""
        cookie = new_cookie()
        if len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda key: self._sessions[key].used_at)]
        self._sessions[_hashed(cookie)] = _Session(at, at, user)
        return cookie

    def find(self, cookie: str, *, at: float) -> User | None:
        """The user of a session, whose idle timeout is renewed; None if this cookie belongs to none."""
        key = _hashed(cookie)
        session = self._sessions.get(key)
        if session is None:
            return None
        if at - session.used_at > IDLE_SECONDS or at - session.began_at > MAX_AGE_SECONDS:
            del self._sessions[key]
            return None
        session.used_at = at
        return session.user

    def end(self, cookie: str) -> None:
        """Log a user out."""
        self._sessions.pop(_hashed(cookie), None)

    def csrf(self, cookie: str) -> str:
        """The CSRF token of a cookie."""
        return hmac.new(self._key, cookie.encode(), hashlib.sha256).hexdigest()


def new_cookie() -> str:
    """A random cookie."""
    return secrets.token_urlsafe(COOKIE_BYTES)


def is_same(secret: str, other: str) -> bool:
    """Compare secrets in constant time, independent of their lengths too."""
    return hmac.compare_digest(_hashed(secret), _hashed(other))


def _hashed(text: str) -> bytes:
    # Headers may contain lone surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
