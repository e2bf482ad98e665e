"""Worker: runs the pipeline for one camera.

    newest frame -> pipeline -> recorder, and the result to the main thread

One thread per camera: cameras use all cores, and one that blocks does not delay the others. Never waits for a disk,
socket or broker.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from edge_agent.host.threads import WORKER_THREAD

if TYPE_CHECKING:
    import queue

    from edge_agent.alerts.anonymise import DrawScene
    from edge_agent.alerts.recorder import Recorder
    from edge_agent.alerts.timeline import Timelines
    from edge_agent.camera.feed import CameraFeed
    from edge_agent.domain import Frame, Outcome
    from edge_agent.pauses import Pauses
    from edge_agent.pipeline import Pipeline

# Interval at which a stop is noticed while no frame arrives.
STOP_CHECK_SECONDS = 0.1
# With this many results queued the main thread is not running.
MAX_RESULTS = 50
# With this many queued, further results omit their frame: fifty of 1920x1080 take 311 MB.
MAX_FRAMES = 8
# Interval of the life signs of a paused camera, at most half of the time after which it would be taken for silent. Each
# costs decoding what has come since the newest key frame.
PAUSED_SECONDS = 4.0
CLOSE_SECONDS = 1.0
"""Longer than one frame takes on any usable machine."""


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """The result of one frame: no `outcome` while its camera is paused, no `frame` if the main thread lags behind."""

    camera: str
    outcome: Outcome | None
    frame: Frame | None


class Worker:
    """Runs the newest frames of one camera through its pipeline. Its thread owns pipeline and timelines."""

    def __init__(
        self,
        feed: CameraFeed,
        pipeline: Pipeline,
        timelines: Timelines,
        draw_scene: DrawScene,
        *,
        pauses: Pauses,
        recorder: Recorder,
        results: queue.SimpleQueue[FrameResult],
        silence_seconds: float,
    ) -> None:
        """Nothing runs before `start`. `results` is read by the main thread.

        A camera without a result for `silence_seconds` is taken for silent, also while it is paused.
        """
        self._feed, self._pipeline, self._timelines, self._draw_scene = feed, pipeline, timelines, draw_scene
        self._pauses, self._recorder, self._results = pauses, recorder, results
        self._camera = feed.state().name
        self._paused_seconds = min(PAUSED_SECONDS, silence_seconds / 2)
        self._glance_at = float("-inf")
        feed.convert_only_what_is_due(self._due_at)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=WORKER_THREAD + self._camera, daemon=True)
        self.failure: Exception | None = None
        """The bug that ended the thread, for the main thread to raise."""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running: it ends at the end of a recording."""
        return self._thread.is_alive()

    @property
    def violations(self) -> int:
        """Number of alerted people in view who are still in violation; 0 once the thread has ended."""
        return self._pipeline.rules.open_alerts if self.is_alive else 0

    def ask_to_stop(self) -> None:
        """Ask the thread to stop after the current frame; does not wait."""
        self._stop.set()

    def close(self, *, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """Stop the thread; one that hangs in a frame is abandoned."""
        self.ask_to_stop()
        self._thread.join(timeout_seconds)
        # After a reload the camera goes on: it must not keep this worker's models while the next loads its own.
        self._feed.convert_only_what_is_due(lambda: float("inf"))

    def _due_at(self) -> float:
        """The time from which the next picture is wanted. Called by the camera's thread."""
        due_at = self._pipeline.rate.due_at
        is_paused = self._pauses.is_paused(self._camera, at=time.monotonic())
        return max(due_at, self._glance_at) if is_paused else due_at

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                frame = self._feed.wait(STOP_CHECK_SECONDS)
                if frame is not None:
                    self._queue_result(frame, self._watch(frame))
                elif (state := self._feed.state()).finished:
                    self._record_departures(self._pipeline.end(at=time.monotonic(), when=datetime.now(timezone.utc)))
                    return
                elif not state.is_open:
                    # Otherwise alerts would stay open for as long as their camera is away.
                    self._record_departures(
                        self._pipeline.pass_time(at=time.monotonic(), when=datetime.now(timezone.utc))
                    )
        # Raised again by the supervising thread; it would be lost in this one.
        except Exception as error:  # noqa: BLE001
            self.failure = error

    def _watch(self, frame: Frame) -> Outcome | None:
        """Run a frame through the pipeline and record what it finds; None while the camera is paused."""
        is_paused = self._pauses.is_paused(frame.camera, at=time.monotonic())
        if is_paused:
            self._glance_at = frame.taken_at + self._paused_seconds
        # Also then: a resolution after a pause of hours would include unobserved time in its duration.
        outcome = self._pipeline.process(frame, is_paused=is_paused)
        self._timelines.observe(outcome)
        for alert in outcome.alerts:
            timeline = self._timelines.up_to(alert, at=frame.taken_at)
            # Now, because the frame is released soon; other faces are hidden first, as a hanging disk delays the queue.
            scene = self._draw_scene(frame, alert.verdict.track.id, outcome.tracks)
            self._recorder.record_alert(alert, timeline, scene=scene)
        self._record_departures(outcome)
        return None if is_paused else outcome

    def _record_departures(self, outcome: Outcome) -> None:
        for resolved in outcome.resolved:
            self._recorder.record_resolved(resolved, self._timelines.since(resolved))
        for person in outcome.people:
            self._recorder.record_person(person)

    def _queue_result(self, frame: Frame, outcome: Outcome | None) -> None:
        """Queue a result for the main thread, for metrics and the console."""
        waiting = self._results.qsize()
        if waiting < MAX_RESULTS:
            self._results.put(FrameResult(frame.camera, outcome, frame if waiting < MAX_FRAMES else None))
