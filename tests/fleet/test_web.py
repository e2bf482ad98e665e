"""Web: content and permissions for people and programs."""

from __future__ import annotations

import asyncio
import html
import io
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
import zipfile
from argparse import Namespace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from psycopg import sql

from edge_agent.config.model import ConsoleConfig
from edge_agent.console import server
from edge_agent.console.limits import FREE_FAILURES
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.messages.status import running
from fleet import database
from fleet.cli import main
from fleet.commands.web import run
from fleet.config import DatabaseConfig, FleetConfig
from fleet.messages import Picture
from fleet.store import store
from fleet.web.app import build
from fleet.web.auth import FleetAuth
from fleet.web.queries import A_PAGE, DEVICES_A_PAGE, AlertFilter, alerts_statement
from fleet.web.users import ROLES, current_role, set_user, user_of
from tests.fleet.samples import BOOT, alert, counts, now, resolved, telemetry
from tests.mosquitto import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import psycopg

    from tests.fleet.engines import Postgres

JPEG = b"\xff\xd8\xff picture"
TOKEN = secrets.token_hex()
PASSWORD = secrets.token_hex()
STORED_IN = ("devices", "alerts", "resolutions", "pictures", "counts", "site_hours", "streams")

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def shared(postgres: Postgres, prepared: str) -> Iterator[str]:
    """A database with users, shared because creating it and hashing passwords takes longer than most tests."""
    made = postgres.database(template=prepared)
    with database.connect(DatabaseConfig(conninfo=made), application="test") as opened:
        for role in ROLES:
            set_user(opened, role, role, PASSWORD)
    yield made
    postgres.drop(made)


@pytest.fixture
def conninfo(shared: str) -> Iterator[str]:
    """The shared database, emptied after the test."""
    yield shared
    with database.connect(DatabaseConfig(conninfo=shared), application="test") as opened:
        for table in STORED_IN:
            opened.execute(sql.SQL("delete from {}").format(sql.Identifier(table)))


@pytest.fixture
def app(conninfo: str, tmp_path: Path) -> Iterator[Any]:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    config = FleetConfig.model_validate(
        {"database": {"conninfo": conninfo}, "web": {"token_file": token, "max_requests_per_second": 10_000}}
    )
    with database.connection_pool(config.database, application="test") as pool:
        pool.wait(timeout=60)
        yield build(config, pool, FleetAuth(config.web, pool))


@pytest.fixture
async def program(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """An API client with the token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://fleet.test", headers=headers) as client:
        yield client


@pytest.fixture
async def browser(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A browser without a session."""
    headers = {"Accept": "text/html"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://fleet.test", headers=headers) as client:
        yield client


async def log_in(browser: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    page = await browser.get("/login")
    csrf = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
    form = {"name": name, "password": password, "csrf": csrf, "next": "/alerts"}
    answer = await browser.post("/login", data=form)
    page = await browser.get("/alerts")
    found = re.findall(r'name="csrf-token" content="([^"]+)"', page.text)
    browser.headers["X-CSRF-Token"] = found[0] if found else ""
    return answer


def fill(connection: psycopg.Connection) -> list[str]:
    """Store messages of three devices at two sites; returns the ids of the alerts, newest first."""
    made = [
        alert(f"{site}-{number}", sequence=sequence, when=now() - timedelta(minutes=sequence))
        for site, number in (("hall", 1), ("hall", 2), ("yard", 1))
        for sequence in (1, 2, 4)
    ]
    status = running("hall-1", reasons=(), paused=(), boot_id=BOOT, when=now())
    with connection.transaction():
        messages: list[Any] = [
            *made,
            resolved(made[0]),
            Picture("hall-1", made[0].id, JPEG),
            counts(entrance=9),
            status,
        ]
        store(connection, messages, site_of=FleetConfig().site_of)
    return sorted((one.id for one in made), reverse=True)


async def test_without_a_login_nothing_is_shown(browser: httpx.AsyncClient):
    for page in ("/", "/alerts", "/counts"):
        assert (await browser.get(page)).headers["location"].startswith("/login?next=")
    for path in ("/api/v1/alerts", "/api/v1/devices", "/metrics", "/openapi.json"):
        assert (await browser.get(path)).status_code == 401


async def test_a_person_logs_in_with_name_and_password(browser: httpx.AsyncClient):
    wrong = await log_in(browser, "viewer", "wrong password")
    assert "problem=wrong" in wrong.headers["location"]

    right = await log_in(browser, "viewer")

    assert right.headers["location"] == "/alerts"
    assert (await browser.get("/")).status_code == 200


async def test_guesses_are_delayed(browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch):
    # Long enough that it has not ended when a busy machine tries again.
    monkeypatch.setattr("edge_agent.console.limits.FIRST_PAUSE_SECONDS", 120.0)
    answers = [await log_in(browser, "viewer", "wrong password") for _ in range(6)]

    assert "problem=wait" in answers[-1].headers["location"]


async def test_guesses_at_once_are_delayed_as_those_one_by_one(
    browser: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("edge_agent.console.limits.FIRST_PAUSE_SECONDS", 120.0)
    page = await browser.get("/login")
    csrf = re.findall(r'name="csrf" value="([^"]+)"', page.text)[0]
    form = {"name": "viewer", "password": "wrong password", "csrf": csrf}

    answers = await asyncio.gather(*(browser.post("/login", data=form) for _ in range(10)))

    assert sum("=wrong" in answer.headers["location"] for answer in answers) == FREE_FAILURES


async def test_a_user_who_loses_a_role_loses_it_at_once(browser: httpx.AsyncClient, connection: psycopg.Connection):
    newest = fill(connection)[0]
    set_user(connection, "leaver", "operator", PASSWORD)
    await log_in(browser, "leaver")
    set_user(connection, "leaver", "viewer", PASSWORD)

    answer = await browser.put(f"/api/v1/alerts/{newest}/review", json={"review": "with_mask"})

    assert answer.status_code == 403


@pytest.mark.parametrize("change", ["update", "delete"])
async def test_a_changed_password_ends_the_sessions_of_its_user(
    browser: httpx.AsyncClient, connection: psycopg.Connection, change: str
):
    set_user(connection, "leaver", "operator", PASSWORD)
    await log_in(browser, "leaver")
    assert (await browser.get("/api/v1/devices")).status_code == 200

    if change == "update":
        set_user(connection, "leaver", "operator", "another password")
    else:
        connection.execute("delete from users where name = 'leaver'")

    page = await browser.get("/alerts?site=hall")
    assert (page.status_code, page.headers["location"]) == (303, "/login?next=%2Falerts%3Fsite%3Dhall")
    assert (await browser.get("/api/v1/devices")).status_code == 401
    assert "Log in" in (await browser.get("/login")).text


async def test_a_session_whose_password_has_changed_changes_nothing(
    browser: httpx.AsyncClient, connection: psycopg.Connection
):
    newest = fill(connection)[0]
    set_user(connection, "leaver", "operator", PASSWORD)
    await log_in(browser, "leaver")
    set_user(connection, "leaver", "operator", "another password")

    answer = await browser.put(f"/api/v1/alerts/{newest}/review", json={"review": "with_mask"})

    assert answer.status_code == 401
    assert connection.execute("select count(*) from alerts where review is not null").fetchone() == (0,)


@pytest.mark.parametrize(("role", "status"), [("viewer", 403), ("operator", 200), ("admin", 200)])
async def test_only_operators_may_review(
    browser: httpx.AsyncClient, connection: psycopg.Connection, role: str, status: int
):
    newest = fill(connection)[0]
    await log_in(browser, role)

    answer = await browser.put(f"/api/v1/alerts/{newest}/review", json={"review": "with_mask"})

    assert answer.status_code == status
    found = connection.execute("select review, reviewed_by from alerts where id = %s", [newest]).fetchone()
    assert found == (("with_mask", role) if status == 200 else (None, None))


async def test_a_review_without_the_pages_token_is_refused(browser: httpx.AsyncClient, connection: psycopg.Connection):
    newest = fill(connection)[0]
    await log_in(browser, "operator")
    del browser.headers["X-CSRF-Token"]

    answer = await browser.put(f"/api/v1/alerts/{newest}/review", json={"review": "with_mask"})

    assert answer.status_code == 403


async def test_reviewed_pictures_are_exported_into_one_folder_per_class(
    browser: httpx.AsyncClient, connection: psycopg.Connection
):
    fill(connection)
    connection.execute("update alerts set review = 'no_face'")
    await log_in(browser, "operator")
    assert (await browser.get("/api/v1/reviews.zip")).status_code == 403
    browser.cookies.clear()
    await log_in(browser, "admin")

    answer = await browser.get("/api/v1/reviews.zip")

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = archive.namelist()
        assert name.startswith("no_face/hall-1_")
        assert archive.read(name) == JPEG


async def test_a_review_as_another_violation_is_no_false_alarm(
    browser: httpx.AsyncClient, connection: psycopg.Connection
):
    ids = fill(connection)
    for alert_id, review in zip(ids, ("without_mask", "mask_worn_incorrectly", "with_mask", "no_face"), strict=False):
        connection.execute("update alerts set review = %s where id = %s", [review, alert_id])
    await log_in(browser, "viewer")

    answer = await browser.get("/alerts")

    assert re.findall(r'"alert-reviewed">([^<]+)<', answer.text) == ["confirmed"] * 2 + ["false alarm"] * 2


async def test_alerts_are_searched(program: httpx.AsyncClient, connection: psycopg.Connection):
    ids = fill(connection)
    connection.execute("update alerts set review = 'with_mask' where id = %s", [ids[0]])

    async def found(**parameters: str) -> int:
        return len((await program.get("/api/v1/alerts", params=parameters)).json()["alerts"])

    assert await found() == 9
    assert await found(site="hall") == 6
    assert await found(device="yard-1") == 3
    assert await found(label="mask_worn_incorrectly") == 0
    assert await found(review="with_mask") == 1
    assert await found(review="unreviewed", site="") == 8
    assert await found(since=(now() - timedelta(seconds=180)).isoformat()) == 6
    assert await found(since="0001-01-01T00:00") == 9
    assert await found(until="0001-01-01T00:00") == 0
    assert await found(until="9999-12-31T23:59") == 9
    assert await found(until=(now() - timedelta(seconds=180)).isoformat()) == 3
    assert await found(before=ids[3]) == 5
    assert (await program.get("/api/v1/counts", params={"until": "0001-01-01T00:00"})).json() == []


@pytest.mark.parametrize("path", ["alerts", "counts"])
@pytest.mark.parametrize("key", ["since", "until"])
@pytest.mark.parametrize("time", ["yesterday", "2026-02-30", "2026-13-01T00:00", "2026", "20260301", "0.5", "-1"])
async def test_an_invalid_time_is_rejected_with_one_reason(program: httpx.AsyncClient, path: str, key: str, time: str):
    answer = await program.get(f"/api/v1/{path}", params={key: time})

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(f"{key}: ")
    assert ";" not in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/api/v1/alerts", "/api/v1/counts", "/alerts", "/counts"])
async def test_a_range_that_ends_before_it_begins_is_rejected(browser: httpx.AsyncClient, path: str):
    await log_in(browser, "viewer")

    async def status(since: str, until: str) -> int:
        return (await browser.get(path, params={"since": since, "until": until})).status_code

    assert await status("2026-03-02T00:00Z", "2026-03-02T00:30+02:00") == 422
    # The rest of a range whose last hour has been read.
    assert await status("2026-03-02T00:00Z", "2026-03-02T00:00Z") == 200


@pytest.mark.parametrize(
    "query", ["alerts?day=2026-03-01", "alerts?sit=hall", "counts?label=", "devices?device=hall-1"]
)
async def test_an_unknown_parameter_is_rejected(program: httpx.AsyncClient, query: str):
    assert (await program.get(f"/api/v1/{query}")).status_code == 422


async def test_each_page_continues_after_the_previous_one(program: httpx.AsyncClient, connection: psycopg.Connection):
    made = [alert(sequence=number) for number in range(1, 2 * A_PAGE + 11)]
    with connection.transaction():
        store(connection, made, site_of=FleetConfig().site_of)

    seen, before = [], ""
    while True:
        page = (await program.get("/api/v1/alerts", params={"before": before})).json()
        seen += [one["id"] for one in page["alerts"]]
        before = page["before"]
        if not before:
            break

    assert seen == sorted((one.id for one in made), reverse=True)


async def test_a_full_last_page_leads_to_no_other(
    program: httpx.AsyncClient, browser: httpx.AsyncClient, connection: psycopg.Connection
):
    await log_in(browser, "viewer")
    made = [alert(f"hall-{number}", when=now()) for number in range(DEVICES_A_PAGE)]
    with connection.transaction():
        store(connection, made[:A_PAGE], site_of=FleetConfig().site_of)
    assert (await program.get("/api/v1/alerts")).json()["before"] == ""
    assert 'rel="next"' not in (await browser.get("/alerts")).text

    with connection.transaction():
        store(connection, made, site_of=FleetConfig().site_of)
    assert (await program.get("/api/v1/devices")).json()["after"] == ""
    assert 'rel="next"' not in (await browser.get("/")).text
    assert (await program.get("/api/v1/alerts")).json()["before"]


async def test_all_counts_of_many_sites_are_shown(
    program: httpx.AsyncClient, browser: httpx.AsyncClient, connection: psycopg.Connection
):
    await log_in(browser, "viewer")
    hour = now().replace(minute=0, second=0, microsecond=0)
    connection.execute(
        "insert into site_hours select %s - make_interval(hours => hour), 'site-' || site, 1, 1, 1, 1 "
        "from generate_series(1, 100) hour, generate_series(1, 20) site",
        [hour],
    )

    seen: list[tuple[str, str]] = []
    address: str | None = "/counts"
    pages = 0
    while address:
        text = (await browser.get(address)).text
        seen += re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td>', text)
        address = next(iter(re.findall(r'rel="next" href="(.*?)"', text)), "").replace("&amp;", "&")
        pages += 1
    first = (await program.get("/api/v1/counts")).json()
    second = (await program.get("/api/v1/counts", params={"until": first[-1]["begins"]})).json()

    assert len(seen) == len(set(seen)) == 2000
    assert pages == 3
    assert not {(row["begins"], row["site"]) for row in first} & {(row["begins"], row["site"]) for row in second}
    assert len({row["site"] for row in first if row["begins"] == first[-1]["begins"]}) == 20


@pytest.mark.parametrize("path", ["/alerts", "/counts"])
async def test_a_time_with_a_zone_is_shown_in_utc(browser: httpx.AsyncClient, path: str):
    await log_in(browser, "viewer")

    shown = await browser.get(path, params={"since": "2026-03-01T01:00:30+05:00"})
    impossible = await browser.get(path, params={"until": "0001-01-01T00:00+05:00"})

    assert re.findall(r"2026-0\d-\d\d.\d\d:\d\d", shown.text) == [
        "2026-02-28T20:00" if path == "/alerts" else "2026-02-28 20:00"
    ]
    assert impossible.status_code == 422


async def test_a_search_that_is_shown_is_the_one_that_was_made(browser: httpx.AsyncClient):
    await log_in(browser, "viewer")

    text = (await browser.get("/alerts", params={"since": "0987-03-01T01:00:30Z"})).text

    assert re.findall(r'name="since"[^>]* value="(.*?)"', text) == ["0987-03-01T01:00:30"]


@pytest.mark.parametrize("path", ["/", "/alerts", "/counts"])
async def test_a_site_without_devices_stays_selected(
    browser: httpx.AsyncClient, connection: psycopg.Connection, path: str
):
    fill(connection)
    await log_in(browser, "viewer")

    gone = (await browser.get(path, params={"site": "old <b>  hall"})).text
    there = (await browser.get(path, params={"site": "hall"})).text

    assert re.findall(r'<option value="([^"]*)" selected>', gone) == ["old &lt;b&gt;  hall"]
    assert re.findall(r'<option value="([^"]*)"( selected)?>', there)[:3] == [
        ("", ""),
        ("hall", " selected"),
        ("yard", ""),
    ]


async def test_an_encrypted_picture_is_a_download(browser: httpx.AsyncClient, connection: psycopg.Connection):
    shown, sealed = alert("hall-1"), alert("hall-2")
    with connection.transaction():
        pictures = [Picture("hall-1", shown.id, JPEG), Picture("hall-2", sealed.id, b"age-encryption.org/v1")]
        store(connection, [shown, sealed, *pictures], site_of=FleetConfig().site_of)
    await log_in(browser, "viewer")

    pages = [(await browser.get(path)).text for path in ("/alerts", f"/alerts/{shown.id}", f"/alerts/{sealed.id}")]

    assert [re.findall(r'<img src="/api/v1/alerts/(.*?)/crop"', page) for page in pages] == [[shown.id], [shown.id], []]
    assert [f'download="{sealed.id}.jpg.age"' in page for page in pages] == [False, False, True]


async def test_the_summary_of_an_empty_fleet_begins_with_a_number(browser: httpx.AsyncClient):
    await log_in(browser, "viewer")

    (summary,) = re.findall(r"<h1>Devices</h1>\s*<p[^>]*>(.*?)</p>", (await browser.get("/")).text)

    assert summary[0] == "0"


async def test_one_alert_shows_its_end_and_its_picture(program: httpx.AsyncClient, connection: psycopg.Connection):
    fill(connection)
    (with_picture,) = connection.execute("select alert::text from pictures").fetchone() or ("",)

    found = (await program.get(f"/api/v1/alerts/{with_picture}")).json()
    picture = await program.get(f"/api/v1/alerts/{with_picture}/crop")

    assert (found["resolved"], found["device"], found["has_picture"]) == ("left", "hall-1", True)
    assert (picture.headers["content-type"], picture.content) == ("image/jpeg", JPEG)


@pytest.mark.parametrize("path", ["/api/v1/alerts/01a21fc2-74c1-715b-8833-ebe5cc99f191", "/api/v1/alerts?before=1"])
async def test_missing_and_invalid_ids_are_reported(program: httpx.AsyncClient, path: str):
    answer = await program.get(path)

    assert answer.status_code in (404, 422)
    assert answer.json()["detail"]


async def test_devices_show_state_and_gaps(program: httpx.AsyncClient, connection: psycopg.Connection):
    fill(connection)

    found = (await program.get("/api/v1/devices", params={"site": "hall"})).json()["devices"]

    assert [(one["device"], one["state"], one["missing"]) for one in found] == [
        ("hall-1", "online", 1),
        ("hall-2", "unknown", 1),
    ]
    assert len((await program.get("/api/v1/gaps")).json()) == 3
    with connection.transaction():
        store(connection, [alert("new-1")], site_of=FleetConfig().site_of)
    assert (await program.get("/api/v1/devices", params={"site": "new"})).json()["devices"][0]["missing"] == 0


async def test_devices_are_chosen_by_their_state(
    program: httpx.AsyncClient, browser: httpx.AsyncClient, connection: psycopg.Connection
):
    fill(connection)
    connection.execute("update devices set heard = now() - interval '1 day' where device = 'hall-1'")
    rejected = json.dumps({"rollout": {"state": "rejected"}})
    connection.execute("update devices set telemetry = %s where device = 'yard-1'", [rejected])
    connection.commit()
    await log_in(browser, "viewer")

    async def found(state: str, **further: str) -> list[str]:
        answer = await program.get("/api/v1/devices", params={"state": state, **further})
        shown = (await browser.get("/", params={"state": state, **further})).text
        names = [one["device"] for one in answer.json()["devices"]]
        assert re.findall(r'href="/devices/(.*?)"', shown) == names
        return names

    assert await found("") == ["hall-1", "hall-2", "yard-1"]
    assert await found("unknown") == ["hall-2", "yard-1"]
    assert await found("unknown", site="hall") == ["hall-2"]
    assert await found("unknown", after="hall-2") == ["yard-1"]
    assert await found("online") == await found("silent") == ["hall-1"]
    assert await found("offline") == []
    assert await found("model_rejected") == ["yard-1"]
    assert (await program.get("/api/v1/devices", params={"state": "away"})).status_code == 422


async def test_pages_of_devices_keep_the_state(browser: httpx.AsyncClient, connection: psycopg.Connection):
    connection.execute(
        "insert into devices (device, site) select 'hall-' || number, 'hall' from generate_series(1000, %s) number",
        [1000 + DEVICES_A_PAGE],
    )
    connection.commit()
    await log_in(browser, "viewer")

    first = (await browser.get("/", params={"state": "unknown", "site": "hall"})).text
    (more,) = re.findall(r'rel="next" href="(.*?)"', first)
    second = (await browser.get(html.unescape(more))).text

    assert re.findall(r'href="/devices/(.*?)"', second) == [f"hall-{1000 + DEVICES_A_PAGE}"]
    assert "state=unknown" in more
    assert "state=unknown" in re.findall(r'class="pages".*?href="(.*?)"', second)[0]


async def test_one_device_with_absurd_sequences_hides_no_others(
    program: httpx.AsyncClient, browser: httpx.AsyncClient, connection: psycopg.Connection
):
    fill(connection)
    with connection.transaction():
        messages = [alert("hall-2", sequence=2**63 - 1, boot_id=f"boot {number}") for number in range(3)]
        store(connection, messages, site_of=FleetConfig().site_of)
    await log_in(browser, "viewer")

    for path in ("/api/v1/devices", "/api/v1/devices/hall-2", "/api/v1/gaps", "/metrics"):
        assert (await program.get(path)).status_code == 200, path
    for path in ("/", "/devices/hall-2"):
        assert (await browser.get(path)).status_code == 200, path


async def test_counts_are_summed_by_site_and_hour(program: httpx.AsyncClient, connection: psycopg.Connection):
    with connection.transaction():
        messages = [counts("hall-1", entrance=9), counts("hall-2", entrance=1, yard=2), counts("yard-1", entrance=5)]
        store(connection, messages, site_of=FleetConfig().site_of)

    found = (await program.get("/api/v1/counts")).json()

    assert [(one["site"], one["with_mask"], one["compliance"]) for one in found] == [("hall", 12, 1), ("yard", 5, 1)]


async def test_metrics_are_parsed_by_prometheus(program: httpx.AsyncClient, connection: psycopg.Connection):
    fill(connection)
    # Of a device whose clock is wrong.
    store(connection, [alert("hall-9", when=now() + timedelta(days=3650))], site_of=FleetConfig().site_of)

    text = (await program.get("/metrics")).text

    assert 'maskwatch_fleet_devices{state="online"} 1.0' in text
    assert 'maskwatch_fleet_missing_messages{state="lost"} 3.0' in text
    assert 'maskwatch_fleet_missing_messages{state="on_its_way"} 0.0' in text
    assert "maskwatch_fleet_alerts_last_hour 9.0" in text


async def test_every_page_is_rendered(browser: httpx.AsyncClient, connection: psycopg.Connection):
    newest = fill(connection)[0]
    await log_in(browser, "operator")

    for path in (
        "/",
        "/?site=hall",
        "/devices/hall-1",
        "/devices/hall-2",
        "/alerts",
        "/alerts?site=hall&device=&label=&review=unreviewed&since=&until=",
        f"/alerts/{newest}",
        "/counts",
        "/static/style.css",
        "/static/fleet/review.js",
    ):
        answer = await browser.get(path)
        assert answer.status_code == 200, path
    for path, status in (("/alerts/1", 422), ("/nowhere", 404)):
        answer = await browser.get(path)
        assert (answer.status_code, "To the devices" in answer.text) == (status, True)
    for path in ("/metrics", "/api/v1/nowhere"):
        assert (await browser.post(path)).headers["content-type"] == "application/json"


async def test_missing_messages_are_on_the_way_while_others_wait_and_lost_otherwise(
    browser: httpx.AsyncClient, connection: psycopg.Connection
):
    await log_in(browser, "viewer")
    for waiting, words in ((3, "2 on the way"), (0, "2 lost")):
        with connection.transaction():
            store(connection, [telemetry(rows=waiting, alert=2)], site_of=FleetConfig().site_of)
        for path in ("/", "/devices/hall-1"):
            assert words in (await browser.get(path)).text


async def test_a_device_has_its_history(program: httpx.AsyncClient, connection: psycopg.Connection):
    fill(connection)

    found = (await program.get("/api/v1/devices/hall-1")).json()

    assert (found["site"], found["state"], found["status"]["state"]) == ("hall", "online", "online")
    # Received: alerts 1, 2 and 4, a resolution, and counts of an hour.
    assert [(boot["boot_id"], boot["sent"], boot["missing"]) for boot in found["boots"]] == [(BOOT, 6, 1)]
    assert sum(day["alerts"] for day in found["days"]) == 3
    assert (await program.get("/api/v1/devices/unknown")).status_code == 404
    assert (await program.get("/api/v1/devices/a%00b")).status_code == 404


async def test_behind_a_proxy_path_every_link_has_the_prefix(
    browser: httpx.AsyncClient, connection: psycopg.Connection
):
    newest = fill(connection)[0]
    browser.headers["X-Forwarded-Prefix"] = "/fleet"

    page = (await browser.get("/fleet/login")).text
    for address in re.findall(r'(?:href|src|action|data-base)="(/[^"]*)"', page):
        assert address.startswith("/fleet"), address
    await log_in_behind_proxy(browser, "/fleet")
    for path in ("/fleet/", "/fleet/devices/hall-1", "/fleet/alerts", f"/fleet/alerts/{newest}", "/fleet/counts"):
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        for address in re.findall(r'(?:href|src|action|data-base)="(/[^"]*)"', answer.text):
            assert address.startswith("/fleet"), (path, address)


async def log_in_behind_proxy(browser: httpx.AsyncClient, prefix: str) -> None:
    csrf = re.findall(r'name="csrf" value="([^"]+)"', (await browser.get(f"{prefix}/login")).text)[0]
    form = {"name": "admin", "password": PASSWORD, "csrf": csrf, "next": "/alerts"}
    answer = await browser.post(f"{prefix}/login", data=form)
    assert answer.headers["location"] == f"{prefix}/alerts"


async def test_a_missing_database_is_reported(program: httpx.AsyncClient, postgres: Postgres):
    postgres.stop()
    try:
        answers = [await program.get("/api/v1/alerts") for _ in range(4)]
    finally:
        postgres.start()

    assert {(answer.status_code, "Retry-After" in answer.headers) for answer in answers} == {(503, True)}
    # The pool doubles the delay of each attempt.
    assert (await program.get("/health")).status_code == 200


async def test_a_review_is_refused_for_now_by_a_standby(browser: httpx.AsyncClient, connection: psycopg.Connection):
    newest = fill(connection)[0]
    await log_in(browser, "operator")
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("alter database {} set default_transaction_read_only = on").format(name))
    try:
        connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        answer = await browser.put(f"/api/v1/alerts/{newest}/review", json={"review": "with_mask"})
    finally:
        connection.execute(sql.SQL("alter database {} reset default_transaction_read_only").format(name))

    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


async def test_a_connection_that_a_restart_of_the_database_has_ended_is_replaced(
    program: httpx.AsyncClient, connection: psycopg.Connection
):
    connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity "
        "where datname = current_database() and pid <> pg_backend_pid()"
    )

    assert (await program.get("/api/v1/alerts")).status_code == 200


async def test_the_openapi_document_names_every_path(program: httpx.AsyncClient):
    paths = (await program.get("/openapi.json")).json()["paths"]

    assert {
        "/api/v1/alerts",
        "/api/v1/devices",
        "/api/v1/devices/{device}",
        "/api/v1/counts",
        "/api/v1/reviews.zip",
        "/metrics",
    } <= set(paths)


def test_any_request_is_answered_as_documented(app: Any, connection: psycopg.Connection, tmp_path: Path):
    fill(connection)
    port = free_port()
    is_listening, loop, end = threading.Event(), asyncio.new_event_loop(), asyncio.Event()
    config = ConsoleConfig(port=port)
    serving = threading.Thread(
        target=lambda: loop.run_until_complete(server.serve(app, config, end=end, listening=is_listening.set))
    )
    serving.start()
    try:
        assert is_listening.wait(30)
        # Access is tested above; the token has the role of a viewer. Forms send empty times, which mean none.
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
        command += [f"http://127.0.0.1:{port}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}"]
        command += ["--generation-deterministic", "--continue-on-failure", "--phases=coverage,fuzzing"]
        command += ["--max-examples=8", "--checks=all"]
        command += ["--exclude-checks=positive_data_acceptance,negative_data_rejection,ignored_auth"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    finally:
        loop.call_soon_threadsafe(end.set)
        serving.join(30)
        loop.close()

    assert "Test cases:" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout


def test_only_the_current_password_is_accepted(connection: psycopg.Connection):
    set_user(connection, "ann", "operator", PASSWORD)

    def role_of(name: str, password: str) -> str | None:
        user = user_of(connection, name, password)
        return user.role if user else None

    assert role_of("ann", PASSWORD) == "operator"

    set_user(connection, "ann", "viewer", "another password")

    assert role_of("ann", PASSWORD) is None
    assert role_of("ann", "another password") == "viewer"
    assert role_of("unknown", PASSWORD) is None


@pytest.mark.parametrize("key", ["port", "cert_file"])
def test_an_address_that_cannot_be_served_is_named_with_the_keys_of_the_fleet(
    conninfo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
):
    file = tmp_path / "no certificate"
    file.write_text("none")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = {
            "port": [f"web.port={taken.getsockname()[1]}"],
            "cert_file": [f"web.cert_file={file}", f"web.key_file={file}"],
        }
        sets = [f"--set={text}" for text in (f"database.conninfo={conninfo}", *options[key])]
        assert main(["web", *sets]) in (ConfigError.exit_code, UnavailableError.exit_code)

    assert f"web.{key}" in capsys.readouterr().err


def test_a_new_password_keeps_the_role(conninfo: str, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch):
    set_user(connection, "ann", "admin", PASSWORD)

    for name in ("ann", "ben"):
        monkeypatch.setattr("sys.stdin", io.StringIO("another password\n"))
        assert main(["web", "--set", f"database.conninfo={conninfo}", "--user", name]) == 0

    assert [current_role(connection, name) for name in ("ann", "ben")] == ["admin", "viewer"]
    assert user_of(connection, "ann", "another password")
    connection.execute("delete from users where name in ('ann', 'ben')")


def test_ctrl_d_instead_of_a_password_adds_no_user(conninfo: str, monkeypatch: pytest.MonkeyPatch):
    def end(_prompt: str) -> str:
        raise EOFError

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr("getpass.getpass", end)

    with pytest.raises(ConfigError, match="fewer than"):
        run(FleetConfig(database=DatabaseConfig(conninfo=conninfo)), Namespace(user="ann", role="viewer"))


@pytest.mark.parametrize(
    "wanted",
    [
        AlertFilter(),
        AlertFilter(site="hall"),
        AlertFilter(device="hall-1"),
        AlertFilter(site="hall", review="unreviewed"),
        AlertFilter(review="no_face"),
        AlertFilter(since=now() - timedelta(days=1), label="without_mask"),
        AlertFilter(before="01a21fc2-74c1-715b-8833-ebe5cc99f191"),
    ],
)
def test_every_search_of_alerts_uses_an_index(connection: psycopg.Connection, wanted: AlertFilter):
    fill(connection)
    connection.execute("set enable_seqscan = off")
    connection.execute("set enable_sort = off")
    text, values = alerts_statement(wanted)

    plan = connection.execute(b"explain " + text.as_bytes(connection), {**values, "limit": A_PAGE}).fetchall()

    assert not any(re.search(r"\bSort {2}\(|Seq Scan on alerts", line) for (line,) in plan)
