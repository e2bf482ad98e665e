"""Display: shows the nearest person's sign, has its own token, and is disabled by default."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import deque
from contextlib import contextmanager
from typing import get_args

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from edge_agent.config.model import Config, Language
from edge_agent.console import display
from edge_agent.domain import Nearest, Sign
from edge_agent.errors import ConfigError
from tests.console.served import (
    TIMEOUT_SECONDS,
    TOKEN,
    a_config,
    a_console,
    at_the_door,
    connect,
    secret_files,
    served,
)
from tests.faces import HOPPER, portrait

DISPLAY_KEY = "only-for-the-screen"
"""Token of the display."""
SIGNS: tuple[Sign, ...] = ("compliant", "without_mask", "mask_worn_incorrectly", "undecided")


@pytest.fixture(autouse=True)
def frames_stay_new(monkeypatch):
    """A busy machine may show the next frame late."""
    monkeypatch.setattr(display, "STALE_SECONDS", 600.0)


@pytest.fixture
def door(tmp_path):
    with served(tmp_path, display={"enabled": True}) as console:
        yield console


@pytest.fixture
def locked(tmp_path):
    (tmp_path / "display").write_text(f"{DISPLAY_KEY}\n")
    shown = {"enabled": True, "token_file": str(tmp_path / "display")}
    with served(tmp_path, display=shown, **secret_files(tmp_path)) as console:
        yield console


@contextmanager
def a_screen(console, camera="door", *, token="", **headers):
    address = f"{console.url.replace('http', 'ws')}/display/{camera}/socket"
    with connect(address, origin=console.url, additional_headers=headers) as line:
        line.send(json.dumps({"token": token, "width_px": 640}))
        yield line


def next_sign(line):
    """Return the next sign; pictures received before it are acknowledged as drawn."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        message = line.recv(timeout=max(0.0, deadline - time.monotonic()))
        if isinstance(message, str):
            return json.loads(message)
        line.send(json.dumps({"drawn": True}))


def close_code(line):
    """Return the close code, skipping all messages before it."""
    with pytest.raises(ConnectionClosed) as closed:
        deque(line, maxlen=0)
    assert closed.value.rcvd
    return closed.value.rcvd.code


def test_it_is_off_by_default_and_not_imported(tmp_path):
    with served(tmp_path) as console, console.client() as client:
        assert client.get("/display/door").status_code == 404
    code = "import sys; from edge_agent.commands import run, console; from edge_agent.console import app; "
    code += "sys.exit('edge_agent.console.display' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_while_it_is_off_its_address_leads_to_the_login_like_any_other(tmp_path):
    with served(tmp_path, **secret_files(tmp_path)) as console, console.client() as client:
        assert client.get("/display/door").status_code == 303


def test_the_sign_is_that_of_the_nearest_person(door):
    with a_screen(door) as line:
        assert next_sign(line) == {"sign": "away", "person": 0}, "no frame yet"
        door.show(portrait(HOPPER), outcome=at_the_door(None))
        assert next_sign(line) == {"sign": "empty", "person": 0}
        for index, sign in enumerate(SIGNS):
            door.show(portrait(HOPPER), index=index, outcome=at_the_door(Nearest(7, sign, is_sure=True)))
            assert next_sign(line) == {"sign": sign, "person": 7}
        door.bridge.frames.forget("door")
        assert next_sign(line) == {"sign": "away", "person": 0}, "the camera is paused"


def test_pictures_are_sent_as_they_are_drawn_and_only_while_a_person_is_in_view(door):
    with a_screen(door) as line:
        assert next_sign(line)["sign"] == "away"
        door.show(portrait(HOPPER), outcome=at_the_door(Nearest(7, "compliant", is_sure=True)))
        assert next_sign(line)["sign"] == "compliant"
        assert line.recv(timeout=TIMEOUT_SECONDS).startswith(b"\xff\xd8")
        for index in range(1, 4):
            door.show(portrait(HOPPER), index=index, outcome=at_the_door(Nearest(7, "compliant", is_sure=True)))
            time.sleep(0.3)
        with pytest.raises(TimeoutError):
            line.recv(timeout=0.5)
        line.send(json.dumps({"drawn": True}))
        assert line.recv(timeout=TIMEOUT_SECONDS).startswith(b"\xff\xd8")
        door.show(portrait(HOPPER), index=9, outcome=at_the_door(None))
        assert next_sign(line)["sign"] == "empty"
        with pytest.raises(TimeoutError):
            line.recv(timeout=0.5)


def test_without_pictures_none_leaves_the_agent(tmp_path):
    with served(tmp_path, display={"enabled": True, "picture": "none"}) as console, a_screen(console) as line:
        assert next_sign(line)["sign"] == "away"
        console.show(portrait(HOPPER), outcome=at_the_door(Nearest(7, "without_mask", is_sure=True)))
        assert next_sign(line)["sign"] == "without_mask"
        with pytest.raises(TimeoutError):
            line.recv(timeout=0.5)


def test_a_stale_frame_is_not_shown(door, monkeypatch):
    monkeypatch.setattr(display, "STALE_SECONDS", 0.3)
    with a_screen(door) as line:
        assert next_sign(line)["sign"] == "away"
        door.show(portrait(HOPPER), outcome=at_the_door(Nearest(7, "without_mask", is_sure=True)))
        assert next_sign(line)["sign"] == "without_mask"
        assert next_sign(line)["sign"] == "away"


def test_without_an_agent_the_display_reports_no_camera(tmp_path):
    config = a_config(tmp_path, display={"enabled": True})
    with a_console(config):
        address = f"ws://127.0.0.1:{config.console.port}"
        with connect(f"{address}/display/door/socket", origin=Origin(address.replace("ws", "http"))) as line:
            line.send("{}")
            assert next_sign(line) == {"sign": "away", "person": 0}


def test_its_own_token_opens_the_display_and_nothing_else(locked):
    with locked.client() as client, a_screen(locked, token=DISPLAY_KEY) as line:
        assert client.get("/display/door").status_code == 200
        assert next_sign(line)["sign"] == "away"
    with locked.client(token=DISPLAY_KEY) as client:
        assert client.get("/api/v1/alerts").status_code == 401
        assert client.get("/metrics").status_code == 401
    with a_screen(locked, Authorization=f"Bearer {TOKEN}") as line:
        assert next_sign(line)["sign"] == "away", "the console's token opens the display too"


@pytest.mark.parametrize("first", [{}, {"token": ""}, {"token": "wrong-token"}, {"token": 7}, {"token": TOKEN}])
def test_without_the_token_nothing_is_shown(locked, first):
    locked.show(portrait(HOPPER), outcome=at_the_door(Nearest(7, "compliant", is_sure=True)))
    address = f"{locked.url.replace('http', 'ws')}/display/door/socket"
    with connect(address, origin=locked.url) as line:
        line.send(json.dumps(first))
        assert close_code(line) == 4401


@pytest.mark.usefixtures("long_login_delay")
def test_guessing_is_delayed_increasingly_also_for_the_right_token(locked):
    for number in range(4):
        with a_screen(locked, token=f"guess {number}") as line:
            assert close_code(line) == 4401
    with a_screen(locked, token=DISPLAY_KEY) as line:
        assert close_code(line) == 4401


def test_a_silent_display_is_disconnected(locked, monkeypatch):
    monkeypatch.setattr(display, "FIRST_MESSAGE_SECONDS", 0.2)
    with connect(f"{locked.url.replace('http', 'ws')}/display/door/socket", origin=locked.url) as line:
        assert close_code(line) == 4401


def test_the_language_comes_from_the_setting_or_the_url(tmp_path):
    with served(tmp_path, display={"enabled": True, "language": "de"}) as console, console.client() as client:
        assert '<html lang="de" dir="ltr"' in client.get("/display/door").text
        arabic = client.get("/display/door?lang=ar").text
        assert '<html lang="ar" dir="rtl"' in arabic
        refused = client.get("/display/door?lang=tlh")
        assert refused.status_code == 400
        assert all(language in refused.json()["detail"] for language in get_args(Language))
        assert client.get("/display/garage").status_code == 404


def test_the_socket_of_an_unknown_camera_is_rejected(door):
    with pytest.raises(InvalidStatus) as rejected, a_screen(door, "garage"):
        pass
    assert rejected.value.response.status_code == 404


def test_every_language_has_every_word():
    words = json.loads(display.WORDS_FILE.read_text(encoding="utf-8"))

    assert set(words) == set(get_args(Language))
    assert len(words) == 12
    for texts in words.values():
        assert set(texts) == set(SIGNS)
        assert all(texts.values())
    assert len({texts["without_mask"] for texts in words.values()}) == 12


def test_an_unknown_language_and_an_invalid_token_are_rejected_at_start(tmp_path):
    with pytest.raises(ValueError, match=r"display\.language"):
        Config.model_validate({"display": {"language": "tlh"}})
    config = a_config(tmp_path, display={"enabled": True, "token_file": str(tmp_path / "missing")})
    with pytest.raises(ConfigError, match=r"display\.token_file"), a_console(config):
        pass


def test_a_display_counts_as_a_viewer(tmp_path):
    with served(tmp_path, display={"enabled": True}, max_viewers=1) as console, a_screen(console) as line:
        assert next_sign(line)["sign"] == "away"
        address = f"{console.url.replace('http', 'ws')}/display/door/socket"
        with connect(address, origin=Origin(console.url)) as another:
            assert close_code(another) == 4429
