"""Auth: authenticates requests and checks their permissions.

Users log in with the password and get a cookie; programs send the token as `Authorization: Bearer`. If neither is set
(on loopback only), every user of this machine has access; then pages of other sites must not reach the console through
a browser, so Host and Origin are checked.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser

from edge_agent.config.model import is_loopback
from edge_agent.console.limits import MAX_ADDRESSES, Attempts, client_network
from edge_agent.console.sessions import UNNAMED, Sessions, User, is_same, new_cookie
from edge_agent.host.clock import seconds_since_boot
from edge_agent.host.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.datastructures import Headers

    from edge_agent.config.model import ConsoleConfig
    from edge_agent.config.secrets import ConsoleSecrets
    from edge_agent.console.limits import Credential

HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?P<port>:[0-9]{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FORMS = frozenset({"/login", "/logout"})
"""These send the CSRF token in a form field and check it themselves."""
OPEN_PATHS = frozenset({"/health", "/ready", "/login", "/favicon.ico"})
OPEN_FOLDER = "/static/"
DISPLAY_FOLDER = "/display/"
"""Public if displays are enabled: the page shows nothing until its WebSocket is authenticated."""
PROGRAM_PATHS = ("/api/", "/metrics", "/openapi.json")

ClientKind: TypeAlias = Literal["user", "program", "anonymous", "unauthenticated"]


@dataclass(frozen=True, slots=True)
class Client:
    """The client: a user with a session cookie, a program with the token, anonymous if no password is set, or none.

    `address` is the unit of rate limiting, see `client_network`. `user` has no name unless a user of a fleet logged in.
    """

    kind: ClientKind
    cookie: str
    csrf: str
    address: str
    user: User = UNNAMED

    @property
    def is_authenticated(self) -> bool:
        """Whether the client is authenticated."""
        return self.kind != "unauthenticated"


class Auth:
    """Authenticates and authorises every request. Owned by the event loop; sessions expire during suspend, too.

    Every `check_` raises an HTTPException that refuses the request.
    """

    wrong_login = "Wrong password."

    def __init__(
        self,
        config: ConsoleConfig,
        secrets: ConsoleSecrets,
        *,
        has_displays: bool = False,
        clock: Callable[[], float] = seconds_since_boot,
    ) -> None:
        """`has_displays`: the pages for screens at the door are public."""
        self._secrets, self._clock = secrets, clock
        self._open_folders = (OPEN_FOLDER, DISPLAY_FOLDER) if has_displays else (OPEN_FOLDER,)
        self._port = config.port
        self.sessions = Sessions()
        # The rate is also the burst.
        self._buckets = lru_cache(MAX_ADDRESSES)(lambda _address: TokenBucket(config.max_requests_per_second))
        self._attempts = Attempts()
        self.login_lock = asyncio.Lock()
        """Held while a password is checked: guesses at once would all precede the first recorded failure."""

    @property
    def needs_login(self) -> bool:
        """Whether visitors must authenticate."""
        return bool(self._secrets.password or self._secrets.token)

    @property
    def takes_password(self) -> bool:
        """Whether users can log in; not if only a token is set."""
        return bool(self._secrets.password)

    def cookie_name(self, scheme: str, base_path: str = "") -> str:
        """The cookie's name: browsers send a host's cookies to all its ports, and `__Host-` cookies over https only.

        Cookies apply to the whole host: two devices below paths of one proxy need different names.
        """
        device = f"-{hashlib.sha256(base_path.encode()).hexdigest()[:8]}" if base_path else ""
        return f"{'__Host-' if scheme in ('https', 'wss') else ''}maskwatch-{self._port}{device}"

    def authenticate(self, headers: Headers, *, scheme: str, address: str, base_path: str = "") -> Client:
        """Authenticate a request; wrong tokens are refused with growing pauses.

        Raises:
            HTTPException: 401 or 429: the token is wrong, or was too often.
        """
        address = client_network(address)
        cookie = cookie_parser("; ".join(headers.getlist("cookie"))).get(self.cookie_name(scheme, base_path), "")
        csrf = self.sessions.csrf(cookie) if cookie else ""
        if not self.needs_login:
            return Client("anonymous", cookie, csrf, address)
        authorization = headers.get("authorization", "")
        if authorization[:7].lower() == "bearer ":
            return self._program(authorization[7:].strip(), address)
        if cookie and (user := self.sessions.find(cookie, at=self._clock())):
            return Client("user", cookie, csrf, address, user)
        return Client("unauthenticated", cookie, csrf, address)

    def with_cookie(self, client: Client) -> Client:
        """Give a client without a cookie one that only binds forms to their page."""
        cookie = new_cookie()
        return replace(client, cookie=cookie, csrf=self.sessions.csrf(cookie))

    def is_still_valid(self, client: Client) -> bool:
        """Whether a client who was authenticated before still is."""
        return client.kind != "user" or self.sessions.find(client.cookie, at=self._clock()) is not None

    def check_rate(self, address: str) -> None:
        """Refuse an address that exceeds its rate."""
        bucket, at = self._buckets(client_network(address)), self._clock()
        if not bucket.take(at=at):
            text = "too many requests from this address; slow down"
            raise HTTPException(429, text, _retry_after(bucket.wait_seconds(at=at)))

    def check_host(self, headers: Headers) -> None:
        """Refuse foreign host names: protection against DNS rebinding."""
        hosts = headers.getlist("host")
        found = HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None:
            raise HTTPException(400, "the Host header is missing or invalid")
        if not self.needs_login and not is_loopback(found["name"]):
            raise HTTPException(
                421,
                "without a password this console answers at localhost and 127.0.0.1 only; set console.password_file "
                "to reach it by another name",
            )

    def check_origin(self, headers: Headers, *, scheme: str) -> None:
        """Refuse cross-origin requests, including reads; following a link to our pages is allowed."""
        # A page at another port of this host is "same-site"; a typed or bookmarked address is "none".
        is_ours = headers.get("sec-fetch-site", "none") in ("same-origin", "none")
        is_link = (
            headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
        )
        if not is_ours and not is_link:
            raise HTTPException(403, "cross-origin request")
        # The proxy's public address; pages of other sites cannot set these headers.
        scheme = headers.get("x-forwarded-proto", scheme.replace("ws", "http"))
        hosts = (headers["host"], headers.get("x-forwarded-host", headers["host"]))
        allowed = [f"{scheme}://{host}".lower() for host in hosts]
        origins = headers.getlist("origin")
        if len(origins) > 1 or any(origin.lower() not in allowed for origin in origins):
            raise HTTPException(403, "cross-origin request; a reverse proxy must forward Host and X-Forwarded-Proto")

    def check_login(self, client: Client, *, method: str, path: str, query: str) -> None:
        """Refuse unauthenticated visitors; pages redirect to the login."""
        if client.is_authenticated or path in OPEN_PATHS or path.startswith(self._open_folders):
            return
        if method in SAFE_METHODS and not path.startswith(PROGRAM_PATHS):
            wanted = quote(path + (f"?{query}" if query else ""), safe="")
            raise HTTPException(303, "log in first", {"Location": f"/login?next={wanted}"})
        raise HTTPException(401, "log in, or send the token as 'Authorization: Bearer'", {"WWW-Authenticate": "Bearer"})

    def check_csrf(self, client: Client, headers: Headers, *, method: str, path: str) -> None:
        """Refuse changes without a CSRF token, unless a program makes them."""
        if method in SAFE_METHODS or client.kind == "program" or path in FORMS:
            return
        # A request without cookie and Origin comes from a program on this machine, not from a browser.
        if client.kind == "anonymous" and not client.cookie and "origin" not in headers:
            return
        if not client.csrf or not is_same(headers.get("x-csrf-token", ""), client.csrf):
            raise HTTPException(403, "the header X-CSRF-Token is missing or outdated; reload the page")

    def wait_seconds(self, client: Client) -> int:
        """How long until this client may try a password again; 0: now."""
        return self._attempts.wait_seconds(client.address, "password", at=self._clock())

    async def log_in(self, client: Client, name: str, password: str) -> str:
        """Check a password; returns the new cookie, or an empty string if the password is wrong."""
        user = await self._user(name, password)
        self._record(client.address, "password", is_right=user is not None)
        if user is None:
            return ""
        self.sessions.end(client.cookie)
        return self.sessions.begin(at=self._clock(), user=user)

    async def _user(self, _name: str, password: str) -> User | None:
        """The user with this password."""
        return UNNAMED if _is_secret(password, self._secrets.password) else None

    def accepts_display(self, client: Client, token: str) -> bool:
        """Whether a display is authenticated: by its own token, valid for nothing else, or by a user's session.

        After wrong tokens the right one is delayed as well.
        """
        if client.is_authenticated:
            return True
        if self._attempts.wait_seconds(client.address, "display", at=self._clock()):
            return False
        is_right = _is_secret(token, self._secrets.display_token)
        self._record(client.address, "display", is_right=is_right)
        return is_right

    def _program(self, token: str, address: str) -> Client:
        if wait_seconds := self._attempts.wait_seconds(address, "token", at=self._clock()):
            # Delay the right token too: otherwise the missing delay would reveal it.
            raise HTTPException(429, "too many wrong tokens or passwords; wait", _retry_after(wait_seconds))
        is_right = _is_secret(token, self._secrets.token)
        self._record(address, "token", is_right=is_right)
        if not is_right:
            raise HTTPException(401, "wrong token", {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return Client("program", "", "", address)

    def _record(self, address: str, credential: Credential, *, is_right: bool) -> None:
        if is_right:
            self._attempts.record_success(address, credential)
        else:
            self._attempts.record_failure(address, credential, at=self._clock())


def _is_secret(given: str, secret: str) -> bool:
    """Whether a secret is set, and is this one."""
    return bool(secret) and is_same(given, secret)


def set_cookie(name: str, value: str, *, scheme: str) -> str:
    """The value of a Set-Cookie header: HttpOnly, SameSite=Strict, a session cookie; the server enforces its expiry."""
    secure = "; Secure" if scheme == "https" else ""
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}"


def safe_target(path: str) -> str:
    """The target after login: a path of this site, to avoid an open redirect."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\", "/log"))
    return path if is_ours and path.isprintable() else "/"


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, round(seconds + 0.5)))}
