"""The console: what may people and programs see of a running agent, and ask of it, over HTTP?"""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edge_agent.console.off import NoConsole
from edge_agent.errors import ConfigError
from edge_agent.password_file import read_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edge_agent.config import Config, ConsoleConfig
    from edge_agent.domain import Frame, Outcome
    from edge_agent.vision.faces import FaceFinder
    from edge_agent.vision.masks import MaskReader

LEAST_CHARACTERS = 8
"""Of a password or token."""
MOST_AT_DESK = 64
"""Each a few milliseconds; forty viewers of one camera share what is encoded."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A command that somebody gave over HTTP: its name, its payload as over MQTT, and whom to give the result to.

    `answer` is called once, by the agent's thread, and returns at once.
    """

    name: str
    payload: bytes
    answer: Callable[[Mapping[str, Any]], None]


class Console(Protocol):
    """What the agent tells whoever looks on. Called by the agent's thread: every call returns at once."""

    def saw(self, frame: Frame, outcome: Outcome) -> None:
        """Take note of a frame that went through the whole path; nobody writes into it."""
        ...

    def looked_away(self, camera: str) -> None:
        """Show nothing of a camera any more: it is paused."""
        ...

    def recorded(self, alert_id: str) -> None:
        """Take note that this alert is in the history."""
        ...

    def heard(self) -> Sequence[Asked]:
        """Give the commands that came in since the last call."""
        ...

    @property
    def trouble(self) -> str:
        """Why nobody can reach the console although it is on; the same sentence while the reason is."""
        ...

    @property
    def wants_overview(self) -> bool:
        """Whether somebody wants to know how it goes."""
        ...

    def tell(self, overview: Mapping[str, Any]) -> None:
        """Take note of how it goes: what `Reports.overview` gives, which changes no more."""
        ...


@contextmanager
def open_console(
    config: Config,
    *,
    versions: Mapping[str, str],
    open_eyes: Callable[[], tuple[FaceFinder, MaskReader]],
) -> Iterator[Console]:
    """Open what is configured; nothing of the web is imported where that is none.

    `open_eyes` loads the models a second time.

    Raises:
        ConfigError: the extra is not installed; the password, the token or the certificate cannot be read.
    """
    if not config.console.enabled:
        yield NoConsole()
        return
    password, token = read_secrets(config.console)
    try:
        from edge_agent.alerts.history import AlertHistory
        from edge_agent.console.access import Access
        from edge_agent.console.desk import Desk
        from edge_agent.console.eyes import Eyes
        from edge_agent.console.figures import Figures
        from edge_agent.console.hatch import Hatch
        from edge_agent.console.leisure import Leisure
        from edge_agent.console.live import Live, now
        from edge_agent.console.parts import Parts
        from edge_agent.console.server import Server
        from edge_agent.console.uploads import Uploads
        from edge_agent.console.viewers import Viewers
        from edge_agent.console.web import build
    except ImportError as error:
        raise ConfigError(
            f"console.enabled: {error.name} is missing; install it with pip install 'maskwatch[console]', or set "
            "console.enabled: false"
        ) from error
    settings = config.console
    with ExitStack() as stack:
        leisure = Leisure()
        desk = stack.enter_context(closing(Desk("console-desk", most_waiting=MOST_AT_DESK, leisure=leisure)))
        eyes = stack.enter_context(
            closing(Eyes(open_eyes, max_pixels=settings.largest_picture_pixels, leisure=leisure))
        )
        # Another than the agent's: neither waits for the other's lock.
        history = stack.enter_context(closing(AlertHistory(config.store_file)))
        live = Live(desk)
        figures = Figures(config.cameras, versions=versions)
        hatch = Hatch(live, figures, leisure)
        parts = Parts(
            config=settings,
            device=config.device.name,
            version=versions["maskwatch"],
            cameras=tuple(config.cameras),
            access=Access(settings, password=password, token=token, clock=now),
            history=history,
            crops_folder=config.crops_folder,
            publishes_crops=config.mqtt.crops,
            desk=desk,
            eyes=eyes,
            figures=figures,
            hatch=hatch,
            live=live,
            uploads=Uploads(largest_bytes=settings.largest_upload_bytes),
            viewers=Viewers(settings.viewers),
        )
        server = Server(build(parts), settings, hatch, leisure)
        server.open()
        stack.callback(server.close)
        yield hatch


def check_console(config: ConsoleConfig) -> None:
    """See whether a console could be opened with these files, before the one that works is closed.

    Raises:
        ConfigError: the password, the token or the certificate cannot be read.
    """
    if config.enabled:
        from edge_agent.console.tls import open_tls

        read_secrets(config)
        open_tls(config)


def read_secrets(config: ConsoleConfig) -> tuple[str, str]:
    """Give password and token; empty where none is asked for.

    Raises:
        ConfigError: one cannot be read, or is too short.
    """
    return _secret(config.password_file, "console.password_file"), _secret(config.token_file, "console.token_file")


def _secret(file: Path | None, key: str) -> str:
    return "" if file is None else read_password(file, key=key, least_characters=LEAST_CHARACTERS)
