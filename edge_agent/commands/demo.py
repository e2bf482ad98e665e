"""Demo: broker, agent and subscriber in one process on one terminal."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from edge_agent.camera.cameras import Cameras
from edge_agent.commands.options import alert_line, configured
from edge_agent.config.model import shipped
from edge_agent.config.redaction import shown_source
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.host.clock import boot_id
from edge_agent.host.systemd import Notifier
from edge_agent.mqtt.kept_connection import KeptConnection
from edge_agent.mqtt.subscriber import follow_alerts
from edge_agent.pauses import Pauses
from edge_agent.wiring import open_agent

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from edge_agent.config.model import Config, MqttConfig

EXAMPLE = "street_door.mp4"
HOST = "127.0.0.1"
START_SECONDS = 10.0
"""Timeout for the start of broker and subscriber on this machine."""
LATE_SECONDS = 3.0
"""How long to wait for the last messages after the end of the recording."""
POLL_SECONDS = 0.05

log = logging.getLogger(__name__)


def run_demo(options: argparse.Namespace, *, stop: threading.Event) -> int:
    """Run the demo on a terminal until the source ends or `stop` is set; prints a summary."""
    with ExitStack() as stack:
        config = _demo_config(options, stack)
        received = stack.enter_context(_subscriber(config.mqtt, device=config.device.name, ended=stop))
        began = time.monotonic()
        cameras, kept = stack.enter_context(Cameras()), stack.enter_context(KeptConnection())
        pauses = Pauses(boot_id=boot_id())
        with open_agent(
            config, Notifier(), cameras=cameras, kept=kept, pauses=pauses, reload=_refuse_to_reload
        ) as agent:
            sources = ", ".join(f"{name} ({shown_source(camera.source)})" for name, camera in config.cameras.items())
            print(f"watching {sources}; broker {config.mqtt.host}:{config.mqtt.port}; Ctrl-C ends", flush=True)
            agent.run(stop)
            seconds = time.monotonic() - began
            counts = agent.metrics.totals()
            late_at = time.monotonic() + LATE_SECONDS
            while (pending := agent.publisher.state.waiting) or len(received) < counts.alerts:
                if time.monotonic() >= late_at:
                    break
                time.sleep(POLL_SECONDS)
        print(
            f"\n{counts.frames} frames in {seconds:.1f} s, {counts.analysed} analysed, "
            f"{counts.readings} readings, {counts.alerts} alerts raised, {len(received)} received over MQTT, "
            f"{pending} pending\ncrops: {config.crops_folder}"
        )
        return 0 if len(received) >= counts.alerts else UnavailableError.exit_code


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
        changes += [f"mqtt.host={HOST}", f"mqtt.port={stack.enter_context(_broker())}"]
        # Keep crops and undelivered alerts of the demo apart from those of a real agent.
        changes.append(f"state_dir={json.dumps(str(config.state / 'demo'))}")
    # The subscriber runs on this machine, so it can open the file.
    options.set = [*options.set, *changes, "mqtt.publish_crop_paths=true"]
    return configured(options)


@contextmanager
def _broker() -> Iterator[int]:
    """Run an amqtt broker in its own thread; yields its loopback port.

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
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    listener = {"type": "tcp", "bind": f"{HOST}:{port}"}
    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    loop = asyncio.new_event_loop()
    # amqtt supports MQTT 3.1.1 only, and fails to close the connection of a client that tried version 5 and left.
    loop.set_exception_handler(lambda _loop, context: log.debug("the demo's broker: %s", context["message"]))

    async def start() -> Broker:
        broker = Broker({"listeners": {"default": listener}, "plugins": plugins}, loop=loop)
        await broker.start()
        return broker

    thread = threading.Thread(target=loop.run_forever, name="demo broker", daemon=True)
    thread.start()
    try:
        broker = asyncio.run_coroutine_threadsafe(start(), loop).result(START_SECONDS)
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UnavailableError(f"the demo's broker does not start: {reason}") from error
    try:
        yield port
    finally:
        wait([asyncio.run_coroutine_threadsafe(broker.shutdown(), loop)], START_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(START_SECONDS)


@contextmanager
def _subscriber(mqtt: MqttConfig, *, device: str, ended: threading.Event) -> Iterator[list[Mapping[str, Any]]]:
    """Print each alert as it arrives, in a thread; yields those that have arrived so far.

    `ended` is set when nothing can be printed any more, and the error is raised on exit.

    Raises:
        UnavailableError: the broker does not confirm the subscription within START_SECONDS.
    """
    received: list[Mapping[str, Any]] = []
    subscribed, stop = threading.Event(), threading.Event()

    def follow() -> None:
        try:
            for message in follow_alerts(mqtt, device=device, stop=stop, on_connected=subscribed.set):
                print(f"\nMQTT alert: {alert_line(message)}\n{json.dumps(message)}", flush=True)
                received.append(message)
        finally:
            ended.set()

    executor = ThreadPoolExecutor(1, thread_name_prefix="demo subscriber")
    following = executor.submit(follow)
    try:
        if not subscribed.wait(START_SECONDS):
            raise UnavailableError(f"{mqtt.host}:{mqtt.port} does not accept the subscription; see 'edge-agent doctor'")
        yield received
    finally:
        stop.set()
        executor.shutdown()
        following.result()
