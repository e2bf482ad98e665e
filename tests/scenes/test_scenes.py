"""Does every violation of the scripted scenes raise one alert on time, and is there no other alert?

The `premiere` is only for `make scenes`: failing tests are examined in detail, and its pictures must not be.
"""

from __future__ import annotations

import pytest

from tests.scenes.__main__ import Line
from tests.scenes.casts import PUBLIC, REHEARSAL
from tests.scenes.playing import RECORDINGS, Player
from tests.scenes.scripts import (
    a_live_person_stands_beside_a_poster,
    a_person_takes_the_mask_off,
    one_bare_and_one_masked_person_cross,
    scripts_for,
    two_frames_a_second_are_enough,
)


@pytest.fixture(scope="module")
def player():
    return Player()


@pytest.mark.reference_data
@pytest.mark.parametrize("script", scripts_for(REHEARSAL), ids=lambda script: script.__name__)
def test_alerts_are_right_when(script, player):
    judgement = player.play(script(REHEARSAL))

    assert judgement.is_right, Line(script.__name__, judgement, 0.0)


@pytest.mark.reference_data
@pytest.mark.parametrize("recorded", RECORDINGS, ids=lambda recorded: recorded.file)
def test_alerts_are_right_in_the_recording(recorded, player, shared):
    judgement = player.watch(shared / "videos" / recorded.file, recorded)

    assert judgement.is_right, Line(recorded.file, judgement, 0.0)


@pytest.mark.parametrize(
    "script",
    [
        one_bare_and_one_masked_person_cross,
        a_person_takes_the_mask_off,
        a_live_person_stands_beside_a_poster,
        two_frames_a_second_are_enough,
    ],
    ids=lambda script: script.__name__,
)
def test_alerts_are_right_without_reference_data_when(script, player):
    judgement = player.play(script(PUBLIC))

    assert judgement.is_right, Line(script.__name__, judgement, 0.0)
