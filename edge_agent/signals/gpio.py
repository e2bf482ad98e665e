"""GPIO: claims and releases the pins of this device. Imported only if a signal is configured."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.errors import ConfigError, UnavailableError, missing_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edge_agent.config.model import SignalName, SignalsConfig
    from edge_agent.signals.signals import OutputPin

BUSY = ("busy", "in use")
DEVICES = Path("/dev")
DOCUMENT = "docs/signals.md"


def open_factory(chip: int | None) -> Any:
    """Open the chip; None: that of the header. Returns gpiozero's pin factory, whose `chip` says which it is.

    Raises:
        ConfigError: the library is missing, the board is unknown, or the chip cannot be opened.
    """
    if "LG_WD" not in os.environ:
        # Read by lgpio when it is imported: it puts a pipe there, else into whatever folder the process is in.
        os.environ["LG_WD"] = tempfile.mkdtemp(prefix="maskwatch-lgpio-")
    try:
        with _same_folder():
            from gpiozero.exc import GPIOZeroError
            from gpiozero.pins.lgpio import LGPIOFactory
    except ImportError as error:
        raise missing_extra("signals", error) from error
    try:
        return LGPIOFactory(chip=chip)
    except GPIOZeroError as error:
        # It numbers pins by the revision of the board.
        raise ConfigError(f"signals: gpiozero does not know this board, a Raspberry Pi is needed: {error}") from error
    # lgpio.error, a direct subclass of Exception.
    except Exception as error:
        raise ConfigError(f"signals.chip: {_why_closed(chip)}: {error}; see {DOCUMENT}") from error


@contextmanager
def _same_folder() -> Iterator[None]:
    """Restore the working directory: lgpio changes it on import, which would break relative paths."""
    folder = os.open(".", os.O_PATH)
    try:
        yield
    finally:
        os.fchdir(folder)
        os.close(folder)


def _why_closed(chip: int | None) -> str:
    there = sorted(file.name for file in DEVICES.glob("gpiochip*"))
    if not there:
        return "there is no GPIO chip, or the service has no access to it"
    name = f"gpiochip{chip or 0}"
    if name not in there:
        return f"there is no {name}; there are {', '.join(there)}"
    return (
        f"{DEVICES / name} cannot be opened; check that the user is in the group gpio, and that the service may open it"
    )


@contextmanager
def open_pins(
    config: SignalsConfig, *, open_factory: Callable[[int | None], Any] = open_factory
) -> Iterator[Mapping[SignalName, OutputPin]]:
    """Claim each pin, switched off; at the end, switch off and release all of them.

    Raises:
        ConfigError: the library is missing, the chip cannot be opened, or has no such pin.
        UnavailableError: another program holds a pin.
    """
    with ExitStack() as stack:
        factory = open_factory(config.chip)
        stack.callback(factory.close)
        pins: dict[SignalName, OutputPin] = {}
        for name, output in config.outputs.items():
            pin = _open_pin(name, output.pin, active_high=output.active_high, factory=factory)
            stack.callback(_release, pin)
            pins[name] = pin
        yield pins


def _open_pin(name: SignalName, number: int, *, active_high: bool, factory: Any) -> Any:
    from gpiozero import DigitalOutputDevice

    try:
        return DigitalOutputDevice(number, active_high=active_high, initial_value=False, pin_factory=factory)
    # lgpio.error, a direct subclass of Exception, and gpiozero's errors for pins that are taken or not on the board.
    except Exception as error:
        if any(sign in str(error).lower() for sign in BUSY):
            raise UnavailableError(
                f"signals.{name}.pin: another program holds GPIO{number}: {error}; 'gpioinfo' shows which; stop it, or "
                "choose another pin"
            ) from error
        raise ConfigError(f"signals.{name}.pin: GPIO{number} is not an output of this chip: {error}") from error


def _release(pin: Any) -> None:
    # A pin that cannot be switched off is released anyway.
    with suppress(Exception):
        pin.off()
    with suppress(Exception):
        pin.close()
