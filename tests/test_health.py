"""Health counts what went through the path and knows how old it is."""

from edge_agent.domain import Outcome
from edge_agent.health import Health
from tests.values import a_reading, an_alert


def an_outcome(*, looked: bool = True) -> Outcome:
    return Outcome(looked, (a_reading(),), (), (an_alert(),), {"motion": 0.001, "faces": 0.010})


def test_frames_move_until_the_newest_is_too_old():
    health = Health(silence_seconds=5.0)
    assert not health.frames_move(at=0.0)

    health.saw(an_outcome(), at=10.0)

    assert health.frames_move(at=15.0)
    assert not health.frames_move(at=15.1)


def test_everything_is_counted_and_stages_are_averaged_over_all_frames():
    health = Health(silence_seconds=5.0)
    health.saw(an_outcome(), at=1.0)
    health.saw(Outcome(False, (), (), (), {"motion": 0.003, "faces": 0.0}), at=2.0)

    assert (health.frames, health.looked, health.readings, health.alerts) == (2, 1, 1, 1)
    assert health.stages_ms == {"motion": 2.0, "faces": 5.0}
