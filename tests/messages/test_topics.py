"""Topics: names of all topics."""

from edge_agent.messages.topics import Topics


def test_every_topic_starts_with_the_prefix_and_the_device():
    topics = Topics("site/maskwatch", "lobby")

    assert topics.status == "site/maskwatch/lobby/status"
    assert Topics("site/maskwatch", "+").alerts == "site/maskwatch/+/alerts"
    assert topics.crop("0190") == "site/maskwatch/lobby/crops/0190"
    assert topics.resolved == "site/maskwatch/lobby/resolved"
    assert topics.snapshot("0190") == "site/maskwatch/lobby/snapshots/0190"
    assert topics.telemetry == "site/maskwatch/lobby/telemetry"
    assert topics.command("+") == "site/maskwatch/lobby/commands/+"
    assert topics.result("pause") == "site/maskwatch/lobby/commands/pause/result"


def test_each_kind_of_message_has_its_topic():
    topics = Topics("maskwatch", "lobby")

    assert [topics.of_kind(kind) for kind in ("alert", "resolved", "telemetry")] == [
        topics.alerts,
        topics.resolved,
        topics.telemetry,
    ]
