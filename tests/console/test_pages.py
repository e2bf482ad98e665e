"""Pages: which page is rendered, and its content."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.console.served import jpeg, served

if TYPE_CHECKING:
    import httpx

    from tests.console.served import Served

UNKNOWN = "01950000-9da8-75b7-a2bc-cb65fb43ca63"


def page(client: httpx.Client, path: str, *, status: int = 200) -> str:
    """The HTML of a page, requested like a browser does."""
    answer = client.get(path, headers={"Accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    return answer.text


def test_without_alerts_a_message_replaces_chart_and_filter(client):
    gallery = page(client, "/alerts")

    assert "No alert yet" in gallery
    assert "filter-camera" not in gallery
    assert "No alerts yet." in page(client, "/")


def test_a_missing_or_encrypted_crop_has_a_reason(console, client):
    gone = console.keep_alert(crop=jpeg())
    (console.config.crops_folder / f"{gone}.jpg").unlink()
    sealed = console.keep_alert(crop=jpeg())
    picture = console.config.crops_folder / f"{sealed}.jpg"
    picture.rename(picture.with_suffix(".jpg.age"))
    never = console.keep_alert()

    assert "Deleted by age or size (crops.keep_days, keep_bytes)." in page(client, f"/alerts/{gone}")
    assert "Only the owner of one of the keys" in page(client, f"/alerts/{sealed}")
    assert ".jpg.age" in page(client, f"/alerts/{sealed}")
    assert "No picture" in page(client, f"/alerts/{never}")
    assert "<img src" not in page(client, f"/alerts/{never}").partition("<main")[2]


def test_a_page_of_many_alerts_leads_to_the_older_ones_and_back(console, client):
    ids = [console.keep_alert() for _ in range(30)]

    first = page(client, "/alerts?label=without_mask")
    assert ids[-1] in first
    assert ids[0] not in first
    assert f"/alerts?label=without_mask&amp;before={ids[6]}" in first
    second = page(client, f"/alerts?label=without_mask&before={ids[6]}")
    assert [alert for alert in ids if alert in second] == ids[:6]
    assert 'href="/alerts?label=without_mask">' in second


def test_values_of_an_alert_are_escaped(console, client):
    console.keep_alert(camera="<script>alert(1)</script>")

    for path in ("/", "/alerts", "/newest"):
        assert "<script>alert(1)" not in page(client, path)
        assert "&lt;script&gt;alert(1)" in page(client, path)


@pytest.mark.parametrize(
    "query",
    [
        "day=yesterday",
        "review=perhaps",
        "before=no-id",
        "label=%00",
        "camera=../..",
        "since=noon",
        "since=0001-01-01T00:00",
        "until=9999-12-31T23:59",
        "since=2026-03-02&until=2026-03-01",
    ],
)
def test_invalid_query_parameters_give_a_page(console, client, query):
    console.keep_alert()

    assert "<h1>Alerts</h1>" in page(client, f"/alerts?{query}")


def test_a_time_range_is_local_to_the_device_and_kept_in_links(console, client):
    alert_id = console.keep_alert()
    (message,) = client.get("/api/v1/alerts").json()["alerts"]
    when = datetime.fromisoformat(message["when"].replace("Z", "+00:00")).astimezone()
    minute, hour = (f"{when + timedelta(minutes=ahead):%Y-%m-%dT%H:%M}" for ahead in (0, 60))

    inside = page(client, f"/alerts?since={minute}&until={hour}")
    assert f"/alerts/{alert_id}" in inside
    assert f'value="{minute}"' in inside
    assert f"/alerts/{alert_id}" not in page(client, f"/alerts?since={hour}")
    assert f"/alerts/{alert_id}" not in page(client, f"/alerts?until={minute}")
    assert "since=" in page(client, f"/alerts?since={minute}").split('id="unreviewed"')[0].rsplit("href=", 1)[1]


def test_a_person_gets_a_page_where_a_program_gets_json(client):
    assert "<h1>No such alert</h1>" in page(client, f"/alerts/{UNKNOWN}", status=404)
    assert "Not Found" in page(client, "/nowhere", status=404)
    assert client.get("/nowhere").json() == {"detail": "Not Found"}


def test_an_unreadable_history_gives_an_error_page(console: Served, client):
    for suffix in ("", "-wal", "-shm"):
        console.config.store_file.with_name(console.config.store_file.name + suffix).unlink(missing_ok=True)
    console.config.store_file.mkdir()

    assert str(console.config.store_file) in page(client, "/alerts", status=503)
    # The browser reloads the page by itself.
    assert client.get("/alerts", headers={"Accept": "text/html"}).headers["Refresh"] == "2"


def test_a_folder_of_crops_that_cannot_be_read_is_reported(console: Served, client):
    console.keep_alert()
    folder = console.config.crops_folder
    # Leads to itself.
    folder.symlink_to(folder)

    assert str(folder) in page(client, "/alerts", status=503)
    assert str(folder) in client.get("/api/v1/alerts").json()["detail"]


def test_scripts_and_style_may_be_kept_but_not_used_unchecked_and_pages_may_not_be_kept(client):
    script = client.get("/static/live.js")
    assert script.headers["content-type"].startswith(("text/javascript", "application/javascript"))
    assert script.headers["cache-control"] == "public, no-cache"
    unchanged = client.get("/static/live.js", headers={"If-None-Match": script.headers["etag"]})
    assert (unchanged.status_code, unchanged.headers["cache-control"]) == (304, "public, no-cache")

    assert client.get("/static/nothing.js").headers["cache-control"] == "no-store"
    assert client.get("/static/..%2f__init__.py").status_code == 404
    assert client.get("/alerts").headers["cache-control"] == "no-store"


def test_the_favicon_is_served(client):
    assert client.get("/favicon.ico").content == client.get("/static/favicon.ico").content


def test_the_exclusion_zones_of_a_camera_can_be_edited(tmp_path):
    with (
        served(tmp_path, rules={"exclusion_zones": [[[0, 0], [0.5, 0], [0, 0.5]]]}) as console,
        console.client() as client,
    ):
        assert 'data-zones="[[[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]]]"' in page(client, "/zones/door")
        assert 'data-zones="[]"' in page(client, "/zones/back")
        assert "No such camera" in page(client, "/zones/elsewhere", status=404)
        assert "/zones/door" in page(client, "/")


def test_pages_show_titles_and_urls_contain_keys(tmp_path):
    with served(tmp_path, titles=("Library <3", "Main entrance"), display={"enabled": True}) as console:
        alert = console.keep_alert()
        with console.client() as client:
            for path in ("/", "/alerts", "/counts", f"/alerts/{alert}", "/display/door"):
                page = client.get(path).text
                assert "Main entrance" in page, path
                assert "Library &lt;3" in page or path == "/display/door"
            assert 'data-camera="door" data-title="Main entrance"' in client.get("/").text
            assert '<option value="door" selected>Main entrance</option>' in client.get("/alerts?camera=door").text
            assert '<option value="gone" selected>gone</option>' in client.get("/alerts?camera=gone").text
            assert client.get("/display/Main%20entrance").status_code == 404
