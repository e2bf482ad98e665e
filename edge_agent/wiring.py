"""Wiring: builds the agent from a configuration; the only place where concrete classes meet."""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import time
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import cv2

from edge_agent.agent import Agent
from edge_agent.alerts.anonymise import draw_scene
from edge_agent.alerts.crops import Crops
from edge_agent.alerts.deletion import delete_alert
from edge_agent.alerts.events import EventQueue
from edge_agent.alerts.history import AlertHistory
from edge_agent.alerts.recorder import Recorder
from edge_agent.alerts.retention import Retention
from edge_agent.alerts.store import AlertStore
from edge_agent.alerts.timeline import Timelines
from edge_agent.bridge.protocol import SOCKET_NAME
from edge_agent.bridge.server import Bridge
from edge_agent.control import Control
from edge_agent.decision.liveness import LivenessFilter
from edge_agent.decision.nearest import NearestPerson
from edge_agent.decision.people import PeopleCounter
from edge_agent.decision.rules import Rules
from edge_agent.decision.sequential_test import SequentialTest
from edge_agent.decision.tracker import Tracker
from edge_agent.errors import ModelError, UnavailableError
from edge_agent.governor import Governor
from edge_agent.host.allocator import release_free_memory
from edge_agent.host.atomic_files import make_folder
from edge_agent.host.clock import boot_id, is_clock_synchronised
from edge_agent.host.stats import HostStats
from edge_agent.host.threads import close_all
from edge_agent.messages.alert import Model
from edge_agent.messages.ids import uuid7
from edge_agent.messages.sender import Sender
from edge_agent.messages.telemetry import Models
from edge_agent.messages.topics import Topics
from edge_agent.metrics import Metrics
from edge_agent.mqtt.homeassistant import birth_topic, discovery_topic
from edge_agent.mqtt.publisher import Publisher
from edge_agent.mqtt.retained import RetainedNames
from edge_agent.pipeline import Pipeline
from edge_agent.signals.signals import Signals
from edge_agent.status import StatusReporter
from edge_agent.vision.classifier import open_classifier
from edge_agent.vision.detector import open_detector
from edge_agent.vision.frame_rate import FrameRate
from edge_agent.vision.motion import MotionGate
from edge_agent.worker import CLOSE_SECONDS, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from edge_agent.alerts.anonymise import DrawScene
    from edge_agent.camera.cameras import Cameras
    from edge_agent.config.model import Config, SignalName
    from edge_agent.domain import Face, Picture
    from edge_agent.host.systemd import Notifier
    from edge_agent.messages.message import Kind
    from edge_agent.mqtt.kept_connection import KeptConnection
    from edge_agent.pauses import Pauses
    from edge_agent.signals.signals import OutputPin
    from edge_agent.vision.classifier import MaskClassifier
    from edge_agent.vision.detector import FaceDetector
    from edge_agent.webhooks.delivery import WebhookDelivery
    from edge_agent.worker import FrameResult

log = logging.getLogger(__name__)

SNAPSHOTS_FRACTION = 0.1
"""Of crops.keep_bytes: snapshots never displace the crops of alerts."""
HIDING_SCORE = 0.05
"""Of 813 faces of 16 px and more in 457 validation pictures (street, elsewhere) the shipped detector finds 98.2 % at
this score and 95.6 % at its own of 0.5; in two thirds of the pictures something else is hidden needlessly."""
RECORD_SECONDS = 1.0
"""Time to write the latest alerts at the end; a disk that takes longer is not responding."""


@contextmanager
def open_agent(
    config: Config,
    notifier: Notifier,
    *,
    cameras: Cameras,
    kept: KeptConnection,
    pauses: Pauses,
    reload: Callable[[], None],
) -> Iterator[Agent]:
    """Build an agent and start its threads; on exit, workers stop first and the store closes last.

    `cameras`, the `kept` connection to the broker and `pauses` outlive it: those with an unchanged section keep running
    under the next agent.

    `reload` requests a reload of the configuration; it raises a ConfigError if that is invalid.

    Raises:
        ConfigError: pictures cannot be encrypted as configured.
        ModelError: a model or its card is missing or does not fit.
        UnavailableError: the state folder cannot be written, or another agent works there.
    """
    detector, classifier = open_models(config, users=len(config.cameras))
    # The golden vectors are no longer needed.
    release_free_memory()
    pictures = Crops(config.crops_folder, config.crops)
    log.info(
        "mask classifier %s, runtime %s; face detector %s",
        classifier.card.name,
        classifier.runtime,
        config.faces.detector,
    )
    with ExitStack() as stack:
        stack.enter_context(alone_in(config.state))
        store = stack.enter_context(
            closing(
                AlertStore(
                    config.store_file,
                    boot_id=boot_id(),
                    max_messages=config.outbox.max_messages,
                    max_bytes=config.outbox.max_bytes,
                    webhooks=[webhook.name for webhook in config.webhooks],
                )
            )
        )
        publisher = Publisher(
            store,
            config.mqtt,
            device=config.device.name,
            kept=kept,
            listen_to=subscribed_topics(config),
            retained=RetainedNames(config.state / "retained.json", current=retained_topics(config)),
        )
        publisher.start()
        stack.callback(publisher.close)
        versions = {"maskwatch": version("maskwatch"), "model": classifier.card.name, "runtime": classifier.runtime}
        webhooks = open_webhooks(config, stack)
        signals = open_signals(config, stack)
        metrics = Metrics(config.cameras)
        bridge = open_bridge(config, stack, metrics=metrics, versions=versions)
        crops = config.crops
        snapshot_bytes = int(crops.keep_bytes * SNAPSHOTS_FRACTION)
        snapshots = Retention(config.snapshots_folder, keep_days=crops.keep_days, keep_bytes=snapshot_bytes)
        recorder = Recorder(
            store,
            pictures=pictures,
            retention=Retention(
                config.crops_folder,
                keep_days=crops.keep_days,
                keep_bytes=crops.keep_bytes - snapshot_bytes,
                keep_free_bytes=crops.keep_free_bytes,
            ),
            snapshots=snapshots,
            sender=sender_of(config, classifier, next_sequence=store.next_sequence),
            keep_days=crops.keep_days,
            keep_counts_days=config.counts.keep_days,
            wake=lambda: _wake(publisher, webhooks),
            publish=publisher.publish_unstored,
        )
        recorder.start()
        stack.callback(recorder.close, timeout_seconds=RECORD_SECONDS)
        cameras.follow(config.cameras)
        pipelines = {name: build_pipeline(config, name, detector, classifier) for name in config.cameras}
        at = time.monotonic()
        pauses.keep_in(config.state / "pauses.json", at=at, when=datetime.now(timezone.utc))
        machine = HostStats(config.crops_folder)
        governor = Governor(
            config.governor,
            machine=machine,
            rates={name: pipeline.rate for name, pipeline in pipelines.items()},
            min_per_second=config.min_detect_fps,
            at=at,
        )
        reporter = StatusReporter(
            config,
            cameras=cameras,
            store=store,
            recorder=recorder,
            publisher=publisher,
            metrics=metrics,
            machine=machine,
            governor=governor,
            pauses=pauses,
            models=Models(
                faces=Model(name=config.faces.card.stem, sha256=detector.sha256) if detector.sha256 else None,
                masks=Model(name=classifier.card.name, sha256=classifier.card.sha256),
            ),
            versions=versions,
            webhooks=webhooks,
            removed_cameras=RetainedNames(config.cameras_file, current=config.cameras).stale,
            at=at,
        )
        results: queue.SimpleQueue[FrameResult] = queue.SimpleQueue()
        scenes = scenes_of(config, detector)
        workers = {
            name: Worker(
                cameras.feeds[name],
                pipeline,
                Timelines(
                    violation_llr=pipeline.sequential_test.violation_llr,
                    compliant_llr=pipeline.sequential_test.compliant_llr,
                ),
                scenes,
                pauses=pauses,
                recorder=recorder,
                results=results,
                silence_seconds=config.max_silence_seconds,
            )
            for name, pipeline in pipelines.items()
        }
        stack.callback(close_all, workers.values(), timeout_seconds=CLOSE_SECONDS)
        for worker in workers.values():
            worker.start()
        yield Agent(
            cameras=cameras,
            workers=workers,
            results=results,
            recorder=recorder,
            publisher=publisher,
            metrics=metrics,
            governor=governor,
            reporter=reporter,
            control=Control(
                config,
                publisher=publisher,
                pauses=pauses,
                reporter=reporter,
                pictures=Crops(config.snapshots_folder, crops),
                snapshots=snapshots,
                find_faces=hiding_detection(config, detector),
                reload=lambda: _reload(reload, recorder),
            ),
            bridge=bridge,
            signals=signals,
            notifier=notifier,
        )


def open_webhooks(config: Config, stack: ExitStack) -> list[WebhookDelivery]:
    """Start delivery to the configured webhooks; without any, nothing is imported.

    Raises:
        ConfigError: a secret cannot be read or is invalid.
    """
    if not config.webhooks:
        return []
    from edge_agent.webhooks.delivery import WebhookDelivery
    from edge_agent.webhooks.post import read_secret

    deliveries = []
    for number, webhook in enumerate(config.webhooks):
        secret_file = webhook.secret_file
        secret = read_secret(secret_file, key=f"webhooks.{number}.secret_file") if secret_file else None
        queue = EventQueue(config.store_file, webhook=webhook.name, kinds=webhook.events)
        deliveries.append(WebhookDelivery(webhook.url, queue, name=webhook.name, secret=secret))
    for delivery in deliveries:
        delivery.start()
        stack.callback(delivery.close)
    return deliveries


def _reload(reload: Callable[[], None], recorder: Recorder) -> None:
    recorder.check_responds()
    reload()


def _wake(publisher: Publisher, webhooks: Iterable[WebhookDelivery]) -> None:
    publisher.wake()
    for webhook in webhooks:
        webhook.wake()


def open_signals(config: Config, stack: ExitStack) -> Signals:
    """Claim the configured pins, all switched off; without any, the GPIO library is not imported.

    Raises:
        ConfigError: the library is missing, or pin or chip cannot be used.
        UnavailableError: another program holds a pin.
    """
    outputs = config.signals.outputs
    pins: Mapping[SignalName, OutputPin] = {}
    if outputs:
        from edge_agent.signals.gpio import open_pins

        pins = stack.enter_context(open_pins(config.signals))
    return Signals({name: (pin, outputs[name].seconds) for name, pin in pins.items()})


def open_bridge(config: Config, stack: ExitStack, *, metrics: Metrics, versions: Mapping[str, str]) -> Bridge:
    """Start the bridge for the console process, which reads the history itself but changes it through the agent."""
    history = AlertHistory(config.store_file)
    delete = partial(
        delete_alert, history=history, crops_folder=config.crops_folder, publishes_crops=config.mqtt.publish_crops
    )
    bridge = Bridge(
        config.state / SOCKET_NAME, metrics=metrics, versions=versions, review=history.review, delete=delete
    )
    bridge.start()
    stack.callback(bridge.close)
    return bridge


def subscribed_topics(config: Config) -> list[str]:
    """The topics that the agent subscribes to: commands and its own status, and Home Assistant's birth message.

    The status reveals other devices with the same name. Without commands, the broker need not allow reading it.
    """
    own, topics = Topics(config.mqtt.topic_prefix, config.device.name), []
    if config.mqtt.accept_commands:
        topics += [own.command("+"), own.status]
    if config.mqtt.home_assistant.enabled:
        topics.append(birth_topic(config))
    return topics


def retained_topics(config: Config) -> list[str]:
    """The topics that the broker retains for this device."""
    own = Topics(config.mqtt.topic_prefix, config.device.name)
    topics = [own.status, *map(own.violations, config.cameras)]
    if config.mqtt.home_assistant.enabled:
        topics.append(discovery_topic(config))
    return topics


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Lock a state folder: two agents would both send its alerts, under one name at the broker.

    If the folder cannot be written, there is nothing to lock, and the agent runs anyway.

    Raises:
        UnavailableError: another agent uses the folder.
    """
    with ExitStack() as stack:
        try:
            make_folder(folder)
            lock = stack.enter_context((folder / "lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UnavailableError(
                f"{folder}: in use by another agent; stop that one, or set another state_dir"
            ) from error
        except OSError as error:
            log.error("%s: cannot be written: %s; see state_dir", folder, error.strerror)  # noqa: TRY400
        yield


def is_at_work(state_dir: Path) -> bool:
    """Whether an agent uses this state folder now; False if the lock cannot be read."""
    try:
        with (state_dir / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def open_models(config: Config, *, users: int = 1) -> tuple[FaceDetector, MaskClassifier]:
    """Load both models for this many threads.

    Raises:
        ModelError: a model or its card is missing or does not fit.
    """
    # Each camera has its own thread: OpenCV's thread pool would only compete for the cores.
    cv2.setNumThreads(1)
    # A pair of interpreters takes 15 MB. One more than the cores can run, because each is still taken while its thread
    # waits for Python's lock: four cameras on two cores reach 265 frames/s with three, 251 with two, 267 with four.
    copies = min(users, len(os.sched_getaffinity(0)) // config.threads + 1)
    detector = open_detector(config.faces, runtime=config.runtime, threads=config.threads, copies=copies)
    return detector, open_mask_classifier(config, copies=copies)


def hiding_detection(config: Config, detector: FaceDetector) -> Callable[[Picture], list[Face]]:
    """Face detection with a low score threshold, to hide all possible faces in a picture."""
    return partial(detector.detect, min_score=min(config.faces.least_score, HIDING_SCORE))


def scenes_of(config: Config, detector: FaceDetector) -> DrawScene:
    """The renderer of alert scenes, for all cameras."""
    if config.crops.picture != "scene":
        return lambda *_scene: None
    return partial(draw_scene, hiding_detection(config, detector))


def open_mask_classifier(config: Config, *, copies: int = 1) -> MaskClassifier:
    """Load the mask classifier; `copies` is the number of threads that can use it at once.

    Raises:
        ModelError: the model or its card is missing or does not fit.
    """
    opened = partial(
        open_classifier, runtime=config.runtime, threads=config.threads, copies=copies, labels=config.masks.labels
    )
    model, configured = config.mask_model, config.configured_mask_model
    if model == configured:
        return opened(model)
    try:
        return opened(model)
    except ModelError as error:
        # A rolled-out model must not stop the device from working; the rollout sees which model runs.
        log.error("%s; using %s", error, configured)  # noqa: TRY400  (the message says it all)
        return opened(configured)


def build_pipeline(
    config: Config,
    name: str,
    detector: FaceDetector,
    classifier: MaskClassifier,
    *,
    called: str | None = None,
) -> Pipeline:
    """Build the pipeline of one configured camera.

    `called` is the name of the camera in its alerts, if it differs from the configuration.
    """
    rules = config.rules_of(name)
    return Pipeline(
        rate=FrameRate(config.cameras[name].detect_fps),
        motion=MotionGate(config.motion),
        detector=detector,
        tracker=Tracker(config.tracking, camera=called or name),
        classifier=classifier,
        sequential_test=SequentialTest(
            config.decision, violations=rules.violations, thresholds=classifier.card.thresholds
        ),
        liveness=LivenessFilter(),
        rules=Rules(rules, new_id=uuid7),
        people=PeopleCounter(rules, camera=called or name),
        nearest=NearestPerson(rules),
        margin_fraction=config.crops.margin_fraction,
    )


def sender_of(config: Config, classifier: MaskClassifier, *, next_sequence: Callable[[Kind], int]) -> Sender:
    """The sender of messages: device, titles and model."""
    return Sender(
        device=config.device.name,
        boot_id=boot_id(),
        model=Model(name=classifier.card.name, sha256=classifier.card.sha256),
        next_sequence=next_sequence,
        is_clock_synchronised=is_clock_synchronised,
        device_title=config.device_title,
        camera_titles=config.camera_titles,
    )
