"""Login in a real browser: log in, log out and failed attempts, with a real agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.console.browsing import AGAIN_AND_AGAIN, CAMERA, PHONE, WatchedDoor, a_visitor
from tests.mosquitto import free_port

pytest.importorskip("playwright.sync_api", reason="needs the extra 'dev': pip install -e '.[dev]'")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.console.browsing import Client

PASSWORD, TOKEN = "correct horse battery", "staple of a program"


@pytest.fixture(scope="module")
def door(browser, tmp_path_factory) -> Iterator[WatchedDoor]:
    folder = tmp_path_factory.mktemp("door")
    secrets = {"password_file": PASSWORD, "token_file": TOKEN}
    for name, secret in secrets.items():
        (folder / name).write_text(f"{secret}\n")
        (folder / name).chmod(0o600)
    files: dict[str, Any] = {name: str(folder / name) for name in secrets}
    with WatchedDoor(folder, cameras={CAMERA: AGAIN_AND_AGAIN}, mqtt_port=free_port(), **files) as running:
        yield running


@pytest.fixture
def client(browser, door) -> Iterator[Client]:
    assert door.notifications
    with a_visitor(browser, door.origin) as client:
        yield client


def log_in(client: Client, path: str = "/") -> None:
    page = client.see(path)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_without_a_session_only_the_login_is_shown(client):
    page = client.see("/alerts?label=without_mask")

    expect(page.get_by_label("Password")).to_be_focused()
    assert page.get_by_role("navigation").count() == 0
    assert page.title() == "Log in · door-3 · maskwatch"


def test_the_login_redirects_to_the_requested_page(client):
    log_in(client, "/alerts?label=without_mask")

    assert client.page.url == f"{client.origin}/alerts?label=without_mask"


def test_a_wrong_password_is_reported_and_may_be_retried(client):
    page = client.see("/webcam")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Log in").click()

    expect(page.get_by_role("alert")).to_have_text("Wrong password.")
    expect(page.get_by_label("Password")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Password")).to_be_focused()
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/webcam")


def test_the_live_picture_is_shown_after_login(client):
    log_in(client)

    expect(client.page.locator(f"[data-camera={CAMERA}] canvas")).to_be_visible()


def test_logging_out_elsewhere_ends_a_live_page_too(client):
    log_in(client)
    expect(client.page.locator("#device-state")).not_to_have_text("connecting")
    second = client.context.new_page()
    second.goto(f"{client.origin}/webcam")

    second.get_by_role("button", name="Log out").click()

    expect(second.get_by_label("Password")).to_be_visible()
    client.page.bring_to_front()
    expect(client.page.get_by_label("Password")).to_be_visible()
    # A request of the live page may have been on its way.
    client.errors = [error for error in client.errors if "401" not in error]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_login_passes_the_accessibility_check_on_a_phone(browser, door, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with a_visitor(browser, door.origin, viewport=PHONE, color_scheme=scheme) as client:
        page = client.see("/login?problem=wrong")

        assert Axe().run(page).response["violations"] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
