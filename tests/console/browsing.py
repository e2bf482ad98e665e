"""A user with a browser: Debian's Chromium, headless, with a recording as its camera."""

from __future__ import annotations

import logging
import shlex
import shutil
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.journeys.agent import EXAMPLE, QUICK, AgentProcess, ConsoleProcess, wait_until
from tests.mosquitto import free_port
from tests.recordings import ffmpeg

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = shutil.which("chromium-headless-shell")
# Headless, without a GPU, and without requests to the vendor of the browser.
CALM = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
PATIENCE_MS = 60_000
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
DEVICE, CAMERA, AWAY = "door-3", "entrance", "yard"
TWO_PEOPLE_SECONDS = 7.3
"""Position in the example at which two people are fully visible, one with a mask."""
AGAIN_AND_AGAIN = f"pipe: ffmpeg -v error -re -stream_loop -1 -i {shlex.quote(str(EXAMPLE))} -q:v 3 -f mjpeg -"


log = logging.getLogger(__name__)


@contextmanager
def a_browser(folder: Path) -> Iterator[Browser]:
    """Open Chromium; without it the test is skipped with a reason."""
    if CHROMIUM is None:
        pytest.skip("needs the Debian package chromium-headless-shell (tests/debian-packages.txt)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    seen = folder / "seen.mjpeg"
    ffmpeg("-i", EXAMPLE, "-q:v", 3, "-f", "mjpeg", seen)
    with sync_playwright() as playwright:
        arguments = [*CALM, f"--use-file-for-fake-video-capture={seen}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


def two_people(folder: Path) -> Path:
    """A photograph for the webcam page."""
    file = folder / "two people.jpg"
    ffmpeg("-ss", TWO_PEOPLE_SECONDS, "-i", EXAMPLE, "-frames:v", 1, "-q:v", 2, file)
    return file


class Client:
    """A browser user who records errors of the visited pages."""

    def __init__(self, context: BrowserContext, origin: str) -> None:
        """`errors` are those in the browser console, and requests to other hosts; `logged` is all that it says."""
        self.context, self.origin = context, origin
        self.errors: list[str] = []
        self.logged: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", self._note_request)
        context.on("requestfailed", lambda failed: self.logged.append(f"{failed.url}: {failed.failure}"))
        context.on("console", lambda message: self._note(message.type, message.text))
        context.on("weberror", lambda failed: self._note("error", str(failed.error)))
        self.page = context.new_page()

    def see(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(self.origin + path)
        return self.page

    def _note(self, kind: str, text: str) -> None:
        self.logged.append(f"{kind}: {text}")
        # On a busy machine the server may answer that it is too busy; pages retry.
        if kind in ("error", "warning") and "503 (Service Unavailable)" not in text:
            self.errors.append(text)

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith((self.origin, "blob:", "data:", self.origin.replace("http", "ws"))):
            self.errors.append(f"request to another host: {request.url}")


@contextmanager
def a_visitor(browser: Browser, origin: str, *, fails_on_errors: bool = True, **options: Any) -> Iterator[Client]:
    """Open a separate browser context. `fails_on_errors`: pages must not log errors or call other hosts."""
    context = browser.new_context(**{"viewport": DESK, "accept_downloads": True, **options})
    client = Client(context, origin)
    try:
        yield client
        if fails_on_errors:
            assert not client.errors, client.errors
    except BaseException:
        # They may be the reason.
        log.exception("the browser logged:\n%s", "\n".join(client.logged))
        raise
    finally:
        context.close()


class WatchedDoor(AgentProcess):
    """An agent that analyses the example recording repeatedly, with the console process."""

    def __init__(
        self,
        folder: Path,
        *,
        cameras: Mapping[str, str],
        mqtt_port: int,
        display: Mapping[str, Any] | None = None,
        **console: Any,
    ) -> None:
        """Sources by camera name, the port of a broker (running or not), and keys of `display` and `console`."""
        self.port = free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        super().__init__(
            folder,
            {
                "device": {"id": DEVICE},
                "cameras": {name: {"source": source} for name, source in cameras.items()},
                **QUICK,
                "mqtt": {"host": "127.0.0.1", "port": mqtt_port},
                # Tests click faster than people.
                "console": {"port": self.port, "max_requests_per_second": 1000.0, **console},
                "display": dict(display or {}),
            },
        )
        self.console = ConsoleProcess(self.config_file, log_file=folder / "console.log")

    def start(self) -> None:
        """Start the agent, and the console unless it is running."""
        super().start()
        if self.console.process is None:
            self.console.start()

    def __enter__(self) -> WatchedDoor:
        """Start both and wait until the agent has processed its first frame."""
        with ExitStack() as undone:
            undone.push(self)
            self.start()
            self.wait_until_ready()
            undone.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self.console.kill()
        super().__exit__(*details)

    def wait_until_ready(self) -> None:
        """Wait for the first frame."""
        wait_until(self._is_ready, "the console")

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        assert self.console.process is not None
        assert self.console.process.poll() is None, self.console.log
        try:
            return httpx.get(f"{self.origin}/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
