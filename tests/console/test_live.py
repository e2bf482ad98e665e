"""Live: one encoding for all, none for nobody, and nobody of a camera that is paused."""

import asyncio
import json
import struct
from dataclasses import replace

import cv2
import numpy as np
import pytest

from edge_agent.console.desk import Desk
from edge_agent.console.leisure import Leisure
from edge_agent.console.live import HELD_SECONDS, MOST_PER_SECOND, Live
from tests.console.served import somebody
from tests.values import a_frame

INTERVAL = 1 / MOST_PER_SECOND


@pytest.fixture
def desk():
    made = Desk("test", most_waiting=100, leisure=Leisure())
    yield made
    made.close()


@pytest.fixture
def live(desk):
    return Live(desk)


def test_nothing_is_encoded_while_nobody_looks(live):
    for number in range(100):
        live.saw(a_frame(number / 10), somebody())

    assert live.encoded == 0


def test_twenty_viewers_are_served_by_one_encoding(live):
    live.saw(a_frame(0.0, size=(640, 360)), somebody())

    async def look():
        sight = live.shown("door", at=0.0)
        return await asyncio.gather(*(live.picture(sight, width_px=640) for _ in range(20)))

    pictures = asyncio.run(look())

    assert live.encoded == 1
    assert len({id(picture) for picture in pictures}) == 1


def test_all_viewers_together_see_no_more_pictures_a_second_than_one(live):
    seen = set()
    for number in range(300):
        live.saw(a_frame(number / 300), somebody())
        seen.add(live.shown("door", at=number / 300).number)

    assert MOST_PER_SECOND - 1 <= len(seen) <= MOST_PER_SECOND + 1


def test_a_picture_says_who_is_in_it_in_its_own_pixels(live):
    live.saw(a_frame(0.0, size=(1280, 720), brightness=90), somebody())

    async def look():
        return await live.picture(live.shown("door", at=0.0), width_px=640)

    picture = asyncio.run(look())
    (length,) = struct.unpack(">I", picture.message[:4])
    head, jpeg = json.loads(picture.message[4 : 4 + length]), picture.message[4 + length :]

    assert (head["camera"], head["width"], head["height"]) == ("door", 640, 360)
    assert head["faces"] == [
        {"box": [50.0, 30.0, 70.0, 55.0], "track": 7, "label": "without_mask", "score": 0.93, "decision": "violation"}
    ]
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert pixels.shape == (360, 640, 3)
    # The frame around the face is orange, the rest still grey.
    assert pixels[42, 50].astype(int).ptp() > 60
    assert pixels[200, 300].astype(int).ptp() < 10


def test_odd_widths_are_not_each_encoded(live):
    live.saw(a_frame(0.0, size=(1280, 720)), somebody())

    async def look():
        sight = live.shown("door", at=0.0)
        for width_px in range(1, 2000, 7):
            await live.picture(sight, width_px=width_px)

    asyncio.run(look())

    assert live.encoded == 4


def test_what_was_read_of_somebody_stays_until_they_have_left(live):
    read, seen = somebody(), replace(somebody(), readings=(), verdicts=())
    live.saw(a_frame(0.0), read)
    live.saw(a_frame(0.1), seen)
    (face,) = live.shown("door", at=0.0).faces
    assert (face.label, face.decision) == ("without_mask", "violation")

    live.saw(a_frame(0.2), replace(seen, tracks=()))
    live.saw(a_frame(0.3), seen)
    (face,) = live.shown("door", at=1.0).faces

    assert (face.label, face.decision) == (None, "undecided")


def test_boxes_do_not_flicker_between_the_frames_that_are_looked_at(live):
    live.saw(a_frame(0.0), somebody())
    live.saw(a_frame(0.05), somebody(looked=False))
    assert live.shown("door", at=0.0).faces

    live.saw(a_frame(HELD_SECONDS + 0.1), somebody(looked=False))
    assert not live.shown("door", at=2.0).faces


def test_a_paused_camera_shows_nothing(live):
    live.saw(a_frame(0.0), somebody())
    assert live.shown("door", at=0.0) is not None

    live.looked_away("door")

    assert live.shown("door", at=0.001) is None
