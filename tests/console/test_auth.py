"""Auth: who has access, and that pages of other sites have none."""

from __future__ import annotations

import asyncio
import http.cookies
import re
import time
from contextlib import suppress

import httpx
import pytest
from starlette.datastructures import Headers

from edge_agent.config.model import ConsoleConfig
from edge_agent.config.secrets import ConsoleSecrets
from edge_agent.console.auth import Auth
from edge_agent.console.limits import FREE_FAILURES
from edge_agent.console.sessions import IDLE_SECONDS
from tests.console.served import PASSWORD, TOKEN, served
from tests.faces import HOPPER, portrait

GUESS = "a guess"
EVERYTHING = ["/api/v1/status", "/api/v1/alerts", "/api/v1/cameras/door/frame.jpg", "/metrics", "/openapi.json"]


class Browser:
    """Acts like a browser: keeps the cookie, sends the origin and the CSRF token of its page."""

    def __init__(self, console, **options):
        self.client = console.client(follow_redirects=False, **options)
        self.origin = {"Origin": console.url}
        self.console = console

    @property
    def cookie(self):
        (cookie,) = self.client.cookies.jar
        return cookie

    @property
    def csrf(self):
        """The CSRF token of the current page."""
        page = self.client.get("/login", follow_redirects=True)
        assert page.status_code == 200
        found = re.search(r'name="csrf-token" content="([0-9a-f]{64})"', page.text)
        assert found, page.text
        return found[1]

    def log_in(self, password=PASSWORD, **fields):
        form = {"password": password, "csrf": self.csrf, "next": "/alerts?camera=door", **fields}
        return self.client.post("/login", data=form, headers=self.origin)


@pytest.fixture
def browser(locked):
    made = Browser(locked)
    yield made
    made.client.close()


# programs


@pytest.mark.parametrize("path", EVERYTHING)
def test_nothing_is_served_without_the_token(locked, path):
    with locked.client() as client:
        answer = client.get(path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == {"detail": "log in, or send the token as 'Authorization: Bearer'"}


def test_the_token_opens_everything_and_needs_no_cookie(locked):
    with locked.client(token=TOKEN) as client:
        assert client.get("/api/v1/status").status_code == 200
        assert client.post("/api/v1/commands/pause").status_code == 200
        assert client.get("/metrics").status_code == 200
        assert not client.cookies


@pytest.mark.parametrize(
    "authorization", ["Bearer wrong", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer", f"Basic {TOKEN}", TOKEN]
)
def test_a_wrong_token_is_rejected(locked, authorization):
    with locked.client() as client:
        assert client.get("/api/v1/status", headers={"Authorization": authorization}).status_code == 401


@pytest.mark.usefixtures("long_login_delay")
def test_guessing_tokens_is_delayed_increasingly(locked):
    with locked.client(token=GUESS) as client, locked.client(token=TOKEN) as program:
        answers = [client.get("/api/v1/status") for _ in range(FREE_FAILURES + 1)]

        assert [answer.status_code for answer in answers] == [401] * FREE_FAILURES + [429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        # Even the right token is rejected now: it could be the next guess.
        assert program.get("/api/v1/status").status_code == 429


def test_a_known_client_is_not_locked_out_by_its_neighbour(locked):
    with locked.client(token=GUESS) as client, locked.client(token=TOKEN) as program:
        assert program.get("/api/v1/status").status_code == 200
        assert [client.get("/api/v1/status").status_code for _ in range(5)] == [401] * 5
        assert program.get("/api/v1/status").status_code == 200


def test_health_endpoints_need_no_login(locked):
    with locked.client() as client:
        assert client.get("/health").json() == {"ok": True, "reasons": ["camera_away"]}
        assert client.get("/ready").status_code == 200


# users


def test_a_page_without_a_login_leads_to_it_and_back(locked, browser):
    redirect = browser.client.get("/alerts?camera=door")

    assert redirect.status_code == 303
    assert redirect.headers["location"] == "/login?next=%2Falerts%3Fcamera%3Ddoor"

    assert browser.log_in().headers["location"] == "/alerts?camera=door"
    assert browser.client.get("/api/v1/status").status_code == 200


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(browser):
    before = browser.csrf
    cookie_before = browser.cookie.value
    answer = browser.log_in()
    (cookie,) = http.cookies.SimpleCookie(answer.headers["set-cookie"]).values()

    assert (cookie["httponly"], cookie["samesite"], cookie["path"], cookie["secure"]) == (True, "Strict", "/", "")
    assert "max-age" not in answer.headers["set-cookie"].lower()
    # A cookie planted before the login is invalid after it.
    assert browser.cookie.value != cookie_before
    assert browser.csrf != before


@pytest.mark.usefixtures("long_login_delay")
def test_a_wrong_password_is_reported_and_the_fourth_is_delayed(browser):
    answers = [browser.log_in("wrong") for _ in range(FREE_FAILURES + 1)]

    assert ["wrong" in answer.headers["location"] for answer in answers] == [True] * FREE_FAILURES + [False]
    assert answers[-1].headers["location"].startswith("/login?problem=wait&seconds=")
    # Even the right password is rejected now: it could be the next guess.
    assert "problem=wait" in browser.log_in().headers["location"]
    assert browser.client.get("/api/v1/status").status_code == 401


def test_a_login_form_of_another_site_is_rejected(browser):
    assert "problem=expired" in browser.log_in(csrf="0" * 64).headers["location"]
    assert "problem=expired" in browser.log_in(csrf="").headers["location"]
    assert browser.client.get("/api/v1/status").status_code == 401


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "", "/login", "/a\nb"],
)
def test_no_login_leads_to_another_site(browser, wanted):
    assert browser.log_in(next=wanted).headers["location"] == "/"


def test_a_login_form_of_a_megabyte_is_not_read(browser):
    # The connection is closed after the answer, possibly before everything was sent.
    with suppress(httpx.NetworkError):
        assert browser.log_in("x" * 1_000_000).status_code == 413

    assert browser.log_in().status_code == 303


def test_logging_out_ends_the_session(browser):
    browser.log_in()
    cookie = browser.cookie.value
    out = browser.client.post("/logout", data={"csrf": browser.csrf}, headers=browser.origin)

    assert out.headers["location"] == "/login"
    assert browser.client.get("/api/v1/status").status_code == 401
    browser.client.cookies.clear()
    again = browser.client.get(
        "/api/v1/status", headers={"Cookie": f"maskwatch-{browser.console.config.console.port}={cookie}"}
    )
    assert again.status_code == 401


def test_a_page_must_prove_its_origin_before_it_changes_anything(browser):
    browser.log_in()
    token = {"X-CSRF-Token": browser.csrf}
    post = lambda headers: browser.client.post("/api/v1/commands/pause", headers=headers).status_code  # noqa: E731

    assert post({}) == 403
    assert post({"X-CSRF-Token": "0" * 64}) == 403
    assert post({**token, "Origin": "https://evil.example"}) == 403
    assert post({**token, "Origin": "null"}) == 403
    assert browser.console.commands == []
    assert post({**token, **browser.origin}) == 200
    assert post(token) == 200


def test_a_session_expires(locked):
    now = [0.0]
    auth = Auth(ConsoleConfig(), ConsoleSecrets(password=PASSWORD), clock=lambda: now[0])
    headers = Headers({"host": "camera.example"})
    client = auth.authenticate(headers, scheme="http", address="192.0.2.1")
    cookie = asyncio.run(auth.log_in(client, "", PASSWORD))
    headers = Headers({"host": "camera.example", "cookie": f"other=1; {auth.cookie_name('http')}={cookie}"})

    client = auth.authenticate(headers, scheme="http", address="192.0.2.1")
    assert client.kind == "user"
    assert auth.is_still_valid(client)
    now[0] = IDLE_SECONDS + 1
    assert not auth.is_still_valid(client)
    client = auth.authenticate(headers, scheme="http", address="192.0.2.1")
    assert client.kind == "unauthenticated"


def test_a_session_expires_while_the_machine_is_suspended(monkeypatch):
    auth = Auth(ConsoleConfig(), ConsoleSecrets(password=PASSWORD))
    client = auth.authenticate(Headers({"host": "camera.example"}), scheme="http", address="192.0.2.1")
    cookie = asyncio.run(auth.log_in(client, "", PASSWORD))
    headers = Headers({"host": "camera.example", "cookie": f"{auth.cookie_name('http')}={cookie}"})
    assert auth.authenticate(headers, scheme="http", address="192.0.2.1").kind == "user"

    awake = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: awake + IDLE_SECONDS + 1)

    assert auth.authenticate(headers, scheme="http", address="192.0.2.1").kind == "unauthenticated"


def test_no_password_is_accepted_if_only_a_token_is_configured(tmp_path):
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    with served(tmp_path, token_file=str(tmp_path / "token")) as console:
        browser = Browser(console)
        for guess in ("", TOKEN):
            assert "problem=wrong" in browser.log_in(guess).headers["location"]
        browser.client.close()


# without a password: loopback only


@pytest.mark.parametrize("host", ["evil.example", "192.0.2.1", "localhost.evil.example", "127.0.0.1.evil.example"])
def test_a_rebound_host_name_is_not_answered(console, client, host):
    answer = client.get("/api/v1/status", headers={"Host": host})

    assert answer.status_code == 421
    assert "console.password_file" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "LOCALHOST:1", "[::1]:8080", "127.1.2.3"])
def test_the_names_of_this_machine_are_answered(client, host):
    assert client.get("/api/v1/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["", "a b", "local_host/../", "user@localhost", "localhost:port", "a" * 300])
def test_an_invalid_host_is_rejected(client, host):
    assert client.get("/api/v1/status", headers={"Host": host}).status_code == 400


def test_a_page_of_another_site_cannot_change_anything_through_a_browser(console, client):
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost:1",
        f"https://127.0.0.1:{console.config.console.port}",
    ):
        answer = client.post("/api/v1/commands/pause", headers={"Origin": origin})
        assert answer.status_code == 403
    assert console.commands == []


def test_a_local_program_needs_no_csrf_token_and_a_page_needs_one(console, client):
    browser = Browser(console)

    assert client.post("/api/v1/commands/pause").status_code == 200
    assert browser.client.post("/api/v1/commands/pause", headers=browser.origin).status_code == 403
    token = {"X-CSRF-Token": browser.csrf}
    assert browser.client.post("/api/v1/commands/pause", headers={**browser.origin, **token}).status_code == 200
    browser.client.close()


# behind a proxy on this machine


@pytest.mark.usefixtures("long_login_delay")
def test_forwarding_headers_of_a_local_proxy_are_trusted(locked):
    forwarded = {"Host": "camera.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "198.51.100.9"}
    browser = Browser(locked)
    browser.client.headers.update(forwarded)
    browser.origin = {"Origin": "https://camera.example"}
    page = browser.client.get("/login")

    assert page.headers["strict-transport-security"].startswith("max-age=")
    assert page.headers["set-cookie"].startswith("__Host-maskwatch-")
    assert "; Secure" in page.headers["set-cookie"]
    # Guesses through the proxy are attributed to the forwarded address.
    with locked.client(token=GUESS) as guesser, locked.client(token=TOKEN) as program:
        for _ in range(FREE_FAILURES + 1):
            guesser.get("/api/v1/status", headers={"X-Forwarded-For": "203.0.113.7"})
        assert program.get("/api/v1/status", headers={"X-Forwarded-For": "198.51.100.9"}).status_code == 200
        assert program.get("/api/v1/status", headers={"X-Forwarded-For": "203.0.113.7"}).status_code == 429
    browser.client.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/status", "/api/v1/cameras/door/frame.jpg", "/alerts", "/metrics", "/health"])
def test_a_page_of_another_site_reads_nothing_though_no_password_is_set(console, client, headers, path):
    console.show(portrait(HOPPER))

    assert client.get(path, headers=headers).status_code == 403


def test_a_link_on_another_site_leads_to_a_page(client):
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    assert client.get("/alerts", headers=headers).status_code == 200


# all clients


def test_every_response_has_the_security_headers(console, client):
    for path in ("/health", "/nothing", "/api/v1/alerts/x", "/static/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
        assert "strict-transport-security" not in headers


def test_a_flood_of_requests_is_rate_limited(tmp_path):
    with served(tmp_path, max_requests_per_second=0.1) as console, console.client() as client:
        first, second = client.get("/health"), client.get("/health")

        assert (first.status_code, second.status_code) == (200, 429)
        assert 1 <= int(second.headers["retry-after"]) <= 11
        # Each address has its own limit.
        assert client.get("/health", headers={"X-Forwarded-For": "198.51.100.9"}).status_code == 200
