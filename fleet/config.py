"""Configuration: brokers, database, web server, notification and roll-out of the fleet.

All keys have defaults; an empty file is valid and means everything runs on this machine.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, field_validator, model_validator

from edge_agent.config.model import Host, RepositoryUrl, TopicPrefix, is_url
from edge_agent.config_file import FilePath, Form, Section, load_as

if TYPE_CHECKING:
    from collections.abc import Sequence

SYSTEM_FILE = Path("/etc/maskwatch/fleet.yaml")
URL_ERROR = "must be a URL such as http://host:port/path"


class DatabaseConfig(Section):
    """PostgreSQL."""

    conninfo: str = Field(
        "dbname=maskwatch",
        description="Connection string of libpq, also with several hosts or TLS",
    )
    password_file: FilePath | None = Field(
        None,
        description="File whose first line is the password; the unit's credential database-password takes precedence. "
        "Empty: the password that libpq finds, for example in ~/.pgpass",
    )
    retention_days: int = Field(90, ge=1, le=3650, description="Data older than this is deleted")


class BrokerConfig(Section):
    """RabbitMQ."""

    hosts: tuple[Host, ...] = Field(
        ("localhost",),
        min_length=1,
        description="Names or addresses of the cluster's nodes; the first available is used",
    )
    port: int = Field(5672, ge=1, le=65535, description="AMQP port; 5671 is usual with TLS")
    management_port: int = Field(15672, ge=1, le=65535, description="Port of the management API")
    virtual_host: str = Field("maskwatch", min_length=1, description="Virtual host of the fleet")
    username: str = Field("maskwatch-fleet", min_length=1, description="User of the fleet's own processes")
    password_file: FilePath | None = Field(
        None,
        description="File whose first line is the password; the unit's credential broker-password takes precedence. "
        "Empty: 'guest'",
    )
    tls: bool = Field(False, description="Use TLS and verify the brokers' certificates")
    ca_file: FilePath | None = Field(None, description="Certificate authority of the brokers; empty: the system's")
    cert_file: FilePath | None = Field(None, description="Client certificate, if the brokers require one")
    key_file: FilePath | None = Field(
        None, description="Private key of the certificate; the unit's credential broker-key takes precedence"
    )
    max_queue_bytes: int = Field(
        4_000_000_000, ge=1_000_000, description="A full queue rejects messages, and devices keep them"
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> BrokerConfig:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        if not self.tls and (self.ca_file or self.cert_file):
            raise ValueError("ca_file and cert_file need tls: true")
        return self


class IngestConfig(Section):
    """Storing of messages."""

    batch_messages: int = Field(500, ge=1, le=10_000, description="Maximum number of messages in a transaction")
    batch_seconds: float = Field(0.05, ge=0.0, le=10.0, description="Maximum time that a message waits for a batch")
    prefetch: int = Field(1000, ge=1, le=65_535, description="Maximum number of unacknowledged messages per queue")


class WebConfig(Section):
    """The pages and the API of `maskwatch-fleet web`."""

    host: Host = Field("127.0.0.1", description="Address to listen on; every user has to log in")
    port: int = Field(8090, ge=1, le=65535, description="Port to listen on")
    cert_file: FilePath | None = Field(None, description="Certificate for https; empty: http, for example behind nginx")
    key_file: FilePath | None = Field(None, description="Private key of the certificate")
    token_file: FilePath | None = Field(
        None,
        description="File whose first line is the token of programs ('Authorization: Bearer'), which have read access; "
        "the unit's credential web-token takes precedence",
    )
    max_requests_per_second: float = Field(50.0, ge=0.1, le=10_000.0, description="Maximum rate per client address")
    silent_seconds: float = Field(
        300.0, ge=1.0, description="Time without messages after which a device counts as silent"
    )

    @model_validator(mode="after")
    def _belongs_together(self) -> WebConfig:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class NotifyConfig(Section):
    """Notification of people."""

    alertmanagers: tuple[
        Annotated[str, Form(r"^https?://[^/\s]+(/[^\s]*)?$", URL_ERROR), AfterValidator(is_url)], ...
    ] = Field(
        ("http://127.0.0.1:9093",),
        min_length=1,
        description="All Alertmanagers of the cluster; each gets all alerts",
    )
    ends_after_seconds: float = Field(
        3600.0, ge=60.0, le=86_400.0, description="Time after which an alert without a resolution ends in Alertmanager"
    )
    web_url: Annotated[str, Form(r"^(https?://[^\s]+)?$", URL_ERROR), AfterValidator(is_url)] = Field(
        "", description="URL of the pages, for links; empty: no links"
    )


class RolloutConfig(Section):
    """Roll-out of new models to the devices."""

    repository: FilePath | None = Field(
        None, description="Repository of signed models; nginx serves its metadata/ and targets/ to devices"
    )
    online_key_file: FilePath | None = Field(
        None,
        description="Private key of the server, which signs the progress of roll-outs; people keep theirs elsewhere; "
        "the unit's credential rollout-key takes precedence",
    )
    url: RepositoryUrl = Field(
        "",
        description="Public URL of the repository (rollout.url of the devices); checked by the doctor",
    )
    min_stage_hours: float = Field(24.0, gt=0.0, le=8760.0, description="Minimum duration of a stage")
    min_accepted_fraction: float = Field(
        0.9, gt=0.0, le=1.0, description="Share of a stage's devices that must accept the model before the next stage"
    )
    max_rejected_fraction: float = Field(
        0.1,
        ge=0.0,
        le=1.0,
        description="Share of a stage's devices that may reject the model before the stage is paused",
    )


class FleetConfig(Section):
    """The whole file."""

    topic_prefix: TopicPrefix = Field("maskwatch", description="mqtt.topic_prefix of the devices")
    site_pattern: str = Field(
        r"^(.+)-[^-]+$",
        description="Regular expression whose first group is the site in a device's id; the site of a device that does "
        "not match is its id. The table device_sites takes precedence",
    )
    publish_crops: bool = Field(False, description="Store pictures that devices publish (mqtt.publish_crops)")
    database: DatabaseConfig = DatabaseConfig()
    broker: BrokerConfig = BrokerConfig()
    ingest: IngestConfig = IngestConfig()
    web: WebConfig = WebConfig()
    notify: NotifyConfig = NotifyConfig()
    rollout: RolloutConfig = RolloutConfig()

    @field_validator("site_pattern")
    @classmethod
    def _has_a_group(cls, value: str) -> str:
        try:
            groups = re.compile(value).groups
        except re.error as error:
            raise ValueError(f"'{value}' is no regular expression: {error}") from error
        if not groups:
            raise ValueError(f"'{value}' has no group; put the part that names the site into parentheses")
        return value

    @field_validator("topic_prefix")
    @classmethod
    def _has_no_dot(cls, value: str) -> str:
        if "." in value:
            raise ValueError(f"'{value}' holds a '.', which separates levels at RabbitMQ; choose another prefix")
        return value

    def site_of(self, device: str) -> str:
        """The site part of a device's id."""
        found = re.search(self.site_pattern, device)
        return (found and found[1]) or device


def load(file: Path | None, *, overrides: Sequence[str] = ()) -> FleetConfig:
    """Read a file, or /etc/maskwatch/fleet.yaml if it exists; otherwise use the defaults.

    Raises:
        ConfigError: the file is invalid; the message lists all errors with line, key and value.
    """
    if file is None and SYSTEM_FILE.exists():
        file = SYSTEM_FILE
    return load_as(FleetConfig, file, overrides=overrides, if_missing="docs/fleet.md shows one to begin from")
