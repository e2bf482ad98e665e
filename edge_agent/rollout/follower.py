"""Follower: applies the fleet's desired model to this device, step by step."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import re
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING

from edge_agent.bridge.client import UnansweredError
from edge_agent.errors import ModelError, UnavailableError, in_one_line
from edge_agent.messages.rollout import assigned_model
from edge_agent.rollout.installation import Installation, Rollout
from edge_agent.rollout.probation import Probation, rate_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.bridge.client import AgentClient
    from edge_agent.bridge.protocol import DeviceStatus
    from edge_agent.config.model import Config
    from edge_agent.rollout.repository import Repository

OBSERVE_SECONDS = 5.0
POLL_SPREAD = 0.2
"""Random fraction of the interval, so that ten thousand devices switched on together do not poll at once."""
MAX_ATTEMPTS = 3
"""A power loss or an upgrade sometimes interrupts a probation; a model that crashes the machine does so each time."""

log = logging.getLogger(__name__)


class Follower:
    """Polls, installs, switches and evaluates models. Owned by the event loop; slow work runs in threads."""

    def __init__(
        self,
        config: Config,
        agent: AgentClient,
        *,
        open_repository: Callable[[], Repository],
        examine: Callable[[Path], None],
        at: float,
    ) -> None:
        """An interrupted probation starts again.

        `open_repository` fetches the desired models and raises an UnavailableError; `examine` a ModelError.

        Raises:
            OSError: the folder of the models cannot be written.
        """
        self._settings, self._device, self._agent = config.rollout, config.device.name, agent
        self._folder = config.models_folder
        self._installation = Installation(self._folder)
        self._open_repository, self._examine = open_repository, examine
        self._poll_at = at
        self._problem = ""
        self.last_poll = "not polled yet"
        """Result and time of the last poll."""
        self._probation: Probation | None = None
        self._run_id: str | None = None

    async def turn(self, *, at: float) -> None:
        """Run the tasks that are due.

        Raises:
            OSError: the state of a probation cannot be written.
        """
        if at >= self._poll_at:
            self._poll_at = at + self._settings.poll_seconds * (1 + POLL_SPREAD * random.random())  # noqa: S311  (no secret)
            when = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
            try:
                await self._poll()
            except UnavailableError as error:
                problem = in_one_line(error)
            except OSError as error:
                # Ending here would download the model again at each restart.
                problem = f"{self._folder}: cannot be written: {error.strerror or error}"
            else:
                problem = ""
            follows = f"follows assignment {self._installation.rollout.number}"
            self.last_poll = f"polled {when}: {problem or follows}"
            if problem and problem != self._problem:
                log.warning("%s", problem)
            self._problem = problem
        if self._installation.rollout.state == "probation":
            await self._observe(at=at)

    async def _poll(self) -> None:
        repository = await asyncio.to_thread(self._open_repository)
        assignment = (await asyncio.to_thread(repository.assignments)).groups.get(self._settings.group)
        if assignment is None:
            return
        progress = (await asyncio.to_thread(repository.stages)).groups.get(self._settings.group)
        now = self._installation.rollout
        wanted = assigned_model(assignment, progress, device=self._device, running=now.running)
        if now.state == "rejected" and (now.number, now.model) == (assignment.number, wanted):
            return
        if wanted == now.running:
            if assignment.number > now.number and now.state != "probation":
                other = now.previous if now.state != "rejected" else None
                self._installation.record(Rollout(number=assignment.number, model=wanted, previous=other))
            return
        await self._change(repository, wanted, number=assignment.number)

    async def _change(self, repository: Repository, wanted: str | None, *, number: int) -> None:
        status = await self._status()
        if status is None:
            raise UnavailableError("the fleet requests another model, but the agent is not running: start edge-agent")
        now = self._installation.rollout
        if wanted is None or (wanted == now.previous and self._installation.has(wanted)):
            # It ran here before.
            log.info("model: back to %s", wanted or "that of the configuration")
            self._installation.record(Rollout(number=number, model=wanted, previous=now.proven))
            await self._reload()
            return
        try:
            await asyncio.to_thread(self._install, repository, wanted)
        except ModelError as error:
            await self._reject(wanted, in_one_line(error), number=number)
            return
        log.info("model: %s instead of %s, on probation", wanted, now.running or "that of the configuration")
        rate, memory_bytes = rate_of(status), status.telemetry.machine.memory_bytes
        if now.state == "probation":
            # A model that has not passed its own probation is no measure for another.
            rate, memory_bytes = now.frames_per_second, now.memory_bytes
        self._installation.record(
            Rollout(
                number=number,
                model=wanted,
                previous=now.proven,
                state="probation",
                frames_per_second=rate or 0.0,
                memory_bytes=memory_bytes or 0,
            )
        )
        self._probation, self._run_id = None, status.run_id
        await self._reload()

    def _install(self, repository: Repository, model: str) -> None:
        needed = repository.minimum_version(model)
        if _numbers(needed) > _numbers(version("maskwatch")):
            raise ModelError(f"needs maskwatch {needed}, and this is {version('maskwatch')}")
        # Installed, though its state could not be saved, if the disk has failed since.
        if not self._installation.has(model):
            network, card = repository.fetch(model)
            self._installation.install(model, network, card)
        self._examine(self._installation.path(model))

    async def _observe(self, *, at: float) -> None:
        now = self._installation.rollout
        if self._probation is None:
            if now.attempts >= MAX_ATTEMPTS:
                await self._reject(now.model, f"probation was cut short {now.attempts} times", number=now.number)
                return
            self._installation.record(now.model_copy(update={"attempts": now.attempts + 1}))
            network = await asyncio.to_thread(self._installation.path(now.model or "").read_bytes)
            self._probation = Probation(
                model_sha256=hashlib.sha256(network).hexdigest(),
                run_id=self._run_id,
                frames_per_second=now.frames_per_second,
                memory_bytes=now.memory_bytes,
                at=at,
            )
        result = self._probation.observe(await self._status(), at=at)
        if result == "passed":
            log.info("model: %s has passed its probation", now.model)
            self._installation.record(now.model_copy(update={"state": "accepted"}))
        elif result != "continues":
            await self._reject(now.model, result, number=now.number)

    async def _reject(self, model: str | None, reason: str, *, number: int) -> None:
        """Return to the last model that has proven itself, and record the reason."""
        log.error("model: %s is rejected: %s", model, reason)
        now = self._installation.rollout
        self._probation = None
        self._installation.record(
            Rollout(number=number, model=model, previous=now.proven, state="rejected", reason=reason)
        )
        if now.running != now.proven:
            await self._reload()

    async def _reload(self) -> None:
        """Make the agent load the linked model; one that does not respond loads it when it starts."""
        with suppress(UnansweredError):
            result = await self._agent.command("reload", b"{}")
            if result["state"] != "done":
                log.warning("the agent does not reload: %s", result["reason"])

    async def _status(self) -> DeviceStatus | None:
        try:
            return await self._agent.status()
        except UnansweredError:
            return None


def _numbers(text: str) -> tuple[int, ...]:
    """Numbers for comparing versions: 0.10.0 is above 0.9.1."""
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])
