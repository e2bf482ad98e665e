"""Webhook checks: whether each host name resolves and each secret is readable. Nothing is posted."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge_agent.webhooks.post import address_of, port_of, read_secret

if TYPE_CHECKING:
    from edge_agent.config.model import WebhookConfig


def look_at_webhook(webhook: WebhookConfig, *, number: int) -> str:
    """Describe a webhook and its resolved address; `number` is its index in the list.

    Raises:
        ConfigError: its secret cannot be read or is invalid.
        UnavailableError: its host name is unknown, or resolves to a link-local or metadata address.
    """
    if webhook.secret_file is not None:
        read_secret(webhook.secret_file, key=f"webhooks.{number}.secret_file")
    address = address_of(urlsplit(webhook.url).hostname or "", port_of(webhook.url))
    signed = "unsigned" if webhook.secret_file is None else "signed"
    return f"{webhook.name}: at {address}; {', '.join(webhook.events)}, {signed}"
