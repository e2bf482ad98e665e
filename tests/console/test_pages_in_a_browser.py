"""Pages in a real browser, with a real agent on the example recording."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from edge_agent.config.model import Config
from tests.console.browsing import (
    AGAIN_AND_AGAIN,
    AWAY,
    CAMERA,
    DEVICE,
    PHONE,
    WatchedDoor,
    a_visitor,
    two_people,
)
from tests.journeys.agent import EXAMPLE, run_command, wait_until
from tests.mosquitto import free_port
from tests.recordings import ffmpeg

pytest.importorskip("playwright.sync_api", reason="needs the extra 'dev': pip install -e '.[dev]'")

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page, Route

    from tests.console.browsing import Client

PAGES = ["/", "/alerts", "/webcam", f"/zones/{CAMERA}"]


@pytest.fixture(scope="module")
def door(browser, tmp_path_factory) -> Iterator[WatchedDoor]:
    """Depends on the browser: without one, no agent is started."""
    folder = tmp_path_factory.mktemp("door")
    cameras = {CAMERA: AGAIN_AND_AGAIN, AWAY: str(folder / "unplugged")}
    with WatchedDoor(folder, cameras=cameras, mqtt_port=free_port()) as running:
        yield running


@pytest.fixture
def client(browser, door) -> Iterator[Client]:
    # Read its notifications like a service manager: otherwise the agent blocks.
    assert door.notifications
    with a_visitor(browser, door.origin) as client:
        yield client


def an_alert(client: Client) -> str:
    """The URL of the newest unreviewed alert, once there is one."""
    page = client.see("/")
    page.locator("#newest .alert-card").first.wait_for()
    client.see("/alerts?review=unreviewed")
    address = page.locator(".gallery .alert-card").first.get_attribute("href")
    assert address
    return address


def wait_for_unreviewed(client: Client, count: int) -> None:
    """Wait until there are this many unreviewed alerts."""
    wait_until(
        lambda: client.see("/alerts?review=unreviewed").locator(".gallery .alert-card").count() >= count,
        f"{count} alerts",
    )


def pixels(page: Page) -> Any:
    return page.evaluate("document.querySelector('[data-camera] canvas').toDataURL('image/jpeg', 0.5)")


def wait_for(page: Page, what: str) -> None:
    """Wait until an expression is true. Playwright's own function uses eval, which the pages' CSP forbids."""
    wait_until(lambda: page.evaluate(what), what)


def test_the_live_picture_moves(client):
    page = client.see("/")
    canvas = page.locator(f"[data-camera={CAMERA}] canvas")
    expect(canvas).to_be_visible()
    first, index = pixels(page), canvas.get_attribute("data-index")

    wait_for(page, f"Number(document.querySelector('[data-camera] canvas').dataset.index) > {int(index or 0) + 8}")

    assert pixels(page) != first


def test_the_live_page_shows_the_status(client):
    page = client.see("/")

    expect(page.locator("#device-state")).to_have_text("degraded")
    expect(page.locator(f"[data-camera={CAMERA}] [data-state]")).to_have_text("watching")
    expect(page.locator(f"[data-camera={CAMERA}] [data-figure=size]")).to_have_text(re.compile("640.360"))
    wait_for(page, "parseFloat(document.querySelector('[data-figure=rate]').textContent) > 1")
    expect(page.locator("#latencies")).to_contain_text("whole frame")
    expect(page.locator("[data-device=waiting]")).to_contain_text("message")
    expect(page.locator("#broker-state")).to_have_text("broker away")


def test_a_missing_camera_is_shown_with_its_reason(client):
    page = client.see("/")

    expect(page.locator(f"[data-camera={AWAY}] [data-state]")).to_have_text("away")
    expect(page.locator(f"[data-camera={AWAY}] [data-message-why]")).to_contain_text("unplugged")
    expect(page.locator("#reasons")).to_contain_text(f"camera {AWAY}")


def test_an_alert_appears_without_a_reload_and_is_announced(client):
    page = client.see("/")
    page.evaluate("window.isTheSamePage = true")
    known = page.locator("#newest > li").count()

    wait_for(page, f"document.querySelectorAll('#newest > li').length > {known}")

    expect(page.locator("#newest-message")).to_have_text(f"New alert: no mask at {CAMERA}")
    assert page.locator("#newest-message").get_attribute("aria-live") == "polite"
    assert page.evaluate("window.isTheSamePage")


def test_a_paused_camera_shows_nothing_until_it_is_resumed(client):
    page = client.see("/")
    card = page.locator(f"[data-camera={CAMERA}]")
    expect(card.locator("canvas")).to_be_visible()

    card.get_by_role("button", name=f"Pause {CAMERA}").click()
    expect(card.locator("[data-state]")).to_have_text("paused")
    expect(card.locator("canvas")).to_be_hidden()
    expect(page.locator("#reasons")).to_contain_text("is paused")

    card.get_by_role("button", name=f"Resume {CAMERA}").click()
    expect(card.locator("canvas")).to_be_visible()
    expect(card.locator("[data-state]")).to_have_text("watching")


def test_the_gallery_is_filtered(client):
    an_alert(client)
    page = client.see("/alerts")
    expect(page.locator(".gallery > li").first).to_be_visible()

    page.get_by_label("Label").select_option("worn incorrectly")
    expect(page.get_by_role("heading", name="No matching alert")).to_be_visible()
    page.get_by_label("Label").select_option("no mask")
    expect(page.locator(".gallery > li").first).to_contain_text("no mask")
    page.get_by_label("Camera").select_option(AWAY)
    expect(page.get_by_role("heading", name="No matching alert")).to_be_visible()
    page.get_by_role("link", name="Clear").click()
    expect(page.locator(".gallery > li").first).to_be_visible()


def test_a_day_of_the_chart_leads_to_its_alerts(client):
    an_alert(client)
    page = client.see("/alerts")

    page.locator(".chart a").last.click()

    assert "day=20" in page.url
    expect(page.locator(".chart a[aria-current]")).to_have_count(1)
    expect(page.locator(".gallery > li").first).to_be_visible()
    page.get_by_text("As a table").click()
    # Columns: one count per label, and their sum.
    counts = page.locator("tbody tr").first.locator("td").all_inner_texts()
    assert int(counts[0]) + int(counts[1]) == int(counts[2]) > 0


def test_a_false_alarm_is_stored_and_exported_for_training(client, door, tmp_path):
    page = client.see(an_alert(client))
    expect(page.locator("#review-state")).to_have_text("not reviewed")

    page.get_by_role("radio", name="Mask worn properly").check()
    page.get_by_role("button", name="Save review").click()
    expect(page.locator("#review-state")).to_have_text("false alarm")
    page.reload()
    expect(page.locator("#review-state")).to_have_text("false alarm")
    client.see("/alerts?review=with_mask")
    expect(page.locator(".gallery .alert-reviewed").first).to_have_text("false alarm")

    exported = run_command("alerts", "export", tmp_path / "reviewed", "--config", door.config_file)
    assert exported.returncode == 0, exported.stderr
    assert len(list((tmp_path / "reviewed" / "with_mask").iterdir())) == 1


def test_alerts_are_reviewed_one_after_the_other_by_keys(client):
    # Two are reviewed, and the last step needs an unreviewed one.
    wait_for_unreviewed(client, 3)
    page = client.see(an_alert(client))
    page.keyboard.press("1")
    expect(page.locator("#review-state")).to_have_text("confirmed")
    first = page.url

    with page.expect_navigation():
        page.keyboard.press("j")
    assert page.url != first
    with page.expect_navigation():
        page.keyboard.press("k")
    assert page.url == first
    with page.expect_navigation():
        page.keyboard.press("u")
    expect(page.locator("#review-state")).to_have_text("not reviewed")

    page.keyboard.press("2")
    # The label of another violation confirms the alert too.
    expect(page.locator("#review-state")).to_have_text("confirmed")
    page = client.see("/alerts")
    page.locator("#unreviewed").click()
    assert "review=unreviewed" in page.url


def test_several_alerts_are_reviewed_at_once(client):
    an_alert(client)
    page = client.see("/")
    wait_for(page, "document.querySelectorAll('#newest > li').length >= 2")
    page = client.see("/alerts")
    expect(page.get_by_role("button", name="Save")).to_be_disabled()

    page.get_by_role("checkbox").nth(0).check()
    page.get_by_role("checkbox").nth(1).check()
    expect(page.get_by_role("button", name="Save 2")).to_be_enabled()
    page.get_by_label("Review selected alerts as").select_option("No face")
    chosen = [box.get_attribute("data-choose") for box in page.get_by_role("checkbox").all()[:2]]
    with page.expect_navigation():
        page.get_by_role("button", name="Save 2").click()

    client.see("/alerts?review=no_face")
    reviewed = page.locator("#gallery > li").evaluate_all("cards => cards.map(({ dataset }) => dataset.alert)")
    assert set(chosen) <= set(reviewed)
    page.get_by_role("button", name="Select all").click()
    assert all(box.is_checked() for box in page.get_by_role("checkbox").all())


def test_alerts_of_a_range_of_time_are_shown(client):
    an_alert(client)
    page = client.see("/alerts")

    page.get_by_label("From").fill("2020-01-01T08:00")
    page.get_by_label("To", exact=True).fill("2020-01-01T17:00")
    page.get_by_role("button", name="Show").click()

    expect(page.get_by_role("heading", name="No matching alert")).to_be_visible()
    assert "since=2020-01-01T08%3A00&until=2020-01-01T17%3A00" in page.url
    expect(page.get_by_label("From")).to_have_value("2020-01-01T08:00")


@pytest.mark.parametrize("path", ["/", "/alerts"])
def test_the_title_counts_alerts_while_another_tab_is_open(client, path):
    page = client.see(path)
    title = page.title()
    look_away = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true}); " + (
        "document.dispatchEvent(new Event('visibilitychange'))"
    )

    page.evaluate(look_away % "true")
    wait_until(lambda: re.match(r"\(\d+\) ", page.title()), "the alert is counted")
    assert page.title().endswith(f") {title}")
    page.evaluate(look_away % "false")

    assert page.title() == title


SOUNDED = """() => { window.tones = 0;
    const create = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function () { window.tones += 1; return create.call(this); }; }"""


def test_a_new_alert_is_played_if_sound_is_on(client):
    page = client.see("/")
    page.evaluate(SOUNDED)
    known = page.locator("#newest > li").count()
    wait_for(page, f"document.querySelectorAll('#newest > li').length > {min(known, 11)}")
    assert page.evaluate("window.tones") == 0

    page.get_by_role("button", name="Sound: off").click()
    heard = page.evaluate("window.tones")
    assert heard > 0
    wait_for(page, f"window.tones > {heard}")

    page = client.see("/alerts")
    page.get_by_role("button", name="Sound: on").click()
    page.reload()
    expect(page.get_by_role("button", name="Sound: off")).to_be_visible()


def rules_shown(page: Page) -> Any:
    """The rules in the lines for config.yaml."""
    return yaml.safe_load(page.get_by_label("Lines for config.yaml").input_value())["cameras"][CAMERA]["rules"]


def test_a_zone_drawn_by_mouse_or_keys_becomes_valid_configuration(client):
    page = client.see(f"/zones/{CAMERA}")
    wait_for(page, "document.getElementById('frame').naturalWidth > 0")
    assert rules_shown(page) == {"exclusion_zones": []}

    page.get_by_role("button", name="Add a zone").click()
    first = page.get_by_role("button", name="Corner 1 of zone 1")
    expect(first).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    assert rules_shown(page)["exclusion_zones"] == [[[0.34, 0.3], [0.65, 0.35], [0.65, 0.65], [0.35, 0.65]]]

    area = page.locator("#picture").bounding_box()
    corner = page.get_by_role("button", name="Corner 3 of zone 1").bounding_box()
    assert area
    assert corner
    page.mouse.move(corner["x"] + corner["width"] / 2, corner["y"] + corner["height"] / 2)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.9 * area["width"], area["y"] + 0.8 * area["height"])
    # A corner dragged beyond the edge stays at the edge.
    page.mouse.move(area["x"] + 1.1 * area["width"], area["y"] + 0.8 * area["height"])
    page.mouse.up()
    x, y = rules_shown(page)["exclusion_zones"][0][2]
    assert x == 1
    assert y == pytest.approx(0.8, abs=0.01)

    page.locator("#picture").click(position={"x": 0.2 * area["width"], "y": 0.5 * area["height"]})
    (zone,) = rules_shown(page)["exclusion_zones"]
    assert len(zone) == 5
    # Inserted into the nearest side: between the last corner and the first.
    assert zone[4] == [pytest.approx(0.2, abs=0.01), pytest.approx(0.5, abs=0.01)]
    page.keyboard.press("Delete")
    assert len(rules_shown(page)["exclusion_zones"][0]) == 4
    Config.model_validate({"cameras": {CAMERA: {"source": "door.mp4", "rules": rules_shown(page)}}})

    page.get_by_role("button", name="Remove zone 1").click()
    assert rules_shown(page) == {"exclusion_zones": []}
    page.get_by_role("button", name="Reload").click()
    expect(page.locator("#status")).to_have_text("The agent has reloaded its configuration.")


def test_a_review_can_be_removed(client):
    address = an_alert(client)
    page = client.see(address)
    page.get_by_role("radio", name="No mask").check()
    page.get_by_role("button", name="Save review").click()
    expect(page.locator("#review-state")).to_have_text("confirmed")

    page.get_by_role("button", name="Remove review").click()

    expect(page.locator("#review-state")).to_have_text("not reviewed")
    page.reload()
    expect(page.locator("#review-state")).to_have_text("not reviewed")
    expect(page.get_by_role("radio", checked=True)).to_have_count(0)


def test_an_alert_shows_its_crop_and_the_evidence_that_led_to_it(client):
    page = client.see(an_alert(client))

    crop = page.locator(".crop img")
    wait_for(page, "document.querySelector('.crop img').naturalWidth > 30")
    assert crop.get_attribute("alt")
    assert page.locator(".chart .dot").count() >= 2
    expect(page.locator(".chart .threshold")).to_have_count(2)
    expect(page.locator("#timeline-message")).to_contain_text("from +")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename.startswith(f"{CAMERA}_")
    assert download.value.path().read_bytes()[:2] == b"\xff\xd8"


def test_an_alert_is_deleted_after_a_confirmation(client):
    address = an_alert(client)
    page = client.see(address)

    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/alerts")

    assert page.goto(client.origin + address).status == 404
    expect(page.get_by_role("heading", name="No such alert")).to_be_visible()
    client.errors = [error for error in client.errors if "404" not in error]


def test_the_webcam_page_draws_boxes_into_the_visitors_own_picture(client):
    page = client.see("/webcam")

    page.get_by_role("button", name="Open my camera").click()

    wait_for(page, "Number(document.getElementById('boxes').dataset.faces) > 0")
    expect(page.locator("#found")).to_contain_text("px, face")
    assert drawn(page) > 100
    assert page.evaluate("document.getElementById('video').videoWidth") == 640
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#stage-message")).to_be_visible()
    assert drawn(page) == 0


def test_a_dropped_picture_is_analysed(client, tmp_path):
    page = client.see("/webcam")
    content = list(two_people(tmp_path).read_bytes())
    dropped = page.evaluate_handle(
        """content => { const held = new DataTransfer();
            held.items.add(new File([new Uint8Array(content)], "two people.jpg", {type: "image/jpeg"}));
            return held; }""",
        content,
    )

    page.dispatch_event("#stage", "drop", {"dataTransfer": dropped})

    expect(page.locator("#found-count")).to_have_text("2")
    expect(page.locator("#found .badge.without_mask")).to_have_count(1)
    expect(page.locator("#found .badge.with_mask")).to_have_count(1)
    assert drawn(page) > 100


def test_an_uploaded_video_is_analysed_while_it_plays(client, tmp_path):
    # WebM plays in every Chromium; builds without proprietary codecs lack H.264.
    recording = tmp_path / "door.webm"
    ffmpeg("-ss", 3, "-t", 1, "-i", EXAMPLE, "-c:v", "libvpx", "-deadline", "realtime", "-b:v", "1M", recording)
    page = client.see("/webcam")

    page.locator("#file").set_input_files(recording)

    wait_for(page, "Number(document.getElementById('boxes').dataset.faces) > 0")
    expect(page.locator("#pace-rate")).to_contain_text("a second")


def test_a_file_that_is_not_a_picture_is_reported(client, tmp_path):
    (tmp_path / "letter.jpg").write_text("dear all")
    page = client.see("/webcam")

    page.locator("#file").set_input_files(tmp_path / "letter.jpg")

    expect(page.locator("#problem")).to_contain_text("cannot open this file")


def test_a_denied_webcam_is_reported_with_a_remedy(client):
    page = client.see("/webcam")
    page.evaluate(
        """() => { navigator.mediaDevices.getUserMedia = async () => {
            throw new DOMException("no", "NotAllowedError"); }; }"""
    )

    page.get_by_role("button", name="Open my camera").click()

    expect(page.locator("#problem")).to_contain_text("Allow it next to the address")


@pytest.mark.parametrize("path", [*PAGES, "alert"])
def test_a_phone_scrolls_no_page_sideways(browser, door, path):
    with a_visitor(browser, door.origin, viewport=PHONE) as client:
        page = client.see(an_alert(client) if path == "alert" else path)
        page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        # Titles of cameras and devices may be 100 characters without a space.
        page.evaluate(
            """names => {
                const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
                while (texts.nextNode())
                    for (const name of names)
                        texts.currentNode.data = texts.currentNode.data.replaceAll(name, "M".repeat(100))
            }""",
            [CAMERA, DEVICE],
        )

        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        # Nothing is wider than its card either; wide elements scroll separately.
        over = page.evaluate(
            """() => [...document.querySelectorAll(".card p, .card table, .card dd, .card h2, .card h3, .card pre")]
                .filter(part => !part.closest(".scrolls, .strip, pre, .visually-hidden"))
                .filter(part => part.getBoundingClientRect().right > innerWidth).map(part => part.outerHTML)"""
        )
        assert over == []
        # The navigation is at the bottom of the screen.
        box = page.get_by_role("navigation", name="Pages").bounding_box()
        assert box
        assert box["y"] + box["height"] == PHONE["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_passes_the_accessibility_check(browser, door, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with a_visitor(browser, door.origin, color_scheme=scheme) as client:
        found = []
        # In dark mode only colours differ, and they are the same on most pages.
        options = {"resultTypes": ["violations"], **({} if scheme == "light" else {"runOnly": ["color-contrast"]})}
        for path in [an_alert(client), *(PAGES if scheme == "light" else ["/"])]:
            page = client.see(path)
            page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
            violations = Axe().run(page, options=options).response["violations"]
            found += [f"{path}: {rule['id']}: {rule['nodes'][0]['html']}" for rule in violations]
        assert found == []


def test_pages_follow_the_preferred_colour_scheme(browser, door):
    grounds = {}
    for scheme in ("light", "dark"):
        with a_visitor(browser, door.origin, color_scheme=scheme) as client:
            ground = client.see("/alerts").evaluate("getComputedStyle(document.documentElement).backgroundColor")
            grounds[scheme] = sum(map(int, ground.removeprefix("rgb(").removesuffix(")").split(",")))

    assert grounds["dark"] < 120
    assert grounds["light"] > 600


def test_reduced_motion_is_respected(browser, door):
    with a_visitor(browser, door.origin, reduced_motion="reduce") as client:
        page = client.see("/")
        page.locator("#newest .alert-card").first.wait_for()

        assert page.evaluate("getComputedStyle(document.querySelector('.alert-card')).animationName") == "none"


def test_every_control_is_reachable_by_keyboard_with_visible_focus(client):
    page = client.see("/")
    expect(page.locator(f"[data-camera={CAMERA}] canvas")).to_be_visible()
    reached = []
    for _ in range(9):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.innerText.trim() || document.activeElement.id"))
        ring = page.evaluate(
            """() => { const {outlineStyle, outlineWidth} = getComputedStyle(document.activeElement);
                return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2; }"""
        )
        assert ring, f"the focus on {reached[-1]} is not visible"

    assert reached[0] == "Skip to the content"
    assert reached[2:7] == ["Live", "Alerts", "Counts", "Webcam", "API"]
    assert reached[7] == "All alerts"


def test_an_alert_can_be_reviewed_with_the_keyboard_only(client):
    an_alert(client)
    page = client.see("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="All alerts")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts")
    page.locator(".gallery .alert-card").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/*-*")

    tab_to(page, "input[name=review]")
    page.keyboard.press("ArrowDown")
    tab_to(page, "#review button")
    page.keyboard.press("Enter")

    expect(page.locator("#review-message")).to_contain_text("Saved")


def test_no_inline_script_is_run(browser, door):
    with a_visitor(browser, door.origin, fails_on_errors=False) as client:
        page = client.see("/")
        page.evaluate(
            """() => { const script = document.createElement("script");
                script.textContent = "window.wasRun = true"; document.body.append(script); }"""
        )

        assert page.evaluate("window.wasRun") is None
        assert "Content Security Policy" in " ".join(client.errors)


def test_a_picture_refused_by_a_busy_device_is_requested_again(client):
    an_alert(client)
    refused = []

    def answer(route: Any) -> None:
        refused.append(route.request.url)
        route.fulfill(status=503) if len(refused) == 1 else route.continue_()

    client.page.route("**/crop", answer)
    page = client.see("/alerts")

    wait_for(page, "[...document.querySelectorAll('.gallery img')].every(picture => picture.naturalWidth > 0)")
    assert refused.count(refused[0]) == 2
    expect(page.locator(".gallery img[hidden]")).to_have_count(0)


def test_a_change_refused_by_a_busy_device_is_requested_again(client):
    address = an_alert(client)
    refused = []

    def answer(route: Any) -> None:
        refused.append(route.request.url)
        busy = len(refused) == 1
        route.fulfill(status=503, headers={"Retry-After": "1"}) if busy else route.continue_()

    client.page.route("**/review", answer)
    page = client.see(address)
    page.get_by_role("radio", name="No mask").check()
    page.get_by_role("button", name="Save review").click()

    expect(page.locator("#review-state")).to_have_text("confirmed")
    assert len(refused) == 2


@pytest.mark.parametrize(
    ("path", "script", "buttons"),
    [
        ("/", "live.js", ["Sound: off"]),
        ("/alerts", "alerts.js", ["Sound: off", "Select all", "Save"]),
        ("{alert}", "alert.js", ["Save review", "Delete"]),
        ("/webcam", "webcam.js", ["Open my camera", "Choose a picture or video"]),
        (f"/zones/{CAMERA}", "zones.js", ["Add a zone", "Copy", "Reload"]),
    ],
)
def test_buttons_wait_for_the_script_that_serves_them(browser, door, path, script, buttons):
    with a_visitor(browser, door.origin, fails_on_errors=False) as client:
        path = path.format(alert=an_alert(client))
        client.page.route(f"**/static/{script}", lambda route: route.abort())
        page = client.see(path)

        for button in buttons:
            expect(page.get_by_role("button", name=button, exact=True)).to_be_disabled()


def test_what_is_chosen_before_the_script_runs_applies(browser, door):
    with a_visitor(browser, door.origin) as client:
        an_alert(client)
        page = client.page
        held: list[Route] = []
        page.route("**/static/alerts.js", lambda route: route.continue_() if held else held.append(route))
        page.goto(f"{door.origin}/alerts", wait_until="commit")
        page.locator("[data-choose]").first.check()
        page.get_by_label("Label").select_option("worn incorrectly")
        held[0].continue_()
        expect(page.get_by_role("heading", name="No matching alert")).to_be_visible()

        # The list of before is that of its address, although its filter was changed.
        page.go_back()
        expect(page.locator(".gallery > li").first).to_be_visible()
        expect(page.get_by_label("Label")).to_have_value("")

        held.clear()
        page.reload(wait_until="commit")
        page.locator("[data-choose]").first.check()
        held[0].continue_()
        expect(page.get_by_role("button", name="Save 1")).to_be_enabled()


def test_a_page_reports_a_lost_device_and_continues_when_it_returns(browser, door):
    with a_visitor(browser, door.origin, fails_on_errors=False) as client:
        page = client.see("/")
        page.evaluate("window.isTheSamePage = true")
        canvas = page.locator(f"[data-camera={CAMERA}] canvas")
        expect(canvas).to_be_visible()

        door.console.end()
        expect(page.get_by_role("alert").filter(has_text="is lost")).to_contain_text("Trying again")
        door.console.start()
        door.wait_until_ready()
        # On a slow machine the page may have reconnected already, and the button is hidden.
        page.evaluate(
            "document.getElementById('reconnect').offsetParent && document.getElementById('reconnect').click()"
        )

        expect(page.locator("#connection-lost")).to_be_hidden()
        index = int(canvas.get_attribute("data-index") or 0)
        wait_for(page, f"Number(document.querySelector('[data-camera] canvas').dataset.index) != {index}")
        expect(page.locator(f"[data-camera={CAMERA}] [data-state]")).to_have_text("watching")
        assert page.evaluate("window.isTheSamePage")


def drawn(page: Page) -> int:
    """Number of pixels of the box layer that are not transparent."""
    counted = page.evaluate(
        """() => { const layer = document.getElementById("boxes");
            const copy = new OffscreenCanvas(layer.width, layer.height).getContext("2d", {willReadFrequently: true});
            copy.drawImage(layer, 0, 0);
            const {data} = copy.getImageData(0, 0, layer.width, layer.height);
            return data.filter((value, index) => index % 4 === 3 && value > 0).length; }"""
    )
    return int(counted)


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the selected element has the focus."""
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached by the keyboard")
