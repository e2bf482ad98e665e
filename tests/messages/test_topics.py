"""Topics: names of all topics."""

from edge_agent.messages.topics import Topics


def test_every_topic_starts_with_the_prefix_and_the_device():
    topics = Topics("site/maskwatch", "lobby")

    assert topics.status == "site/maskwatch/lobby/status"
    assert Topics("site/maskwatch", "+").alerts == "site/maskwatch/+/alerts"
    assert topics.of_kind("alert") == topics.alerts == "site/maskwatch/lobby/alerts"
    assert topics.crop("0190") == "site/maskwatch/lobby/crops/0190"
    assert topics.of_kind("resolved") == "site/maskwatch/lobby/resolved"
    assert topics.snapshot("0190") == "site/maskwatch/lobby/snapshots/0190"
    assert topics.of_kind("telemetry") == "site/maskwatch/lobby/telemetry"
    assert topics.command("+") == "site/maskwatch/lobby/commands/+"
    assert topics.result("pause") == "site/maskwatch/lobby/commands/pause/result"
