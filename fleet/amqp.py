"""AMQP: connects to a node of the RabbitMQ cluster."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pika
from pika.exceptions import AMQPError

from edge_agent.errors import ConfigError, UnavailableError
from fleet.management import password, tls_context

if TYPE_CHECKING:
    from pika.adapters.blocking_connection import BlockingConnection

    from fleet.config import BrokerConfig

CONNECT_SECONDS = 5
# A virtual host that is temporarily down gives a different message.
NO_VIRTUAL_HOST = re.compile("vhost .* not found")
HEARTBEAT_SECONDS = 30
"""An unresponsive node is dropped after twice this; workers keep answering while they wait for the database."""


def connect(config: BrokerConfig) -> BlockingConnection:
    """Connect to the first node that answers.

    Raises:
        ConfigError: a password or certificate cannot be read, the user is refused, or the virtual host does not exist.
        UnavailableError: no node responds.
    """
    credentials = pika.PlainCredentials(config.username, password(config))
    context = tls_context(config)
    problem = ""
    for host in config.hosts:
        parameters = pika.ConnectionParameters(
            host,
            config.port,
            config.virtual_host,
            credentials,
            heartbeat=HEARTBEAT_SECONDS,
            socket_timeout=CONNECT_SECONDS,
            stack_timeout=CONNECT_SECONDS * 2,
            blocked_connection_timeout=HEARTBEAT_SECONDS * 2,
            ssl_options=pika.SSLOptions(context, host) if context else None,
        )
        try:
            return pika.BlockingConnection(parameters)
        except pika.exceptions.ProbableAuthenticationError as error:
            raise ConfigError(
                f"{host}:{config.port}: RabbitMQ refuses '{config.username}'; check broker.username and the file "
                "broker.password_file"
            ) from error
        except (AMQPError, OSError) as error:
            reason = describe_error(error)
            if NO_VIRTUAL_HOST.search(reason):
                raise ConfigError(
                    f"{host}:{config.port}: RabbitMQ has no virtual host '{config.virtual_host}'; run "
                    "'maskwatch-fleet init'"
                ) from error
            problem = f"{host}:{config.port}: {reason}"
    raise UnavailableError(f"{problem}; check broker.hosts and broker.port, and whether RabbitMQ runs there")


def describe_error(error: BaseException) -> str:
    """The root cause, which pika wraps in its own exceptions, on one line."""
    found = error
    # Some of pika's exceptions store it only in an attribute.
    while isinstance(inner := getattr(found, "exception", None) or next(iter(found.args), None), BaseException):
        found = inner
    text = found.strerror if isinstance(found, OSError) else str(found)
    return " ".join((text or type(found).__name__).split())
