"""Signal checks: whether the GPIO chip exists and its pins are free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.signals.gpio import open_factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.config.model import SignalsConfig

IN_USE = 1
"""GPIOLINE_FLAG_KERNEL of <linux/gpio.h>: the line is in use."""
OURS = "lg"
"""Consumer name of lines held by lgpio, also in a running agent."""


def holder_of(chip: int, line: int) -> str:
    """The consumer of a GPIO line, empty if it is free; the line is not requested.

    Raises:
        ConfigError: the chip cannot be opened, or has no such line.
    """
    import lgpio

    try:
        handle = lgpio.gpiochip_open(chip)
        try:
            _, _, flags, _, user = lgpio.gpio_get_line_info(handle, line)
        finally:
            lgpio.gpiochip_close(handle)
    except lgpio.error as error:
        raise ConfigError(f"/dev/gpiochip{chip}, GPIO{line}: {error}") from error
    return str(user) if flags & IN_USE else ""


def check_signals(
    config: SignalsConfig,
    *,
    open_factory: Callable[[int | None], Any] = open_factory,
    holder_of: Callable[[int, int], str] = holder_of,
) -> str:
    """Describe the pins of the signals; none is requested or switched.

    Raises:
        ConfigError: the library is missing, or chip or pin cannot be used.
        UnavailableError: another program holds a pin.
    """
    factory = open_factory(config.chip)
    chip = factory.chip
    factory.close()
    for name, output in config.outputs.items():
        holder = holder_of(chip, output.pin)
        if holder not in ("", OURS):
            raise UnavailableError(
                f"signals.{name}.pin: GPIO{output.pin} is in use by '{holder}'; stop it, or choose another pin"
            )
    pins = ", ".join(f"{name} at GPIO{output.pin}" for name, output in config.outputs.items())
    return f"/dev/gpiochip{chip}: {pins}"
