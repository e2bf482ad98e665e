"""Prometheus: the metrics, parsed by its own library."""

from prometheus_client.parser import text_string_to_metric_families

from edge_agent.bridge.protocol import MetricsReply
from edge_agent.console.prometheus import metrics_text
from edge_agent.metrics import Metrics
from tests.console.served import one_bare_person
from tests.values import VERSIONS, a_machine, a_status, on_machine


def a_reply(metrics):
    return MetricsReply(cameras=metrics.cameras, stages=metrics.stages, versions=VERSIONS)


def samples(metrics, status=a_status()):  # noqa: B008  (frozen)
    text = metrics_text((status, a_reply(metrics)) if metrics else None, viewers=3, encoded=17).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_camera_starts_with_zero_counters():
    found = samples(Metrics(["door", "back"]))

    assert found["maskwatch_frames_total", ("camera", "back")] == 0
    assert found["maskwatch_alerts_total", ("camera", "back"), ("label", "without_mask")] == 0
    assert found["maskwatch_stage_duration_seconds_count", ("stage", "faces")] == 0


def test_frames_are_counted_and_stages_lie_in_their_buckets():
    metrics = Metrics(["door", "back"])
    for _ in range(3):
        metrics.record("door", one_bare_person())
    metrics.record("door", one_bare_person(analysed=False))

    found = samples(metrics)

    assert found["maskwatch_frames_total", ("camera", "door")] == 4
    assert found["maskwatch_frames_analysed_total", ("camera", "door")] == 3
    assert found["maskwatch_faces_total", ("camera", "door")] == 3
    assert found["maskwatch_classifications_total", ("camera", "door")] == 3
    assert found["maskwatch_alerts_total", ("camera", "door"), ("label", "without_mask")] == 3
    assert found["maskwatch_stage_duration_seconds_bucket", ("le", "0.01"), ("stage", "faces")] == 0
    assert found["maskwatch_stage_duration_seconds_bucket", ("le", "0.02"), ("stage", "faces")] == 4
    assert found["maskwatch_stage_duration_seconds_bucket", ("le", "+Inf"), ("stage", "faces")] == 4
    assert abs(found["maskwatch_stage_duration_seconds_sum", ("stage", "faces")] - 0.08) < 1e-9


def test_current_values_are_gauges():
    found = samples(Metrics(["door"]))

    assert found["maskwatch_healthy",] == 1
    assert found["maskwatch_degraded_reason", ("code", "camera_away")] == 1
    assert found["maskwatch_camera_up", ("camera", "door")] == 1
    assert found["maskwatch_camera_up", ("camera", "back")] == 0
    assert found["maskwatch_broker_connected",] == 0
    assert found["maskwatch_outbox_rows",] == 2
    assert found["maskwatch_people_total", ("camera", "door"), ("label", "with_mask")] == 3
    assert found["maskwatch_people_total", ("camera", "door"), ("label", "undecided")] == 0
    assert found["maskwatch_temperature_celsius",] == 51.5
    assert found["maskwatch_console_viewers",] == 3
    assert found["maskwatch_console_pictures_encoded_total",] == 17
    assert any(key[0] == "maskwatch_build_info" and ("maskwatch", "0.1.0") in key for key in found)


def test_an_unresponsive_agent_is_a_metric_too():
    found = samples(None)

    assert found["maskwatch_healthy",] == 0
    assert ("maskwatch_console_viewers",) in found


def test_a_machine_without_a_temperature_exports_none():
    status = on_machine(a_status(), a_machine(temperature_celsius=None))

    assert ("maskwatch_temperature_celsius",) not in samples(Metrics(["door"]), status)
