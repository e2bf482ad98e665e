"""The signature: who sends a message, from which start of the machine, and with which model?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge_agent.delivery.identity import is_clock_synchronised
from edge_agent.delivery.payload import alert_message, ended_message

if TYPE_CHECKING:
    from edge_agent.domain import Alert, Crop, Ended


@dataclass(frozen=True, slots=True)
class Signature:
    """What all messages of one run have in common."""

    device: str
    boot_id: str
    model_name: str
    model_sha256: str

    def sign(self, alert: Alert, *, id: str, crop: Crop | None, crop_error: str) -> dict[str, Any]:  # noqa: A002
        """Make the message of an alert, stamped with whether the clock can be believed now."""
        return alert_message(
            alert,
            id=id,
            device=self.device,
            boot_id=self.boot_id,
            clock_synchronised=is_clock_synchronised(),
            crop=crop,
            crop_error=crop_error,
            model_name=self.model_name,
            model_sha256=self.model_sha256,
        )

    def sign_ended(self, ended: Ended, *, id: str, alert: str) -> dict[str, Any]:  # noqa: A002
        """Make the message that the violation of an alert (its id) is over."""
        return ended_message(
            ended,
            id=id,
            alert=alert,
            device=self.device,
            boot_id=self.boot_id,
            clock_synchronised=is_clock_synchronised(),
        )
