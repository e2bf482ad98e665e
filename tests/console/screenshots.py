"""`make screenshots`: pictures of the pages for the documentation, made from the example recording."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml

from edge_agent.alerts.database import history_entry
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.store import AlertStore
from edge_agent.domain import timestamp
from edge_agent.messages.alert import AlertMessage
from edge_agent.messages.ids import uuid7
from tests.console.browsing import AGAIN_AND_AGAIN, CAMERA, PHONE, WatchedDoor, a_browser, a_visitor, two_people
from tests.journeys.agent import QUICK, wait_until
from tests.mosquitto import Mosquitto

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parents[2] / "docs" / "images"
ALERTS = 4
"""Two playbacks of the recording, with two alerts each."""
DAYS_AGO = (0, 0, 1, 1, 1, 2, 3, 3, 4, 5, 5, 5, 5, 6, 8, 9, 9, 10, 12, 12, 13, 15, 16, 16, 17, 19, 22, 23, 23, 26)
"""Ages of the copied alerts, in days, so that the chart shows several days."""
TWO = 2
FREEZE_WITH_TWO_VERDICTS = """async () => {
  const badges = () => [...document.querySelectorAll("[data-faces] .badge")].map(({ textContent }) => textContent);
  while (badges().length !== 2 || badges().some((text) => text.includes("undecided")))
    await new Promise(requestAnimationFrame);
  // Later pictures are never decoded.
  globalThis.createImageBitmap = () => new Promise(() => {});
}"""
JPEG_QUALITY = 82


def main() -> None:
    """Run the agent, then take a screenshot of each page: desktop in the light theme, phone in the dark one."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        with Mosquitto(folder / "broker") as broker, ExitStack() as stack:
            door = WatchedDoor(folder / "door", cameras={CAMERA: AGAIN_AND_AGAIN}, mqtt_port=broker.port)
            # The default thresholds, not those of quick tests.
            settings = yaml.safe_load(door.config_file.read_text(encoding="utf-8"))
            door.configure({key: value for key, value in settings.items() if key not in QUICK})
            stack.enter_context(door)
            browser = stack.enter_context(a_browser(folder))
            wait_until(lambda: _count(door) >= ALERTS, "some alerts")
            door.end()
            _spread(door.folder / "state")
            door.start()
            door.wait_until_ready()
            _take_all(browser, door.origin, folder)


def _count(door: WatchedDoor) -> int:
    assert door.notifications
    return len(httpx.get(f"{door.origin}/api/v1/alerts").json()["alerts"])


def _spread(state: Path) -> None:
    """Copy the alerts into the history under earlier days."""
    file = state / "alerts.sqlite"
    with closing(AlertStore(file, boot_id="copies")) as store:
        history = AlertHistory(file)
        entries = history.find()
        # In order of time, as alerts arrive.
        ago = sorted(
            (timedelta(days=days, minutes=37 * (number % 11)) for number, days in enumerate(DAYS_AGO)), reverse=True
        )
        for number, before in enumerate(ago):
            entry = entries[number % len(entries)]
            when = entries[0].when - before
            alert_id, sequence = uuid7(when), store.next_sequence("alert")
            message = AlertMessage.model_validate(
                {**entry.message, "id": alert_id, "when": timestamp(when), "sequence": sequence}
            )
            store.put(message, history_entry(message, entry.timeline(), now=datetime.now(timezone.utc)))
            store.remove(alert_id)
            shutil.copy(state / "crops" / f"{entry.id}.jpg", state / "crops" / f"{alert_id}.jpg")
        for entry in entries:
            history.remove(entry.id)
        for entry in history.find(limit=9)[3:]:
            history.review(entry.id, "without_mask")


def _take_all(browser: Browser, origin: str, folder: Path) -> None:
    with a_visitor(browser, origin) as client:
        page = client.see("/")
        # One person with a mask, one without, and the metrics next to them.
        wait_until(lambda: page.locator("#latencies td.number").count(), "figures")
        page.evaluate(FREEZE_WITH_TWO_VERDICTS)
        _take(page, "console_live", full_page=True)
        client.see("/alerts")
        page.wait_for_load_state("networkidle")
        _take(page, "console_alerts")
    with a_visitor(browser, origin, color_scheme="dark") as client:
        alerts = httpx.get(f"{origin}/api/v1/alerts").json()["alerts"]
        best = max(alerts, key=lambda alert: alert["readings"])
        page = client.see(f"/alerts/{best['id']}")
        page.locator(".crop img").wait_for()
        page.wait_for_load_state("networkidle")
        _take(page, "console_alert")
    with a_visitor(browser, origin, viewport=PHONE, device_scale_factor=1.5, color_scheme="dark") as client:
        page = client.see("/webcam")
        page.locator("#file").set_input_files(two_people(folder))
        wait_until(lambda: page.locator("#found .badge").count() == TWO, "two people")
        _take(page, "console_webcam_phone")


def _take(page: Page, name: str, *, full_page: bool = False) -> None:
    file = IMAGES / f"{name}.jpg"
    page.screenshot(path=file, type="jpeg", quality=JPEG_QUALITY, full_page=full_page)
    print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
