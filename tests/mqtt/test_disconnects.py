"""Disconnects: the operation on which the broker ends connections is found, and frequent losses are noticed."""

from __future__ import annotations

import pytest

from edge_agent.mqtt.disconnects import FREQUENT_LOSSES, HANG_UP_SECONDS, Disconnects

STEADY_SECONDS = 10.0


@pytest.fixture
def disconnects() -> Disconnects:
    return Disconnects(steady_seconds=STEADY_SECONDS)


def lose(disconnects, operation="crops", *, at, after_seconds=0.5, unanswered=None):
    disconnects.begin()
    disconnects.connected(at=at)
    is_frequent = disconnects.lost(at=at + after_seconds)
    return is_frequent, *disconnects.find_cause(operation, unanswered=unanswered, at=at + after_seconds)


def test_an_operation_is_the_cause_after_two_losses_in_a_row(disconnects):
    assert lose(disconnects, at=0.0) == (False, "crops", False)
    assert lose(disconnects, at=5.0) == (False, "crops", True)


def test_another_operation_or_its_acknowledgement_begins_the_count_again(disconnects):
    lose(disconnects, at=0.0)
    assert lose(disconnects, "telemetry", at=5.0)[1:] == ("telemetry", False)
    disconnects.accepted("telemetry")

    assert lose(disconnects, "telemetry", at=10.0)[1:] == ("telemetry", False)


def test_a_steady_connection_was_not_ended_by_what_was_sent_at_its_beginning(disconnects):
    assert lose(disconnects, at=0.0, after_seconds=STEADY_SECONDS + 1)[1:] == ("", False)


def test_a_message_without_acknowledgement_is_the_cause_if_it_was_just_sent(disconnects):
    later = STEADY_SECONDS + 1
    just_sent, long_ago = ("telemetry", later - 0.1), ("telemetry", later - HANG_UP_SECONDS - 0.1)

    assert lose(disconnects, "", at=0.0, after_seconds=later, unanswered=just_sent)[1] == "telemetry"
    assert lose(disconnects, "", at=0.0, after_seconds=later, unanswered=long_ago)[1] == ""


def test_a_broker_that_does_not_answer_has_not_disconnected(disconnects):
    disconnects.begin()

    assert not disconnects.lost(at=1.0)
    assert disconnects.find_cause("crops", unanswered=None, at=1.0) == ("", False)


def test_losses_are_frequent_unless_they_are_explained_or_far_apart(disconnects):
    apart = [lose(disconnects, "", at=100.0 * number)[0] for number in range(FREQUENT_LOSSES)]
    close = [lose(disconnects, "", at=1000.0 + number)[0] for number in range(FREQUENT_LOSSES)]
    explained = [lose(disconnects, at=2000.0 + number)[0] for number in range(2 * FREQUENT_LOSSES)]

    assert not any(apart)
    assert close == [False] * (FREQUENT_LOSSES - 1) + [True]
    assert not any(explained)


def test_messages_are_sent_one_by_one_after_a_loss_until_all_are_acknowledged(disconnects):
    lose(disconnects, at=0.0)
    disconnects.connected(at=5.0)
    assert disconnects.wait_seconds(5.0, at=5.2) == pytest.approx(HANG_UP_SECONDS - 0.2)
    disconnects.recovered()

    assert disconnects.wait_seconds(5.0, at=5.2) == 0.0
