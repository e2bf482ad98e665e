"""API: endpoints, parameters and status codes."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from http.client import HTTPConnection

import cv2
import httpx
import pytest

from edge_agent.domain import Box
from edge_agent.vision.images import decode_picture
from tests.console.served import OVERVIEW, PATIENCE_SECONDS, a_bridge, a_config, a_console, jpeg
from tests.faces import HOPPER, face_box, portrait
from tests.journeys.agent import wait_until

UNKNOWN = "00000000-0000-7000-8000-000000000000"
PATHS_UP = [
    "..",
    "../..",
    "../../../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/secret",
    "....//",
    "%00",
]


# pictures


def test_a_picture_in_a_form_is_answered_as_the_command_answers(ask, tmp_path):
    (tmp_path / "portrait.jpg").write_bytes(jpeg())
    command = [sys.executable, "-m", "edge_agent", "detect", "--json", str(tmp_path / "portrait.jpg")]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    answer = ask.post("/api/v1/detect", files={"file": ("../../portrait.jpg", jpeg(), "image/jpeg")})

    assert answer.status_code == 200
    found = answer.json()
    assert set(found.pop("elapsed_ms")) == {"faces", "masks"} == set(printed.pop("elapsed_ms"))
    assert printed.pop("path")
    assert found == printed
    (face,) = found["faces"]
    assert face["label"] == "without_mask"
    assert Box(*face["box"]).overlap(face_box(HOPPER)) > 0.4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_every_format_is_accepted_as_base64_too(ask, suffix):
    done, content = cv2.imencode(suffix, portrait(HOPPER))
    assert done
    text = base64.b64encode(content.tobytes()).decode()

    plain = ask.post("/api/v1/detect", json={"image": text})
    as_address = ask.post("/api/v1/detect", json={"image": f"data:image/{suffix[1:]};base64,{text}"})

    assert plain.status_code == as_address.status_code == 200
    assert len(plain.json()["faces"]) == 1
    assert plain.json()["faces"] == as_address.json()["faces"]


def test_a_frame_is_served_plain_and_annotated(console, ask):
    assert ask.get("/api/v1/cameras/door/frame.jpg").status_code == 404
    console.show(portrait(HOPPER))
    wait_until(lambda: ask.get("/api/v1/cameras/door/frame.jpg").status_code == 200, "the frame")

    plain, drawn = (ask.get("/api/v1/cameras/door/frame.jpg", params={"drawn": drawn}) for drawn in (False, True))
    small = ask.get("/api/v1/cameras/door/frame.jpg?width_px=1")

    assert plain.headers["content-type"] == "image/jpeg"
    assert plain.headers["cache-control"] == "no-store"
    pixels = [decode_picture(one.content) for one in (plain, drawn, small)]
    assert pixels[0].shape == pixels[1].shape == (600, 512, 3)
    assert (pixels[0] != pixels[1]).any()
    assert pixels[2].shape[1] == 320
    # Two tests of one picture drew it twice, and asking again draws nothing more.
    ask.get("/api/v1/cameras/door/frame.jpg")
    assert "maskwatch_console_pictures_encoded_total 3.0" in ask.get("/metrics").text


# alerts


def test_alerts_are_listed_newest_first_and_page_by_page(console, ask):
    ids = [console.keep_alert(camera="door" if number % 2 else "back") for number in range(5)]

    first = ask.get("/api/v1/alerts", params={"limit": 2}).json()
    second = ask.get("/api/v1/alerts", params={"limit": 2, "before": first["next"]}).json()
    third = ask.get("/api/v1/alerts", params={"limit": 2, "before": second["next"]}).json()

    assert [one["id"] for page in (first, second, third) for one in page["alerts"]] == ids[::-1]
    assert third["next"] is None
    assert [one["id"] for one in ask.get("/api/v1/alerts?camera=door").json()["alerts"]] == [ids[3], ids[1]]
    assert ask.get("/api/v1/alerts?camera=door&label=with_mask").json() == {"alerts": [], "next": None}


def test_alerts_of_a_range_of_time_are_listed(console, ask):
    console.keep_alert()
    (when,) = [one["when"] for one in ask.get("/api/v1/alerts").json()["alerts"]]

    def count(**asked):
        return len(ask.get("/api/v1/alerts", params=asked).json()["alerts"])

    assert (count(since=when), count(until=when)) == (1, 0)
    assert count(since="2020-01-01T00:00:00", until="2100-01-01T00:00:00+02:00") == 1
    for nonsense in ("noon", "0001-01-01T00:00:00", "2026-02-30T00:00", "2026-01-01", "0.5"):
        assert ask.get("/api/v1/alerts", params={"since": nonsense}).status_code == 422


def test_an_alert_shows_its_timeline_and_its_picture(console, ask):
    alert_id = console.keep_alert(crop=jpeg())

    detail = ask.get(f"/api/v1/alerts/{alert_id}").json()
    crop = ask.get(f"/api/v1/alerts/{alert_id}/crop")
    saved = ask.get(f"/api/v1/alerts/{alert_id}/crop?download=true")

    assert [point["llr"] for point in detail["timeline"]] == [1.5, 7.0]
    assert (detail["violation_llr"], detail["compliant_llr"]) == (6.8, -2.3)
    assert detail["message"]["schema"] == "maskwatch.alert/1"
    assert (detail["crop"], crop.content) == ("there", jpeg())
    assert crop.headers["content-type"] == "image/jpeg"
    assert "content-disposition" not in crop.headers
    assert saved.headers["content-disposition"] == f'attachment; filename="{alert_id}.jpg"'


def test_a_review_is_stored_and_can_be_removed(console, ask):
    alert_id = console.keep_alert()

    said = ask.put(f"/api/v1/alerts/{alert_id}/review", json={"review": "no_face"}).json()

    assert (said["review"], said["is_false_alarm"]) == ("no_face", True)
    assert [one["id"] for one in ask.get("/api/v1/alerts?review=no_face").json()["alerts"]] == [alert_id]
    assert ask.get("/api/v1/alerts?review=unreviewed").json()["alerts"] == []
    assert not ask.put(f"/api/v1/alerts/{alert_id}/review", json={"review": ""}).json()["is_false_alarm"]
    assert len(ask.get("/api/v1/alerts?review=unreviewed").json()["alerts"]) == 1


def test_a_deleted_alert_is_gone_with_its_picture(console, ask):
    alert_id = console.keep_alert(crop=jpeg())

    assert ask.delete(f"/api/v1/alerts/{alert_id}").status_code == 204

    assert ask.get(f"/api/v1/alerts/{alert_id}").status_code == 404
    assert ask.delete(f"/api/v1/alerts/{alert_id}").status_code == 404
    assert list(console.config.crops_folder.iterdir()) == []


def test_a_crop_that_is_still_to_be_sent_is_not_deleted(console, ask):
    alert_id = console.keep_alert(crop=jpeg(), is_pending=True)

    answer = ask.delete(f"/api/v1/alerts/{alert_id}")

    assert answer.status_code == 409
    assert ask.get(f"/api/v1/alerts/{alert_id}/crop").status_code == 200


def test_a_stored_scene_is_served_and_deleted_with_its_alert(console, ask):
    plain, alert_id = console.keep_alert(crop=jpeg()), console.keep_alert(crop=jpeg(), scene=b"a JPEG")

    scene = ask.get(f"/api/v1/alerts/{alert_id}/scene")
    saved = ask.get(f"/api/v1/alerts/{alert_id}/scene?download=true")

    assert [one["scene"] for one in ask.get("/api/v1/alerts").json()["alerts"]] == ["there", "none"]
    assert (scene.content, scene.headers["content-type"]) == (b"a JPEG", "image/jpeg")
    assert saved.headers["content-disposition"] == f'attachment; filename="{alert_id}.scene.jpg"'
    assert ask.get(f"/api/v1/alerts/{plain}/scene").status_code == 404
    with console.client() as browser:
        assert f"/api/v1/alerts/{alert_id}/scene" in browser.get(f"/alerts/{alert_id}").text
        assert "The scene" not in browser.get(f"/alerts/{plain}").text
    assert ask.delete(f"/api/v1/alerts/{alert_id}").status_code == 204
    assert [file.name for file in console.config.crops_folder.iterdir()] == [f"{plain}.jpg"]


def test_an_encrypted_scene_is_saved_and_not_shown(console, ask):
    alert_id = console.keep_alert(crop=jpeg(), scene=b"a JPEG")
    folder = console.config.crops_folder
    (folder / f"{alert_id}.scene.jpg").rename(folder / f"{alert_id}.scene.jpg.age")

    scene = ask.get(f"/api/v1/alerts/{alert_id}/scene")

    assert ask.get(f"/api/v1/alerts/{alert_id}").json()["scene"] == "encrypted"
    assert scene.headers["content-disposition"].endswith('.scene.jpg.age"')
    assert '<img class="scene"' not in ask.get(f"/alerts/{alert_id}").text


@pytest.mark.parametrize("state", ["none", "gone", "encrypted"])
def test_an_alert_without_a_picture_has_a_reason(console, ask, state):
    alert_id = console.keep_alert(crop=None if state == "none" else jpeg())
    file = console.config.crops_folder / f"{alert_id}.jpg"
    if state == "gone":
        file.unlink()
    if state == "encrypted":
        file.rename(file.with_name(f"{alert_id}.jpg.age"))

    assert ask.get(f"/api/v1/alerts/{alert_id}").json()["crop"] == state
    crop = ask.get(f"/api/v1/alerts/{alert_id}/crop")
    if state == "encrypted":
        assert crop.headers["content-type"] == "application/octet-stream"
        assert crop.headers["content-disposition"].endswith('.jpg.age"')
    else:
        assert crop.status_code == 404


def test_days_are_counted(console, ask):
    for _ in range(3):
        console.keep_alert()

    (day,) = ask.get("/api/v1/days?last=2").json()["days"]

    assert (day["label"], day["count"]) == ("without_mask", 3)


# the device


def test_the_status_is_that_of_the_agent(console, ask):
    assert ask.get("/api/v1/status").json() == console.overview


def test_without_an_agent_pages_and_uploads_are_served_and_the_rest_is_503(tmp_path):
    config = a_config(tmp_path)
    with (
        a_console(config),
        httpx.Client(base_url=f"http://127.0.0.1:{config.console.port}", timeout=PATIENCE_SECONDS) as ask,
    ):
        assert ask.get("/").status_code == ask.get("/alerts").status_code == 200
        # A program has no cookie.
        ask.cookies.clear()
        assert ask.get("/api/v1/alerts").json() == {"alerts": [], "next": None}
        found = ask.post("/api/v1/detect", files={"file": jpeg()})
        assert found.status_code == 200, found.text
        assert len(found.json()["faces"]) == 1
        for answer in (
            ask.get("/api/v1/status"),
            ask.get("/api/v1/cameras/door/frame.jpg"),
            ask.post("/api/v1/commands/pause"),
            ask.put(f"/api/v1/alerts/{UNKNOWN}/review", json={"review": ""}),
            ask.delete(f"/api/v1/alerts/{UNKNOWN}"),
        ):
            assert answer.status_code == 503
        assert ask.get("/health").json()["ok"] is False
        assert "maskwatch_healthy 0.0" in ask.get("/metrics").text
        # One that comes later is found by itself.
        with a_bridge(config) as bridge:

            def is_found():
                bridge.update_status(OVERVIEW)
                return "maskwatch_build_info" in ask.get("/metrics").text

            wait_until(is_found, "the agent to be found")


def test_a_hanging_agent_is_reported_and_not_waited_for(console, ask):
    assert ask.get("/health").json() == {"ok": True, "reasons": ["camera_away"]}
    console.is_silent = True
    # What was told a moment ago still counts.
    answer = ask.get("/health")
    while answer.status_code == 200:
        answer = ask.get("/health")

    assert answer.status_code == 503
    assert answer.json()["ok"] is False
    assert ask.get("/ready").status_code == 503
    assert ask.get("/api/v1/status").status_code == 503
    assert "maskwatch_healthy 0.0" in ask.get("/metrics").text


def test_health_and_readiness_follow_the_state_of_the_agent(console, ask):
    console.overview = {**console.overview, "is_watching": False, "is_ready": False}

    assert ask.get("/health").status_code == 503
    assert ask.get("/ready").status_code == 503

    console.overview = {**console.overview, "is_watching": True}
    while ask.get("/health").status_code == 503:
        pass
    assert ask.get("/ready").status_code == 503


def test_commands_go_to_the_agent_as_over_mqtt(console, ask):
    answer = ask.post("/api/v1/commands/pause", content=b'{"camera": "door", "seconds": 5}')

    assert answer.status_code == 200
    assert answer.json()["state"] == "done"
    assert [(one.name, one.payload) for one in console.commands] == [("pause", b'{"camera": "door", "seconds": 5}')]


@pytest.mark.parametrize(("state", "status"), [("refused", 409), ("failed", 503)])
def test_a_refused_command_has_a_reason(console, ask, state, status):
    console.state, console.reason = state, "camera door is paused; resume it first"

    answer = ask.post("/api/v1/commands/snapshot")

    assert (answer.status_code, answer.json()) == (status, {"detail": "camera door is paused; resume it first"})


def test_unknown_and_oversized_commands_do_not_reach_the_agent(console, ask):
    assert ask.post("/api/v1/commands/shutdown").status_code == 422
    assert ask.post("/api/v1/commands/pause", content=b" " * 5000).status_code == 413
    assert console.commands == []


# what leads nowhere


@pytest.mark.parametrize("name", PATHS_UP)
def test_no_name_in_a_request_leads_to_a_file(console, ask, name):
    alert_id = console.keep_alert(crop=jpeg())
    secret = console.config.crops_folder.parent / "secret.jpg"
    secret.write_bytes(b"secret")

    def asked(method, target, body=None):
        # httpx would make the path shorter before it sends it.
        line = HTTPConnection("127.0.0.1", console.config.console.port, timeout=PATIENCE_SECONDS)
        line.request(method, target, body, {"Content-Type": "application/json"} if body else {})
        answer = line.getresponse()
        content = answer.read()
        line.close()
        return answer.status, content

    answers = [
        asked("GET", f"/api/v1/alerts/{name}"),
        asked("GET", f"/api/v1/alerts/{name}/crop"),
        asked("GET", f"/api/v1/alerts/{alert_id}/{name}/secret"),
        asked("GET", "/api/v1/alerts/..%2fsecret/crop"),
        asked("PUT", f"/api/v1/alerts/{name}/review", b'{"review": "no_face"}'),
        asked("PUT", f"/api/v1/alerts/{alert_id}/review", json.dumps({"review": name})),
        asked("DELETE", f"/api/v1/alerts/{name}"),
        asked("GET", f"/api/v1/cameras/{name}/frame.jpg"),
        asked("POST", f"/api/v1/commands/{name}"),
        asked("GET", f"/static/{name}"),
        asked("GET", f"/{name}"),
        *(asked("GET", f"/api/v1/alerts?{key}={name}") for key in ("label", "day", "review", "before", "limit")),
        *(asked("GET", f"/api/v1/days?{key}={name}") for key in ("label", "last")),
    ]

    assert {status for status, _ in answers} <= {400, 404, 405, 422}
    assert all(b"secret" not in content and b"root:" not in content for _, content in answers)
    # A camera by any name is only looked up.
    assert ask.get("/api/v1/alerts", params={"camera": name}).json()["alerts"] == []
    assert secret.exists()
    assert console.commands == []


def test_errors_do_not_repeat_what_was_sent(ask):
    answer = ask.get("/api/v1/alerts", params={"label": "<script>alert(1)</script>"})

    assert answer.status_code == 422
    assert "script" not in answer.text
    assert answer.headers["content-type"] == "application/json"


def test_unknown_resources_are_not_found(ask):
    assert ask.get(f"/api/v1/alerts/{UNKNOWN}").status_code == 404
    assert ask.get(f"/api/v1/alerts/{UNKNOWN}/crop").status_code == 404
    assert ask.put(f"/api/v1/alerts/{UNKNOWN}/review", json={"review": ""}).status_code == 404
    assert ask.get("/api/v1/cameras/roof/frame.jpg").json()["detail"].endswith("known: door, back")
