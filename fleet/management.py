"""Management: applies definitions to RabbitMQ and queries its state.

Uses RabbitMQ's HTTP API through the standard library.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from edge_agent.command_line import with_progress
from edge_agent.config.secrets import read_password
from edge_agent.errors import ConfigError, UnavailableError
from fleet.credentials import secret_file
from fleet.definitions import EXCHANGE, PICTURES, definitions, device_permissions, require_device_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fleet.config import BrokerConfig, FleetConfig

ANSWER_SECONDS = 15.0
DEVICES_AT_ONCE = 100
"""Devices per request, so that a busy broker still responds in time."""
GUEST = "guest"
PICTURE_BINDINGS = f"bindings/{{vhost}}/e/{EXCHANGE}/q/{PICTURES}"


def password(config: BrokerConfig) -> str:
    """The password of the fleet's broker user.

    Raises:
        ConfigError: its file cannot be read.
    """
    file = secret_file("broker-password", config.password_file)
    return read_password(file, key="broker.password_file") if file else GUEST


def tls_context(config: BrokerConfig) -> ssl.SSLContext | None:
    """TLS context for the brokers; None if TLS is disabled.

    Raises:
        ConfigError: a certificate or key cannot be read.
    """
    if not config.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.cert_file is not None:
            context.load_cert_chain(config.cert_file, secret_file("broker-key", config.key_file))
    except OSError as error:
        raise ConfigError(f"broker.ca_file, cert_file, key_file: not readable certificates: {error}") from error
    return context


class Management:
    """Client of the management API; uses the first node that responds."""

    def __init__(self, config: BrokerConfig) -> None:
        """Read password and certificates.

        Raises:
            ConfigError: one of them cannot be read.
        """
        credentials = f"{config.username}:{password(config)}".encode()
        self._authorization = f"Basic {base64.b64encode(credentials).decode()}"
        self._context = tls_context(config)
        scheme = "https" if config.tls else "http"
        self._addresses = [f"{scheme}://{host}:{config.management_port}" for host in config.hosts]
        self._virtual_host = quote(config.virtual_host, safe="")

    def version(self) -> str:
        """The version of RabbitMQ.

        Raises:
            UnavailableError: no node responds, or another service does.
            ConfigError: the user lacks permission.
        """
        overview = self.get("overview")
        if not isinstance(overview, dict) or "rabbitmq_version" not in overview:
            raise UnavailableError(
                f"{', '.join(self._addresses)}: not RabbitMQ's management API; check broker.hosts and "
                "broker.management_port"
            )
        return str(overview["rabbitmq_version"])

    def get(self, path: str) -> Any:
        """GET a path, in which `{vhost}` stands for the virtual host. None if it does not exist.

        Raises:
            UnavailableError: no node responds, or the response is not RabbitMQ's.
            ConfigError: the user lacks permission.
        """
        return self._ask("GET", path, None)

    def put(self, path: str, content: dict[str, Any]) -> None:
        """PUT; raises as `get` does."""
        self._ask("PUT", path, content)

    def post(self, path: str, content: dict[str, Any]) -> None:
        """POST; raises as `get` does."""
        self._ask("POST", path, content)

    def delete(self, path: str) -> None:
        """DELETE; raises as `get` does."""
        self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, content: dict[str, Any] | None) -> Any:
        problem = ""
        for address in self._addresses:
            try:
                return self._ask_one(f"{address}/api/{path.replace('{vhost}', self._virtual_host)}", method, content)
            except UnavailableError as error:
                problem = str(error)
        raise UnavailableError(problem)

    def _ask_one(self, address: str, method: str, content: dict[str, Any] | None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        headers = {"Authorization": self._authorization, "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(address, body, headers, method=method)  # noqa: S310  (http, https: see above)
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS, context=self._context) as answer:  # noqa: S310
                text = answer.read()
            return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return self._refused(error, address)
        except (OSError, HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise UnavailableError(
                f"{address}: no answer of RabbitMQ's management API ({reason}); check broker.hosts and "
                "broker.management_port, and that the plug-in rabbitmq_management is enabled"
            ) from error

    def _refused(self, error: urllib.error.HTTPError, address: str) -> None:
        with error:
            reply = error.read().decode(errors="replace")[:300]
        if error.code == HTTPStatus.NOT_FOUND:
            return
        if error.code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            raise ConfigError(
                f"{address}: RabbitMQ refuses this user; check broker.username, the file broker.password_file and that "
                "the user has the tag 'administrator'"
            )
        raise UnavailableError(f"{address}: {error.code} {reply}")


def make(config: FleetConfig, management: Management) -> None:
    """Create the virtual host and its definitions; keeps what exists.

    Raises:
        UnavailableError: no node responds, or it refuses a definition.
        ConfigError: the user lacks permission, or an existing queue has another type.
    """
    broker = config.broker
    management.put("vhosts/{vhost}", {"default_queue_type": "quorum"})
    management.put(
        f"permissions/{{vhost}}/{quote(broker.username, safe='')}", {"configure": ".*", "write": ".*", "read": ".*"}
    )
    wanted = definitions(config)
    for queue in wanted["queues"]:
        found = management.get(f"queues/{{vhost}}/{queue['name']}")
        kind = found and found["arguments"].get("x-queue-type", "classic")
        if kind and kind != queue["arguments"]["x-queue-type"]:
            raise ConfigError(
                f"queue '{queue['name']}' is there and is {kind}; empty and delete it, and run this again"
            )
    management.post("definitions/{vhost}", wanted)
    for binding in _unstored(config, management):
        management.delete(f"{PICTURE_BINDINGS}/{quote(binding['properties_key'], safe='')}")


def _unstored(config: FleetConfig, management: Management) -> list[dict[str, Any]]:
    """Bindings that still fill the queue of pictures although nothing empties it."""
    return [] if config.publish_crops else management.get(PICTURE_BINDINGS) or []


def add_devices(config: FleetConfig, management: Management, devices: Iterable[str]) -> int:
    """Admit devices by certificate, each limited to its own topics; returns how many are new.

    Raises:
        ConfigError: an id is invalid; nothing was changed.
        UnavailableError: no node responds.
    """
    ids = list(dict.fromkeys(devices))
    for device in ids:
        require_device_id(device)
    users = {user["name"]: user for user in management.get("users")}
    for device in ids:
        if (user := users.get(device)) and (user["tags"] or user["password_hash"]):
            raise ConfigError(
                f"device '{device}': RabbitMQ has a user of this name that is no device; choose another id"
            )
    permissions, topics = device_permissions(config)
    vhost = {"vhost": config.broker.virtual_host}
    batches = [ids[begin : begin + DEVICES_AT_ONCE] for begin in range(0, len(ids), DEVICES_AT_ONCE)]
    for some in with_progress(batches, unit=f"batches of {DEVICES_AT_ONCE} devices"):
        management.post(
            "definitions",
            {
                # Without a password the user can log in only by certificate.
                "users": [{"name": device, "password_hash": "", "tags": ""} for device in some],
                "permissions": [{"user": device, **vhost, **permissions} for device in some],
                "topic_permissions": [{"user": device, **vhost, **topics} for device in some],
            },
        )
    return sum(device not in users for device in ids)


def differences(config: FleetConfig, management: Management) -> list[str]:
    """Describe each difference between the definitions and the broker; empty if there is none.

    Raises:
        UnavailableError: no node responds.
        ConfigError: the user lacks permission.
    """
    management.version()
    wanted = definitions(config)
    queues = {queue["name"]: queue for queue in management.get("queues/{vhost}") or []}
    bindings = {
        (binding["source"], binding["destination"], binding["routing_key"])
        for binding in management.get("bindings/{vhost}") or []
    }
    policies = {policy["name"]: policy for policy in management.get("policies/{vhost}") or []}
    found = [f"queue {queue['name']} is missing" for queue in wanted["queues"] if queue["name"] not in queues]
    found += [
        f"queue {queue['name']} is no quorum queue"
        for queue in wanted["queues"]
        if queue["name"] in queues and queues[queue["name"]].get("type") != "quorum"
    ]
    found += [
        f"{binding['routing_key']} is bound to {PICTURES}, and publish_crops is off"
        for binding in _unstored(config, management)
    ]
    found += [
        f"{binding['routing_key'] or binding['source']} is not bound to {binding['destination']}"
        for binding in wanted["bindings"]
        if (binding["source"], binding["destination"], binding["routing_key"]) not in bindings
    ]
    for policy in wanted["policies"]:
        there = policies.get(policy["name"])
        if there is None or any(there[key] != policy[key] for key in ("pattern", "definition")):
            found.append(f"policy {policy['name']} is {'missing' if there is None else 'another'}")
    return found
