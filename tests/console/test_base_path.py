"""Base path: the console below a path of a reverse proxy, by configuration or header."""

from __future__ import annotations

import re

import httpx
import pytest

from edge_agent.config.model import ConsoleConfig
from tests.console.browsing import a_visitor
from tests.console.proxy import a_proxy
from tests.console.served import PASSWORD, TIMEOUT_SECONDS, jpeg, secret_files, served
from tests.faces import HOPPER, portrait

PREFIX = "/cameras/door-3"
INGRESS = "/api/hassio_ingress/Zx_0-9~a"
PAGES = ["/", "/alerts", "/counts", "/webcam", "/zones/door", "/display/door"]
WAYS = {
    "nginx, stripping, and saying so": (PREFIX, True, {"X-Forwarded-Prefix": PREFIX}, ""),
    "nginx, stripping, and the setting": (PREFIX, True, {}, PREFIX),
    "nginx, leaving it, and the setting": (PREFIX, False, {}, f"{PREFIX}/"),
    "Home Assistant's ingress": (INGRESS, True, {"X-Ingress-Path": INGRESS}, ""),
}


def addresses(page: str) -> list[str]:
    """Every address of this host in a page."""
    return re.findall(r'(?:href|src|action)="(/[^"]*)"', page)


@pytest.mark.parametrize("way", WAYS)
def test_every_address_of_every_page_leads_back_through_the_proxy(tmp_path, way):
    prefix, strips, headers, base_path = WAYS[way]
    with (
        served(tmp_path, base_path=base_path, display={"enabled": True}) as console,
        a_proxy(console.config.console.port, prefix, strips=strips, headers=headers) as proxy,
        httpx.Client(base_url=proxy, timeout=TIMEOUT_SECONDS) as client,
    ):
        alert = console.keep_alert(crop=jpeg())
        for path in [*PAGES, f"/alerts/{alert}", "/alerts?label=without_mask"]:
            found = addresses(client.get(prefix + path).text)
            assert found
            assert [one for one in found if not one.startswith(f"{prefix}/")] == []
        for address in set(addresses(client.get(f"{prefix}/alerts").text)):
            assert client.get(address).status_code == 200, address
        assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": prefix}]
        assert client.get("/alerts").status_code == 404, "the proxy's own"


@pytest.mark.parametrize(
    "prefix", ["//evil.example", "https://evil.example", "/a//b", "/a b", '/"><script>', "/" + "a" * 300, "/a/../b/%2e"]
)
def test_an_invalid_prefix_is_ignored(tmp_path, prefix):
    with served(tmp_path, **secret_files(tmp_path)) as console, console.client() as client:
        redirect = client.get("/alerts", headers={"X-Forwarded-Prefix": prefix})
        assert redirect.headers["location"] == "/login?next=%2Falerts"
        assert 'href="/static/style.css"' in client.get("/login", headers={"X-Forwarded-Prefix": prefix}).text


@pytest.mark.parametrize("wrong", ["maskwatch", "//maskwatch", "/a b", "https://host/x", "/a?b"])
def test_an_invalid_base_path_is_rejected(wrong):
    with pytest.raises(ValueError, match="base_path"):
        ConsoleConfig(base_path=wrong)


def test_only_the_ingress_may_show_pages_in_a_frame_of_its_own_site(tmp_path):
    with served(tmp_path) as console, console.client() as client:
        framed = client.get("/", headers={"X-Ingress-Path": INGRESS}).headers
        assert framed["x-frame-options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self'" in framed["content-security-policy"]
        for headers in ({}, {"X-Forwarded-Prefix": PREFIX}, {"X-Ingress-Path": "//evil.example"}):
            alone = client.get("/", headers=headers).headers
            assert alone["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in alone["content-security-policy"]


def test_two_devices_below_one_host_have_a_session_each(tmp_path):
    with served(tmp_path, **secret_files(tmp_path)) as console, console.client() as client:
        names = {
            client.get("/login", headers={"X-Forwarded-Prefix": prefix}).headers["set-cookie"].partition("=")[0]
            for prefix in ("/a", "/b", "")
        }
    assert len(names) == 3


@pytest.mark.parametrize("way", ["nginx, stripping, and saying so", "Home Assistant's ingress"])
def test_a_person_logs_in_watches_and_logs_out_through_the_proxy(browser, tmp_path, way):
    from playwright.sync_api import expect

    prefix, strips, headers, base_path = WAYS[way]
    with (
        served(tmp_path, base_path=base_path, **secret_files(tmp_path)) as console,
        a_proxy(console.config.console.port, prefix, strips=strips, headers=headers) as proxy,
        a_visitor(browser, proxy) as client,
    ):
        alert = console.keep_alert(crop=jpeg())
        page = client.see(f"{prefix}/alerts?camera=door")
        page.locator("#password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{proxy}{prefix}/alerts?camera=door")
        page.locator(".gallery .alert-card").first.click()
        page.wait_for_url(f"{proxy}{prefix}/alerts/{alert}")
        page.get_by_role("link", name="Live").click()
        console.show(portrait(HOPPER))
        expect(page.locator("[data-camera=door] canvas")).to_be_visible()
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(f"{proxy}{prefix}/login")
