"""Figures: what Prometheus reads, by Prometheus' own reader."""

from prometheus_client.parser import text_string_to_metric_families

from edge_agent.console.figures import Figures
from tests.console.served import OVERVIEW, VERSIONS, somebody
from tests.values import a_frame


def samples(figures, overview=OVERVIEW):
    text = figures.text(overview, viewers=3, encoded=17).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_camera_begins_with_zeros():
    found = samples(Figures(["door", "back"], versions=VERSIONS))

    assert found["maskwatch_frames_total", ("camera", "back")] == 0
    assert found["maskwatch_alerts_total", ("camera", "back"), ("label", "without_mask")] == 0
    assert found["maskwatch_stage_seconds_count", ("stage", "faces")] == 0


def test_frames_are_counted_and_stages_lie_in_their_buckets():
    figures = Figures(["door", "back"], versions=VERSIONS)
    for _ in range(3):
        figures.saw(a_frame(camera="door"), somebody())
    figures.saw(a_frame(camera="door"), somebody(looked=False))

    found = samples(figures)

    assert found["maskwatch_frames_total", ("camera", "door")] == 4
    assert found["maskwatch_looked_total", ("camera", "door")] == 3
    assert found["maskwatch_faces_total", ("camera", "door")] == 3
    assert found["maskwatch_readings_total", ("camera", "door")] == 3
    assert found["maskwatch_alerts_total", ("camera", "door"), ("label", "without_mask")] == 3
    assert found["maskwatch_stage_seconds_bucket", ("le", "0.01"), ("stage", "faces")] == 0
    assert found["maskwatch_stage_seconds_bucket", ("le", "0.02"), ("stage", "faces")] == 4
    assert found["maskwatch_stage_seconds_bucket", ("le", "+Inf"), ("stage", "faces")] == 4
    assert abs(found["maskwatch_stage_seconds_sum", ("stage", "faces")] - 0.08) < 1e-9


def test_what_is_so_just_now_is_told():
    found = samples(Figures(["door"], versions=VERSIONS))

    assert found["maskwatch_watching",] == 1
    assert found["maskwatch_degraded",] == 1
    assert found["maskwatch_reason", ("code", "camera_away")] == 1
    assert found["maskwatch_camera_up", ("camera", "door")] == 1
    assert found["maskwatch_camera_up", ("camera", "back")] == 0
    assert found["maskwatch_broker_connected",] == 0
    assert found["maskwatch_outbox_rows",] == 2
    assert found["maskwatch_temperature_celsius",] == 51.5
    assert found["maskwatch_console_viewers",] == 3
    assert found["maskwatch_console_pictures_encoded_total",] == 17
    assert any(key[0] == "maskwatch_build_info" and ("maskwatch", "0.1.0") in key for key in found)


def test_a_watching_that_does_not_answer_is_a_figure_too():
    figures = Figures(["door"], versions=VERSIONS)
    figures.saw(a_frame(camera="door"), somebody())

    found = samples(figures, overview={})

    assert found["maskwatch_watching",] == 0
    assert found["maskwatch_frames_total", ("camera", "door")] == 1


def test_a_machine_that_tells_no_temperature_has_none():
    overview = {**OVERVIEW, "telemetry": {**OVERVIEW["telemetry"], "machine": {"temperature_celsius": None}}}

    assert ("maskwatch_temperature_celsius",) not in samples(Figures(["door"], versions=VERSIONS), overview)
