"""Demo: broker, agent and subscriber in one process on one terminal."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from edge_agent.camera.cameras import Cameras
from edge_agent.commands.options import alert_line, configured
from edge_agent.config.model import shipped
from edge_agent.config.redaction import shown_source
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.host.systemd import Notifier
from edge_agent.mqtt.subscriber import follow_alerts
from edge_agent.wiring import open_agent

if TYPE_CHECKING:
    import argparse

    from edge_agent.config.model import Config, MqttConfig

EXAMPLE = "street_door.mp4"
START_SECONDS = 10.0
"""Timeout for the start of broker and subscriber on this machine."""
LATE_SECONDS = 3.0
"""How long to wait for the last alerts after the end of the recording."""

log = logging.getLogger(__name__)


def run_demo(options: argparse.Namespace, *, stop: threading.Event) -> int:
    """Run the demo on a terminal until the source ends or `stop` is set; prints a summary."""
    with ExitStack() as stack:
        config = _demo_config(options, stack)
        subscriber = _Subscriber(config.mqtt, device=config.device.name)
        stack.callback(subscriber.close)
        subscriber.start()
        began = time.monotonic()
        cameras = stack.enter_context(Cameras())
        with open_agent(config, Notifier(), cameras=cameras, reload=_refuse_to_reload) as agent:
            sources = ", ".join(f"{name} ({shown_source(camera.source)})" for name, camera in config.cameras.items())
            print(f"watching {sources}; broker {config.mqtt.host}:{config.mqtt.port}; Ctrl-C ends", flush=True)
            agent.run(stop)
            seconds = time.monotonic() - began
            counts = agent.metrics.totals()
            subscriber.wait_for(counts.alerts, seconds=LATE_SECONDS)
            waiting = agent.store.count()
        print(
            f"\n{counts.frames} frames in {seconds:.1f} s, {counts.analysed} analysed, "
            f"{counts.readings} readings, {counts.alerts} alerts raised, {subscriber.received} received over MQTT, "
            f"{waiting} waiting\ncrops: {config.crops_folder}"
        )
        return 0 if subscriber.received >= counts.alerts else UnavailableError.exit_code


def _refuse_to_reload() -> None:
    raise ConfigError("the demo reads its configuration once")


def _demo_config(options: argparse.Namespace, stack: ExitStack) -> Config:
    """The configuration, with the example recording unless a camera is set, and our own broker unless one is set."""
    changes = []
    config = configured(options)
    if "cameras" not in config.model_fields_set:
        # JSON is valid YAML and quotes any name.
        cameras = {"example": {"source": str(shipped("examples") / EXAMPLE)}}
        changes.append(f"cameras={json.dumps(cameras)}")
    if "host" not in config.mqtt.model_fields_set:
        broker = _Broker()
        stack.callback(broker.close)
        changes += [f"mqtt.host={broker.host}", f"mqtt.port={broker.port}"]
        # Keep crops and undelivered alerts of the demo apart from those of a real agent.
        changes.append(f"state_dir={json.dumps(str(config.state / 'demo'))}")
    # The subscriber runs on this machine, so it can open the file.
    options.set = [*options.set, *changes, "mqtt.publish_crop_paths=true"]
    return configured(options)


class _Broker:
    """An amqtt broker on a free loopback port, in its own thread."""

    host = "127.0.0.1"

    def __init__(self) -> None:
        """Start the broker and wait until it listens.

        Raises:
            UnavailableError: amqtt is not installed, or the broker does not start.
        """
        try:
            from amqtt.broker import Broker
        except ImportError as error:
            raise UnavailableError(
                "the demo needs a broker: install maskwatch[demo], or set one with --set mqtt.host=..."
            ) from error
        # amqtt logs every connection.
        logging.getLogger("amqtt").setLevel(logging.ERROR)
        logging.getLogger("transitions").setLevel(logging.ERROR)
        with socket.socket() as free:
            free.bind((self.host, 0))
            self.port = free.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        # amqtt supports MQTT 3.1.1 only, and fails to close the connection of a client that tried version 5 and left.
        self._loop.set_exception_handler(lambda _loop, context: log.debug("the demo's broker: %s", context["message"]))
        self._broker_class = Broker
        self._failure = ""
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="demo broker", daemon=True)
        self._thread.start()
        if not self._listens.wait(START_SECONDS) or self._failure:
            raise UnavailableError(f"the demo's broker does not start: {self._failure or 'no answer'}")

    def close(self) -> None:
        """Stop the broker."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        listener = {"type": "tcp", "bind": f"{self.host}:{self.port}"}
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        try:
            broker = self._broker_class({"listeners": {"default": listener}, "plugins": plugins}, loop=self._loop)
            self._loop.run_until_complete(broker.start())
        except Exception as error:  # noqa: BLE001  (reported by __init__)
            self._failure = str(error) or type(error).__name__
            self._listens.set()
            return
        self._listens.set()
        self._loop.run_forever()
        self._loop.run_until_complete(broker.shutdown())
        self._loop.close()


class _Subscriber:
    """A subscriber that prints each alert as it arrives, in its own thread."""

    def __init__(self, mqtt: MqttConfig, *, device: str) -> None:
        self._mqtt, self._device = mqtt, device
        self._stop = threading.Event()
        self._subscribed = threading.Event()
        self._arrived = threading.Condition()
        self._thread = threading.Thread(target=self._follow, name="demo subscriber", daemon=True)
        self.received = 0

    def start(self) -> None:
        """Subscribe, and wait until the broker has confirmed it.

        Raises:
            UnavailableError: it does not within START_SECONDS.
        """
        self._thread.start()
        if not self._subscribed.wait(START_SECONDS):
            raise UnavailableError(
                f"{self._mqtt.host}:{self._mqtt.port} does not accept the subscription; see 'edge-agent doctor'"
            )

    def wait_for(self, count: int, *, seconds: float) -> None:
        """Wait until this many alerts have arrived, or the timeout is over."""
        with self._arrived:
            self._arrived.wait_for(lambda: self.received >= count, timeout=seconds)

    def close(self) -> None:
        """Disconnect from the broker."""
        self._stop.set()
        self._thread.join(START_SECONDS)

    def _follow(self) -> None:
        follow = follow_alerts(self._mqtt, device=self._device, stop=self._stop, on_connected=self._subscribed.set)
        for message in follow:
            print(f"\nMQTT alert: {alert_line(message)}\n{json.dumps(message)}", flush=True)
            with self._arrived:
                self.received += 1
                self._arrived.notify_all()
