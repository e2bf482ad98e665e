"""Installation: the active and the previous model, switched atomically.

<state>/models/rollout.json      the state of the roll-out; written first
               current           link to the active model according to rollout.json; none: that of the configuration
               installed/<name>/ masks.tflite and masks.json; the last two stay
               trust/            the metadata of the repository
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_agent.config.model import MODEL_LINK
from edge_agent.host.atomic_files import UNFINISHED, make_folder, sync_folder, write_whole
from edge_agent.messages.rollout import ModelName, RolloutFigures, RolloutState

if TYPE_CHECKING:
    from collections.abc import Callable

STATE_FILE = "rollout.json"
INSTALLED = "installed"
TRUST = "trust"
NETWORK, CARD = "masks.tflite", "masks.json"
FILE_MODE = 0o640

log = logging.getLogger(__name__)


class Rollout(BaseModel):
    """State of the roll-out on this device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(0, ge=0)
    model: ModelName | None = None
    """The model that `state` refers to; None: that of the configuration."""
    previous: ModelName | None = None
    """The previous model, which becomes active again if `model` is rejected."""
    state: RolloutState = "accepted"
    reason: str = ""
    attempts: int = 0
    """How often the probation was started: it starts again with this process."""
    frames_per_second: float = 0.0
    """Rate of the agent with the previous model; 0: unknown."""
    memory_bytes: int = 0
    """Memory of the agent with the previous model; 0: unknown."""

    @property
    def running(self) -> str | None:
        """The active model; None: that of the configuration."""
        return self.previous if self.state == "rejected" else self.model

    @property
    def proven(self) -> str | None:
        """The model to return to: the active one unless it is on probation; None: that of the configuration."""
        return self.model if self.state == "accepted" else self.previous

    def figures(self, *, group: str) -> RolloutFigures:
        """The state for telemetry."""
        return RolloutFigures(group=group, number=self.number, model=self.model or "", state=self.state)


def read_rollout(folder: Path) -> Rollout:
    """Read the state of the roll-out; the initial state if the file is missing or damaged.

    The file is written atomically, so only the disk can damage it. The configuration's model is then active.
    """
    try:
        return Rollout.model_validate_json((folder / STATE_FILE).read_bytes())
    except FileNotFoundError:
        return Rollout()
    except (OSError, ValidationError) as error:
        log.warning("%s: cannot be read, starting over: %s", folder / STATE_FILE, error)
        return Rollout()


class Installation:
    """Changes the installed models. Owned by the roll-out's process.

    `step` is called before each change to the disk.
    """

    def __init__(self, folder: Path, *, step: Callable[[str], None] = lambda _: None) -> None:
        """Complete changes that a power loss has interrupted.

        Raises:
            OSError: the folder cannot be written.
        """
        self._folder, self._step = folder, step
        make_folder(folder / INSTALLED)
        self.rollout = read_rollout(folder)
        self._align()

    def path(self, model: str) -> Path:
        """The file of an installed model's network."""
        return self._folder / INSTALLED / model / NETWORK

    def has(self, model: str) -> bool:
        """Whether a model is installed completely: the hash of its network is in its card."""
        try:
            card = self.path(model).with_name(CARD).read_text(encoding="utf-8")
            digest = hashlib.sha256(self.path(model).read_bytes()).hexdigest()
        except (OSError, UnicodeDecodeError):
            return False
        return digest in card

    def install(self, model: str, network: bytes, card: bytes) -> None:
        """Write a model beside the others; the active one is not touched.

        Raises:
            OSError: it cannot be written.
        """
        folder = self.path(model).parent
        make_folder(folder)
        for name, content in ((NETWORK, network), (CARD, card)):
            self._step(f"write {name}")
            write_whole(folder / name, content, mode=FILE_MODE)

    def record(self, rollout: Rollout) -> None:
        """Save the state of the roll-out, then apply it; models no longer needed are deleted last.

        Raises:
            OSError: it cannot be written; the previous model stays active.
        """
        self._step("write the state")
        write_whole(self._folder / STATE_FILE, rollout.model_dump_json().encode(), mode=FILE_MODE)
        self.rollout = rollout
        self._align()

    def _align(self) -> None:
        """Set the link to the model of the state, and delete all but the last two models."""
        link, running = self._folder / MODEL_LINK, self.rollout.running
        target = None if running is None else Path(INSTALLED) / running
        if (link.readlink() if link.is_symlink() else None) != target:
            self._step("switch")
            if target is None:
                link.unlink()
            else:
                unfinished = link.with_name(UNFINISHED.format(name=link.name))
                unfinished.unlink(missing_ok=True)
                unfinished.symlink_to(target)
                self._step("rename the link")
                unfinished.replace(link)
            sync_folder(self._folder)
        for folder in list((self._folder / INSTALLED).iterdir()):
            if folder.name not in (self.rollout.model, self.rollout.previous):
                self._step("delete")
                shutil.rmtree(folder)
