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
from tests.console.served import TIMEOUT_SECONDS, a_bridge, a_config, a_console, jpeg
from tests.faces import HOPPER, face_box, portrait
from tests.journeys.agent import wait_until
from tests.values import a_status

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


def test_a_picture_in_a_form_is_answered_as_the_command_answers(client, tmp_path):
    (tmp_path / "portrait.jpg").write_bytes(jpeg())
    command = [sys.executable, "-m", "edge_agent", "detect", "--json", str(tmp_path / "portrait.jpg")]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    answer = client.post("/api/v1/detect", files={"file": ("../../portrait.jpg", jpeg(), "image/jpeg")})

    assert answer.status_code == 200
    found = answer.json()
    assert set(found.pop("elapsed_ms")) == {"faces", "masks"} == set(printed.pop("elapsed_ms"))
    assert printed.pop("path")
    assert found == printed
    (face,) = found["faces"]
    assert face["label"] == "without_mask"
    assert Box(*face["box"]).overlap(face_box(HOPPER)) > 0.4


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_every_format_is_accepted_as_base64_too(client, suffix):
    done, content = cv2.imencode(suffix, portrait(HOPPER))
    assert done
    text = base64.b64encode(content.tobytes()).decode()

    plain = client.post("/api/v1/detect", json={"image": text})
    as_address = client.post("/api/v1/detect", json={"image": f"data:image/{suffix[1:]};base64,{text}"})

    assert plain.status_code == as_address.status_code == 200
    assert len(plain.json()["faces"]) == 1
    assert plain.json()["faces"] == as_address.json()["faces"]


def test_a_frame_is_served_plain_and_annotated(console, client):
    assert client.get("/api/v1/cameras/door/frame.jpg").status_code == 404
    console.show(portrait(HOPPER))
    wait_until(lambda: client.get("/api/v1/cameras/door/frame.jpg").status_code == 200, "the frame")

    plain, drawn = (client.get("/api/v1/cameras/door/frame.jpg", params={"drawn": drawn}) for drawn in (False, True))
    small = client.get("/api/v1/cameras/door/frame.jpg?width_px=1")

    assert plain.headers["content-type"] == "image/jpeg"
    assert plain.headers["cache-control"] == "no-store"
    pixels = [decode_picture(one.content) for one in (plain, drawn, small)]
    assert pixels[0].shape == pixels[1].shape == (600, 512, 3)
    assert (pixels[0] != pixels[1]).any()
    assert pixels[2].shape[1] == 320
    # Three pictures are encoded: plain, annotated and small; another request for one of them uses the same.
    client.get("/api/v1/cameras/door/frame.jpg")
    assert "maskwatch_console_pictures_encoded_total 3.0" in client.get("/metrics").text


# alerts


def test_alerts_are_listed_newest_first_and_page_by_page(console, client):
    ids = [console.keep_alert(camera="door" if number % 2 else "back") for number in range(5)]

    first = client.get("/api/v1/alerts", params={"limit": 2}).json()
    second = client.get("/api/v1/alerts", params={"limit": 2, "before": first["next"]}).json()
    third = client.get("/api/v1/alerts", params={"limit": 2, "before": second["next"]}).json()

    assert [one["id"] for page in (first, second, third) for one in page["alerts"]] == ids[::-1]
    assert third["next"] is None
    assert [one["id"] for one in client.get("/api/v1/alerts?camera=door").json()["alerts"]] == [ids[3], ids[1]]
    assert client.get("/api/v1/alerts?camera=door&label=with_mask").json() == {"alerts": [], "next": None}


def test_alerts_of_a_range_of_time_are_listed(console, client):
    console.keep_alert()
    (when,) = [one["when"] for one in client.get("/api/v1/alerts").json()["alerts"]]

    def count(**parameters):
        return len(client.get("/api/v1/alerts", params=parameters).json()["alerts"])

    assert (count(since=when), count(until=when)) == (1, 0)
    assert count(since="2020-01-01T00:00:00", until="2100-01-01T00:00:00+02:00") == 1
    assert (count(since="2020-01-01"), count(until="2020-01-01")) == (1, 0)


@pytest.mark.parametrize(
    "query",
    [
        *(
            f"alerts?{key}={time}"
            for key in ("since", "until")
            for time in ("noon", "0001-01-01T00:00:00", "0.5", "2026")
        ),
        *(f"alerts?{key}=2026-02-30T00:00" for key in ("since", "until")),
        *(f"alerts?day={day}" for day in ("2026-02-30", "2026-13-01", "0000-01-01", "9999-12-31", "today")),
        *(f"alerts?limit={limit}" for limit in ("0", "201", "many", "1e1")),
        *(f"{path}?last={days}" for path in ("days", "counts") for days in ("0", "367", "-1", "all")),
        "alerts?sinse=2026-03-01",
        "alerts?since=2026-03-02T00:00Z&until=2026-03-02T00:30%2B02:00",
        "days?day=2026-03-01",
        "counts?label=with_mask",
    ],
)
def test_a_filter_that_matches_nothing_or_all_by_mistake_is_rejected(client, query):
    answer = client.get(f"/api/v1/{query}")

    assert answer.status_code == 422
    # What pydantic writes before the text of a validator.
    assert "Value error" not in answer.json()["detail"]


def test_an_alert_shows_its_timeline_and_its_picture(console, client):
    alert_id = console.keep_alert(crop=jpeg())

    detail = client.get(f"/api/v1/alerts/{alert_id}").json()
    crop = client.get(f"/api/v1/alerts/{alert_id}/crop")
    saved = client.get(f"/api/v1/alerts/{alert_id}/crop?download=true")

    assert [point["llr"] for point in detail["timeline"]] == [1.5, 7.0]
    assert (detail["violation_llr"], detail["compliant_llr"]) == (6.8, -2.3)
    assert detail["message"]["schema"] == "maskwatch.alert/1"
    assert detail["message"]["crop"]["file"] == f"{alert_id}.jpg"
    assert (detail["crop"], crop.content) == ("there", jpeg())
    assert crop.headers["content-type"] == "image/jpeg"
    assert "content-disposition" not in crop.headers
    assert saved.headers["content-disposition"] == f'attachment; filename="{alert_id}.jpg"'


def test_a_review_is_stored_and_can_be_removed(console, client):
    alert_id = console.keep_alert()

    review = client.put(f"/api/v1/alerts/{alert_id}/review", json={"review": "no_face"}).json()

    assert (review["review"], review["is_false_alarm"]) == ("no_face", True)
    assert [one["id"] for one in client.get("/api/v1/alerts?review=no_face").json()["alerts"]] == [alert_id]
    assert client.get("/api/v1/alerts?review=unreviewed").json()["alerts"] == []
    assert not client.put(f"/api/v1/alerts/{alert_id}/review", json={"review": ""}).json()["is_false_alarm"]
    assert len(client.get("/api/v1/alerts?review=unreviewed").json()["alerts"]) == 1


def test_a_deleted_alert_is_gone_with_its_picture(console, client):
    alert_id = console.keep_alert(crop=jpeg())

    assert client.delete(f"/api/v1/alerts/{alert_id}").status_code == 204

    assert client.get(f"/api/v1/alerts/{alert_id}").status_code == 404
    assert client.delete(f"/api/v1/alerts/{alert_id}").status_code == 404
    assert list(console.config.crops_folder.iterdir()) == []


def test_a_crop_that_is_still_to_be_sent_is_not_deleted(console, client):
    alert_id = console.keep_alert(crop=jpeg(), is_pending=True)

    answer = client.delete(f"/api/v1/alerts/{alert_id}")

    assert answer.status_code == 409
    assert client.get(f"/api/v1/alerts/{alert_id}/crop").status_code == 200


def test_a_stored_scene_is_served_and_deleted_with_its_alert(console, client):
    plain, alert_id = console.keep_alert(crop=jpeg()), console.keep_alert(crop=jpeg(), scene=b"a JPEG")

    scene = client.get(f"/api/v1/alerts/{alert_id}/scene")
    saved = client.get(f"/api/v1/alerts/{alert_id}/scene?download=true")

    assert [one["scene"] for one in client.get("/api/v1/alerts").json()["alerts"]] == ["there", "none"]
    assert (scene.content, scene.headers["content-type"]) == (b"a JPEG", "image/jpeg")
    assert saved.headers["content-disposition"] == f'attachment; filename="{alert_id}.scene.jpg"'
    missing, unknown = (client.get(f"/api/v1/alerts/{one}/scene") for one in (plain, UNKNOWN))
    assert (missing.status_code, unknown.status_code) == (404, 404)
    assert missing.json()["detail"] != unknown.json()["detail"]
    with console.client() as browser:
        assert f"/api/v1/alerts/{alert_id}/scene" in browser.get(f"/alerts/{alert_id}").text
        assert "The scene" not in browser.get(f"/alerts/{plain}").text
    assert client.delete(f"/api/v1/alerts/{alert_id}").status_code == 204
    assert [file.name for file in console.config.crops_folder.iterdir()] == [f"{plain}.jpg"]


def test_an_encrypted_scene_is_saved_and_not_shown(console, client):
    alert_id = console.keep_alert(crop=jpeg(), scene=b"a JPEG")
    folder = console.config.crops_folder
    (folder / f"{alert_id}.scene.jpg").rename(folder / f"{alert_id}.scene.jpg.age")

    scene = client.get(f"/api/v1/alerts/{alert_id}/scene")

    assert client.get(f"/api/v1/alerts/{alert_id}").json()["scene"] == "encrypted"
    assert scene.headers["content-disposition"].endswith('.scene.jpg.age"')
    assert '<img class="scene"' not in client.get(f"/alerts/{alert_id}").text


@pytest.mark.parametrize("state", ["none", "gone", "encrypted"])
def test_an_alert_without_a_picture_has_a_reason(console, client, state):
    alert_id = console.keep_alert(crop=None if state == "none" else jpeg())
    file = console.config.crops_folder / f"{alert_id}.jpg"
    if state == "gone":
        file.unlink()
    if state == "encrypted":
        file.rename(file.with_name(f"{alert_id}.jpg.age"))

    assert client.get(f"/api/v1/alerts/{alert_id}").json()["crop"] == state
    crop = client.get(f"/api/v1/alerts/{alert_id}/crop")
    if state == "encrypted":
        assert crop.headers["content-type"] == "application/octet-stream"
        assert crop.headers["content-disposition"].endswith('.jpg.age"')
    else:
        assert crop.status_code == 404


def test_days_are_counted(console, client):
    for _ in range(3):
        console.keep_alert()

    (day,) = client.get("/api/v1/days?last=2").json()["days"]

    assert (day["label"], day["count"]) == ("without_mask", 3)


# the device


def test_the_status_is_that_of_the_agent(console, client):
    assert client.get("/api/v1/status").json() == console.status.model_dump(mode="json")


def test_without_an_agent_pages_and_uploads_are_served_and_the_rest_is_503(tmp_path):
    config = a_config(tmp_path)
    with (
        a_console(config),
        httpx.Client(base_url=f"http://127.0.0.1:{config.console.port}", timeout=TIMEOUT_SECONDS) as client,
    ):
        assert client.get("/").status_code == client.get("/alerts").status_code == 200
        # A program has no cookie.
        client.cookies.clear()
        assert client.get("/api/v1/alerts").json() == {"alerts": [], "next": None}
        found = client.post("/api/v1/detect", files={"file": jpeg()})
        assert found.status_code == 200, found.text
        assert len(found.json()["faces"]) == 1
        for answer in (
            client.get("/api/v1/status"),
            client.get("/api/v1/cameras/door/frame.jpg"),
            client.post("/api/v1/commands/pause"),
            client.put(f"/api/v1/alerts/{UNKNOWN}/review", json={"review": ""}),
            client.delete(f"/api/v1/alerts/{UNKNOWN}"),
        ):
            assert answer.status_code == 503
        assert client.get("/health").json()["ok"] is False
        assert "maskwatch_healthy 0.0" in client.get("/metrics").text
        # An agent that starts later is found.
        with a_bridge(config) as bridge:

            def is_found():
                bridge.update_status(a_status())
                return "maskwatch_build_info" in client.get("/metrics").text

            wait_until(is_found, "the agent to be found")


def test_a_hanging_agent_is_reported_and_not_waited_for(console, client):
    assert client.get("/health").json() == {"ok": True, "reasons": ["camera_away"]}
    console.is_silent = True
    # A recent status is still valid.
    answer = client.get("/health")
    while answer.status_code == 200:
        answer = client.get("/health")

    assert answer.status_code == 503
    assert answer.json()["ok"] is False
    assert client.get("/ready").status_code == 503
    assert client.get("/api/v1/status").status_code == 503
    assert "maskwatch_healthy 0.0" in client.get("/metrics").text


def test_health_and_readiness_follow_the_state_of_the_agent(console, client):
    console.status = a_status(is_watching=False, is_ready=False)

    assert client.get("/health").status_code == 503
    assert client.get("/ready").status_code == 503

    console.status = a_status(is_ready=False)
    while client.get("/health").status_code == 503:
        pass
    assert client.get("/ready").status_code == 503


def test_commands_go_to_the_agent_as_over_mqtt(console, client):
    answer = client.post("/api/v1/commands/pause", content=b'{"camera": "door", "seconds": 5}')

    assert answer.status_code == 200
    assert answer.json()["state"] == "done"
    assert [(one.name, one.payload) for one in console.commands] == [("pause", b'{"camera": "door", "seconds": 5}')]


@pytest.mark.parametrize(("state", "status"), [("refused", 409), ("failed", 503)])
def test_a_refused_command_has_a_reason(console, client, state, status):
    console.state, console.reason = state, "camera door is paused; resume it first"

    answer = client.post("/api/v1/commands/snapshot")

    assert (answer.status_code, answer.json()) == (status, {"detail": "camera door is paused; resume it first"})


def test_unknown_and_oversized_commands_do_not_reach_the_agent(console, client):
    assert client.post("/api/v1/commands/shutdown").status_code == 422
    assert client.post("/api/v1/commands/pause", content=b" " * 5000).status_code == 413
    assert console.commands == []


# invalid names


@pytest.mark.parametrize("name", PATHS_UP)
def test_no_name_in_a_request_leads_to_a_file(console, client, name):
    alert_id = console.keep_alert(crop=jpeg())
    secret = console.config.crops_folder.parent / "secret.jpg"
    secret.write_bytes(b"secret")

    def request(method, target, body=None):
        # httpx would normalise the path.
        line = HTTPConnection("127.0.0.1", console.config.console.port, timeout=TIMEOUT_SECONDS)
        line.request(method, target, body, {"Content-Type": "application/json"} if body else {})
        answer = line.getresponse()
        content = answer.read()
        line.close()
        return answer.status, content

    answers = [
        request("GET", f"/api/v1/alerts/{name}"),
        request("GET", f"/api/v1/alerts/{name}/crop"),
        request("GET", f"/api/v1/alerts/{alert_id}/{name}/secret"),
        request("GET", "/api/v1/alerts/..%2fsecret/crop"),
        request("PUT", f"/api/v1/alerts/{name}/review", b'{"review": "no_face"}'),
        request("PUT", f"/api/v1/alerts/{alert_id}/review", json.dumps({"review": name})),
        request("DELETE", f"/api/v1/alerts/{name}"),
        request("GET", f"/api/v1/cameras/{name}/frame.jpg"),
        request("POST", f"/api/v1/commands/{name}"),
        request("GET", f"/static/{name}"),
        request("GET", f"/{name}"),
        *(request("GET", f"/api/v1/alerts?{key}={name}") for key in ("label", "day", "review", "before", "limit")),
        *(request("GET", f"/api/v1/days?{key}={name}") for key in ("label", "last")),
    ]

    assert {status for status, _ in answers} <= {400, 404, 405, 422}
    assert all(b"secret" not in content and b"root:" not in content for _, content in answers)
    # The name of a camera is only used in a query.
    assert client.get("/api/v1/alerts", params={"camera": name}).json()["alerts"] == []
    assert secret.exists()
    assert console.commands == []


def test_errors_do_not_repeat_what_was_sent(client):
    answer = client.get("/api/v1/alerts", params={"label": "<script>alert(1)</script>"})

    assert answer.status_code == 422
    assert "script" not in answer.text
    assert answer.headers["content-type"] == "application/json"


def test_unknown_resources_are_not_found(client):
    assert client.get(f"/api/v1/alerts/{UNKNOWN}").status_code == 404
    assert client.get(f"/api/v1/alerts/{UNKNOWN}/crop").status_code == 404
    assert client.put(f"/api/v1/alerts/{UNKNOWN}/review", json={"review": ""}).status_code == 404
    assert client.get("/api/v1/cameras/roof/frame.jpg").json()["detail"].endswith("known: door, back")
