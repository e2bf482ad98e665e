"""Worker: processes the newest frames of its camera, and nothing blocks it."""

from __future__ import annotations

import gc
import itertools
import queue
import threading
import time
import weakref
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from edge_agent.alerts.crops import Crops
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timelines
from edge_agent.camera import EagerCamera
from edge_agent.camera.cameras import Cameras
from edge_agent.camera.feed import CameraFeed, FeedState
from edge_agent.config.model import CameraConfig, CropsConfig
from edge_agent.domain import Outcome, Person, Resolved
from edge_agent.host.threads import close_all
from edge_agent.messages.ids import uuid7
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.mqtt.publisher import Publisher
from edge_agent.pauses import Pauses
from edge_agent.worker import CLOSE_SECONDS, MAX_FRAMES, MAX_RESULTS, PAUSED_SECONDS, FrameResult, Worker
from tests.alerts.test_recorder import Hanging, Recording, wait_until
from tests.mqtt.brokers import ScriptedBroker
from tests.mqtt.samples import DEVICE
from tests.test_pipeline import Faces, a_pipeline, textured
from tests.values import NOON, a_face, a_frame, a_track, an_alert

if TYPE_CHECKING:
    from edge_agent.domain import Frame


class Frames:
    """A feed of these frames, which then ends."""

    def __init__(self, frames: list[Frame]) -> None:
        self._frames = frames

    def convert_only_what_is_due(self, due_at: Any) -> None:
        """Do nothing: all frames are there already."""

    def wait(self, _timeout_seconds: float) -> Frame | None:
        return self._frames.pop(0) if self._frames else None

    def state(self) -> FeedState:
        return FeedState("door", finished=not self._frames)


class Recorder:
    """Records what it is given."""

    def __init__(self) -> None:
        self.alerts: list[Any] = []
        self.scenes: list[bytes | None] = []
        self.resolved: list[Any] = []
        self.people: list[Person] = []

    def record_alert(self, alert: Any, timeline: Any, *, scene: bytes | None) -> None:
        self.alerts.append((alert, timeline))
        self.scenes.append(scene)

    def record_resolved(self, resolved: Any, later: Any) -> None:
        self.resolved.append((resolved, later))

    def record_person(self, person: Person) -> None:
        self.people.append(person)


class Alerting:
    """A pipeline that alerts in every frame, or in the first; a pause resolves the alerts."""

    def __init__(self, *, always: bool = False) -> None:
        self._pipeline = a_pipeline(Faces())
        self.rate, self.end = self._pipeline.rate, self._pipeline.end
        self._always, self._frames = always, 0

    def process(self, frame: Frame, *, is_paused: bool) -> Outcome:
        if is_paused:
            person = Person("door", "without_mask", False, NOON)
            resolved = Resolved(uuid7(NOON), a_track(), "without_mask", "left", NOON, NOON, 0.0)
            return Outcome(False, (), (), (), (), (resolved,), {}, (person,))
        self._frames += 1
        alerts = (replace(an_alert(), id=uuid7(NOON)),) if self._always or self._frames == 1 else ()
        return replace(self._pipeline.process(frame), alerts=alerts)


def a_worker(feed: Any, **parts: Any) -> tuple[Worker, queue.SimpleQueue[FrameResult]]:
    given: queue.SimpleQueue[FrameResult] = queue.SimpleQueue()
    known = {
        "pipeline": Alerting(),
        "timelines": Timelines(violation_llr=6.8, compliant_llr=-2.3),
        "draw_scene": lambda *_scene: None,
        "pauses": Pauses(boot_id="boot"),
        "recorder": Recorder(),
        "results": given,
        "silence_seconds": 10.0,
        **parts,
    }
    return Worker(feed, **known), given


def frames(count: int) -> list[Frame]:
    return [a_frame(step / 10) for step in range(count)]


def run(worker: Worker) -> None:
    worker.start()
    wait_until(lambda: not worker.is_alive)


def test_every_frame_is_processed_and_events_are_recorded_with_their_timeline():
    recorder = Recorder()
    worker, given = a_worker(Frames(frames(3)), recorder=recorder)

    run(worker)

    kept = [given.get().frame for _ in range(given.qsize())]
    assert [frame.taken_at for frame in kept if frame is not None] == [0.0, 0.1, 0.2]
    ((_, timeline),) = recorder.alerts
    assert (timeline.violation_llr, timeline.compliant_llr) == (6.8, -2.3)


def test_the_scene_of_an_alert_is_drawn_of_the_frame_that_alerts():
    def draw(frame: Frame, track: int, tracks: Any) -> bytes:
        return f"{frame.taken_at} {track} {len(tracks)}".encode()

    recorder = Recorder()
    worker, _ = a_worker(Frames(frames(3)), recorder=recorder, draw_scene=draw)

    run(worker)

    assert recorder.scenes == [b"0.0 1 0"]


def test_a_pause_resolves_open_alerts_at_its_start():
    recorder = Recorder()
    pauses = Pauses(boot_id="boot")
    pauses.pause(["door"], seconds=None, at=0.0, when=NOON)
    worker, given = a_worker(Frames(frames(1)), pauses=pauses, recorder=recorder)

    run(worker)

    assert [resolved.reason for resolved, _ in recorder.resolved] == ["left"]
    assert [person.counted_as for person in recorder.people] == ["without_mask"]
    assert given.get().outcome is None
    assert recorder.alerts == []


def test_an_alert_is_resolved_although_its_camera_is_lost():
    class Lost(Frames):
        """Its camera is unplugged after the last frame."""

        def state(self) -> FeedState:
            return FeedState("door", is_open=bool(self._frames), reason="unplugged")

    recorder = Recorder()
    began_at = time.monotonic() - 2.0
    feed = Lost([textured(began_at + step / 10) for step in range(20)])
    worker, given = a_worker(feed, pipeline=a_pipeline(Faces(a_face())), recorder=recorder)

    worker.start()

    wait_until(lambda: recorder.people)
    worker.close()
    assert len(recorder.alerts) == 1
    assert [resolved.reason for resolved, _ in recorder.resolved] == ["left"]
    assert [person.counted_as for person in recorder.people] == ["without_mask"]
    assert given.qsize() == 20
    assert worker.failure is None


def test_an_alert_is_resolved_at_the_end_of_its_recording():
    recorder = Recorder()
    feed = Frames([textured(step / 10) for step in range(20)])
    worker, _ = a_worker(feed, pipeline=a_pipeline(Faces(a_face())), recorder=recorder)

    run(worker)

    ((alert, _),) = recorder.alerts
    assert [(resolved.alert_id, resolved.reason) for resolved, _ in recorder.resolved] == [(alert.id, "left")]
    assert [person.counted_as for person in recorder.people] == ["without_mask"]
    assert worker.failure is None


@pytest.mark.parametrize(("silence_seconds", "next_look_seconds"), [(10.0, PAUSED_SECONDS), (2.0, 1.0)])
def test_a_paused_camera_counts_as_alive_and_a_resumed_one_is_analysed_at_once(silence_seconds, next_look_seconds):
    class Feed(Frames):
        def convert_only_what_is_due(self, due_at: Any) -> None:
            self.due_at = due_at

    pauses = Pauses(boot_id="boot")
    pauses.pause(["door"], seconds=None, at=0.0, when=NOON)
    feed = Feed([a_frame(taken_at := time.monotonic())])
    worker, _ = a_worker(feed, pauses=pauses, silence_seconds=silence_seconds)

    run(worker)

    assert feed.due_at() == pytest.approx(taken_at + next_look_seconds)
    pauses.resume(["door"], at=0.0, when=NOON)
    assert feed.due_at() <= taken_at


def test_a_closed_worker_and_its_models_are_freed_while_its_camera_goes_on():
    feed = CameraFeed("door", CameraConfig())
    worker, _ = a_worker(feed)
    worker.start()
    kept = weakref.ref(worker)

    worker.close()
    del worker
    gc.collect()

    assert kept() is None


def test_several_hanging_workers_are_closed_in_parallel():
    frames_come = threading.Event()

    class Blocked(Frames):
        def wait(self, _timeout_seconds: float) -> Frame | None:
            frames_come.wait()
            return None

    workers = [a_worker(Blocked([]))[0] for _ in range(5)]
    for worker in workers:
        worker.start()
    began_at = time.monotonic()

    close_all(workers, timeout_seconds=CLOSE_SECONDS)

    took_seconds = time.monotonic() - began_at
    frames_come.set()
    assert took_seconds < 2 * CLOSE_SECONDS


def test_a_bug_ends_the_worker_and_is_kept_for_the_main_thread():
    worker, _ = a_worker(Frames(frames(1)), pipeline=None)

    run(worker)

    assert isinstance(worker.failure, AttributeError)


def test_a_hanging_main_thread_does_not_fill_memory():
    worker, given = a_worker(Frames(frames(MAX_RESULTS + 20)))

    run(worker)

    kept = [given.get_nowait() for _ in range(given.qsize())]
    assert [result.outcome is not None for result in kept] == [True] * MAX_RESULTS
    assert [result.frame is not None for result in kept] == [True] * MAX_FRAMES + [False] * (MAX_RESULTS - MAX_FRAMES)


class Ticking(EagerCamera):
    """A camera that delivers a picture every few milliseconds, or blocks in its read until it is released."""

    grabbed = np.zeros((12, 16, 3), np.uint8)

    def __init__(self, blocks: threading.Event | None) -> None:
        self._blocks = blocks

    def grab(self) -> bool:
        if self._blocks is not None:
            self._blocks.wait(120.0)
        time.sleep(0.002)
        return True


@pytest.mark.parametrize("trouble", ["camera", "disk", "broker"])
def test_a_camera_that_blocks_a_disk_that_hangs_and_a_broker_that_is_silent_delay_no_other_camera(tmp_path, trouble):
    released = threading.Event()
    store = AlertStore(tmp_path / "alerts.sqlite", boot_id="b")
    disk = Hanging(Crops(tmp_path / "crops", CropsConfig(jpeg_quality=90))) if trouble == "disk" else None
    recording = Recording(store, tmp_path, **({"pictures": disk} if disk else {}))
    with ExitStack() as stack:
        stack.callback(store.close)
        stack.callback(recording.recorder.close, timeout_seconds=60.0)
        stack.callback(released.set)
        if disk:
            stack.callback(disk.released.set)
        if trouble == "broker":
            # It accepts the connection and never responds.
            broker = stack.enter_context(ScriptedBroker(lambda _level: b""))
            publisher = Publisher(store, broker.config(), DEVICE, kept=KeptConnection())
            publisher.start()
            stack.callback(publisher.close, drain_seconds=0.0)
        recording.recorder.start()
        blocks = released if trouble == "camera" else None
        cameras = stack.enter_context(
            Cameras(opener=lambda config, _stop: Ticking(blocks if config.source == "yard" else None))
        )
        cameras.follow({name: CameraConfig(source=name) for name in ("yard", "door")})
        workers = []
        for name in ("yard", "door"):
            pipeline = Alerting(always=name == "yard")
            workers.append(a_worker(cameras.feeds[name], pipeline=pipeline, recorder=recording.recorder))
            workers[-1][0].start()
            stack.callback(workers[-1][0].close)
        _, given = workers[1]
        given.get(timeout=60.0)

        results = [given.get(timeout=60.0) for _ in range(100)]
        looks = [result.frame.taken_at for result in results if result.frame is not None]

    slowest = max(later - earlier for earlier, later in itertools.pairwise(looks))
    # Blocked components stay blocked until the end; a busy machine may delay a thread.
    assert slowest < 10.0
