"""HTTP client: one answer of a camera: login, redirects, cookies, and a limit of time for the whole of it.

Basic (RFC 7617) and digest (RFC 7616) authentication. Only the host of the address is given user and password.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
import secrets
import ssl
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from edge_agent.config.redaction import shown_source
from edge_agent.errors import CameraError
from edge_agent.host.timed_response import TimedHandler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

# The strongest first. No camera is known to require another algorithm, such as SHA-512-256.
DIGESTS = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
# Attempts if a camera repeatedly calls its nonce stale.
MAX_LOGINS = 3
# Characters not to quote in an address: those reserved by RFC 3986, and the % of quoted ones.
NOT_QUOTED = "%/:?#[]@!$&'()*+,;="
_CHALLENGE = re.compile(r"([A-Za-z0-9-]+)(?:\s+(?=\S)|$)(?!=)")


class HttpClient:
    """Sends GET requests to the address of one camera. Owned by one thread."""

    def __init__(self, source: str, *, timeout_seconds: float) -> None:
        """Nothing is sent before `get`."""
        self._source, self._shown, self._timeout_seconds = source, shown_source(source), timeout_seconds
        parts = urlsplit(source)
        path, query = (quote(part, safe=NOT_QUOTED) for part in (parts.path or "/", parts.query))
        self._address = urlunsplit((parts.scheme.lower(), parts.netloc.rpartition("@")[2], path, query, ""))
        self._login = _Login(unquote(parts.username or ""), unquote(parts.password or ""), address=self._address)
        # Not `build_opener`, which adds a proxy, though cameras are in the local network, and follows redirects to FTP.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            TimedHandler(context=_unverified()),
            self._login,
            urllib.request.HTTPCookieProcessor(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    @contextmanager
    def get(self, headers: Mapping[str, str] | None = None) -> Iterator[http.client.HTTPResponse | None]:
        """Send a request, and give the response within the context; None if it is 304, not modified.

        Raises:
            CameraError: the camera cannot be reached, refuses the request, answers with something else than HTTP, or
                does not answer completely within the timeout; also while the response is read in the context.
        """
        request = urllib.request.Request(self._address, headers=dict(headers or {}))  # noqa: S310  (http or https: checked)
        try:
            with self._opener.open(request, timeout=self._timeout_seconds) as response:
                yield response
        except urllib.error.HTTPError as error:
            error.close()
            if error.code != http.client.NOT_MODIFIED:
                raise CameraError(f"{self._shown}: {self._refusal(error.code)}") from error
            yield None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CameraError(f"{self._shown}: {self._why_failed(error)}") from error

    def _refusal(self, code: int) -> str:
        if code == http.client.UNAUTHORIZED and self._login.is_unknown:
            return "requires authentication that is neither basic nor digest (401); enable one of these in its settings"
        is_login = code in (http.client.UNAUTHORIZED, http.client.FORBIDDEN)
        return refused_login(self._source, code) if is_login else _refusal(code)

    def _why_failed(self, error: Exception) -> str:
        """Describe why a request or reading its response failed, and what to do."""
        match error:
            case http.client.InvalidURL():
                return "contains a space in its host name; check the address"
            case TimeoutError():
                return (
                    f"connects, but does not answer completely within {self._timeout_seconds:g} s; restart the "
                    "camera, and check the network"
                )
            case OSError():
                reason = getattr(error, "reason", error)
                reason_text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
                return f"cannot be reached ({reason_text}); check the address, the camera's power and the network"
            case _:
                return "answers, but not with HTTP; check the port in the address"


def refused_login(address: str, code: int) -> str:
    """Describe what 401 or 403 means for this address, and what to do."""
    scheme, _, place = address.partition("://")
    if code == http.client.UNAUTHORIZED and "@" not in place:
        return (
            f"asks for user and password (401); write {scheme}://user:password@host/path, with special characters "
            "as %40"
        )
    return f"refuses user or password ({code}); check both in the address, with special characters as %40"


def _refusal(code: int) -> str:
    match code:
        case http.client.NOT_FOUND | http.client.GONE:
            return f"has no such path ({code}); look up the part of the address after the host in the camera's manual"
        case http.client.TOO_MANY_REQUESTS:
            return "receives requests too often (429); set a lower capture_fps, or close other viewers"
        case _ if code >= http.client.INTERNAL_SERVER_ERROR:
            return f"answers with a server error ({code}); too many viewers? Close others or restart the camera"
        case _ if code < http.client.BAD_REQUEST:
            return f"redirects, but not to a picture ({code}); use the address to which a browser is redirected"
        case _:
            return f"does not accept the request ({code}); check the address in the camera's manual"


@dataclass(frozen=True, slots=True)
class _Challenge:
    """How a server wants to be logged in to; scheme and keys in lower case."""

    scheme: str
    parameters: Mapping[str, str]

    @property
    def algorithm(self) -> str:
        return self.parameters.get("algorithm", "MD5").upper().removesuffix("-SESS")

    @property
    def is_known(self) -> bool:
        qop = self.parameters.get("qop", "auth")
        is_digest = self.scheme == "digest" and self.algorithm in DIGESTS and "auth" in _tokens(qop)
        return self.scheme == "basic" or (is_digest and "nonce" in self.parameters)

    @property
    def weakness(self) -> int:
        return len(DIGESTS) if self.scheme == "basic" else list(DIGESTS).index(self.algorithm)


class _Login(urllib.request.BaseHandler):
    """Authenticates as the camera requires, from the first response on with every request."""

    def __init__(self, user: str, password: str, *, address: str) -> None:
        self.user, self._password = user, password
        parts = urlsplit(address)
        self._host, self._is_encrypted = parts.hostname, parts.scheme == "https"
        self._challenge: _Challenge | None = None
        self._count = 0
        self.is_unknown = False
        """Whether the camera offers only unknown authentication schemes."""

    def http_request(self, request: urllib.request.Request) -> urllib.request.Request:
        """Add the credentials, once the camera's scheme is known."""
        if self._challenge is not None and self._may_send_credentials(request):
            self._count += 1
            request.add_unredirected_header("Authorization", self._authorization(self._challenge, request))
        return request

    https_request = http_request

    def http_error_401(self, req: Any, fp: Any, _code: int, _msg: str, headers: Any) -> Any:
        """Repeat the request with credentials; None if they were refused."""
        known = [challenge for challenge in _challenges(headers.get_all("WWW-Authenticate", ())) if challenge.is_known]
        if not self.user or not self._may_send_credentials(req):
            return None
        self.is_unknown = not known
        if not known:
            return None
        challenge = min(known, key=lambda challenge: challenge.weakness)
        # The nonce of an earlier request may have expired, even if the camera does not call it stale.
        logins = getattr(req, "logins", 0)
        if logins and (challenge.parameters.get("stale", "").lower() != "true" or logins >= MAX_LOGINS):
            self._challenge = None
            return None
        req.logins = logins + 1
        self._challenge, self._count = challenge, 0
        fp.close()
        return self.parent.open(req, timeout=req.timeout)

    def _may_send_credentials(self, request: urllib.request.Request) -> bool:
        """Whether a request, possibly after a redirect, goes to the host that may receive the credentials."""
        is_encrypted = request.type == "https"
        return urlsplit(request.full_url).hostname == self._host and (is_encrypted or not self._is_encrypted)

    def _authorization(self, challenge: _Challenge, request: urllib.request.Request) -> str:
        if challenge.scheme == "basic":
            return "Basic " + base64.b64encode(f"{self.user}:{self._password}".encode()).decode()
        stated = challenge.parameters
        nonce, client_nonce, count = stated["nonce"], secrets.token_hex(8), f"{self._count:08x}"

        def digest(*parts: str) -> str:
            return DIGESTS[challenge.algorithm](":".join(parts).encode(), usedforsecurity=False).hexdigest()

        secret = digest(self.user, stated.get("realm", ""), self._password)
        if stated.get("algorithm", "").upper().endswith("-SESS"):
            secret = digest(secret, nonce, client_nonce)
        request_digest = digest(request.get_method(), request.selector)
        fields = {"username": self.user, "realm": stated.get("realm", ""), "nonce": nonce, "uri": request.selector}
        bare = {}
        if "qop" in stated:
            fields |= {
                "cnonce": client_nonce,
                "response": digest(secret, nonce, count, client_nonce, "auth", request_digest),
            }
            bare = {"qop": "auth", "nc": count}
        else:
            fields["response"] = digest(secret, nonce, request_digest)
        if "opaque" in stated:
            fields["opaque"] = stated["opaque"]
        if "algorithm" in stated:
            bare["algorithm"] = stated["algorithm"]
        directives = [*(f"{name}={_quoted(value)}" for name, value in fields.items()), *map("=".join, bare.items())]
        return f"Digest {', '.join(directives)}"


def _challenges(headers: Iterable[str]) -> Iterator[_Challenge]:
    """Parse WWW-Authenticate: several challenges may be in separate headers or in one."""
    for header in headers:
        scheme = ""
        parameters: dict[str, str] = {}
        for item in urllib.request.parse_http_list(header):
            begins = _CHALLENGE.match(item)
            if begins:
                if scheme:
                    yield _Challenge(scheme, parameters)
                scheme, parameters = begins[1].lower(), {}
            name, mark, value = item[begins.end() if begins else 0 :].partition("=")
            if mark:
                parameters[name.strip().lower()] = re.sub(r"\\(.)", r"\1", value.strip().strip('"'))
        if scheme:
            yield _Challenge(scheme, parameters)


def _tokens(value: str) -> set[str]:
    return {token.strip().lower() for token in value.split(",")}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    # Headers are sent as Latin-1 but contain UTF-8.
    return f'"{escaped}"'.encode().decode("latin-1")


def _unverified() -> ssl.SSLContext:
    """A TLS context without verification, as for rtsps://: cameras have self-signed certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
