"""Live: one request and one encoding for all viewers, none without viewers."""

import asyncio
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from edge_agent.bridge.client import AgentClient, UnansweredError
from edge_agent.bridge.protocol import AnnotatedFace, FrameReply
from edge_agent.console import live as live_pictures
from edge_agent.console.live import MAX_FPS, Live
from edge_agent.console.worker import Worker
from edge_agent.vision.images import decode_picture

FACE = AnnotatedFace(box=(100.0, 60.0, 140.0, 110.0), track=7, label="without_mask", score=0.93, decision="violation")


class Agent(AgentClient):
    """Returns a new grey frame for every request, unless it is paused or unavailable."""

    def __init__(self, size=(640, 360)):
        super().__init__(Path("nowhere"))
        self.width, self.height = size
        self.requests, self.number = 0, 0
        self.is_paused = self.is_gone = False

    async def frame(self, camera, *, after):
        self.requests += 1
        if self.is_gone:
            raise UnansweredError("gone")
        if self.is_paused:
            return FrameReply(number=0), b""
        self.number += 1
        head = FrameReply(number=self.number, width=self.width, height=self.height, faces=(FACE,))
        return head, bytes([90]) * (self.width * self.height * 3)


@pytest.fixture
def worker():
    made = Worker("test", max_waiting=100)
    yield made
    made.close()


def run(scenario):
    return asyncio.run(scenario())


def test_no_frames_are_requested_without_viewers(worker):
    agent = Agent()
    live = Live(agent, worker)

    run(live.tick)

    assert (agent.requests, live.encoded) == (0, 0)


def test_twenty_viewers_are_served_by_one_frame_and_one_encoding(worker):
    agent = Agent()
    live = Live(agent, worker)

    async def scenario():
        return await asyncio.gather(*(live.picture("door", width_px=640) for _ in range(20)))

    pictures = run(scenario)

    assert (agent.requests, live.encoded) == (1, 1)
    assert len({id(picture) for picture in pictures}) == 1


def test_many_viewers_request_no_more_frames_than_one(worker):
    agent = Agent()
    live = Live(agent, worker)

    async def scenario():
        loop = asyncio.get_running_loop()
        until = loop.time() + 1.0
        while loop.time() < until:
            await asyncio.gather(*(live.picture("door") for _ in range(3)))
            await asyncio.sleep(0.01)

    run(scenario)

    assert agent.requests <= MAX_FPS + 1


def test_the_boxes_of_a_picture_are_in_its_own_pixels(worker):
    live = Live(Agent(size=(1280, 720)), worker)

    async def scenario():
        return await live.picture("door", width_px=640)

    picture = run(scenario)
    (length,) = struct.unpack(">I", picture.message[:4])
    head, jpeg = json.loads(picture.message[4 : 4 + length]), picture.message[4 + length :]

    assert (head["camera"], head["width"], head["height"]) == ("door", 640, 360)
    assert head["faces"] == [
        {"box": [50.0, 30.0, 70.0, 55.0], "track": 7, "label": "without_mask", "score": 0.93, "decision": "violation"}
    ]
    pixels = decode_picture(jpeg)
    assert pixels.shape == (360, 640, 3)
    # The frame around the face is orange, the rest still grey.
    assert np.ptp(pixels[42, 50].astype(int)) > 60
    assert np.ptp(pixels[200, 300].astype(int)) < 10


def test_similar_widths_share_one_encoding(worker, monkeypatch):
    monkeypatch.setattr(live_pictures, "MAX_FPS", 1e-3)
    live = Live(Agent(size=(1280, 720)), worker)

    async def scenario():
        for width_px in range(1, 2000, 7):
            await live.picture("door", width_px=width_px)

    run(scenario)

    assert live.encoded == 4


def test_a_paused_camera_shows_nothing(worker):
    agent = Agent()
    live = Live(agent, worker)

    async def scenario():
        before = await live.picture("door")
        agent.is_paused = True
        await asyncio.sleep(1.1 / MAX_FPS)
        return before, await live.picture("door")

    before, after = run(scenario)

    assert before is not None
    assert after is None


def test_a_missing_agent_is_reported_to_all_viewers_and_retried(worker):
    agent = Agent()
    agent.is_gone = True
    live = Live(agent, worker)

    async def scenario():
        gone = await asyncio.gather(*(live.picture("door") for _ in range(3)), return_exceptions=True)
        agent.is_gone = False
        await asyncio.sleep(1.1 / MAX_FPS)
        return gone, await live.picture("door")

    gone, frame = run(scenario)

    assert {type(one) for one in gone} == {UnansweredError}
    assert frame.number == 1
