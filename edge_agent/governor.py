"""Governor: limits the detection rate of a hot or overloaded machine.

The rate falls while the machine is hot, throttled by its firmware, or saturated, and rises again afterwards.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge_agent.config.model import GovernorConfig
    from edge_agent.host.stats import HostStats
    from edge_agent.messages.telemetry import MachineFigures
    from edge_agent.vision.frame_rate import FrameRate

CHECK_SECONDS = 10.0
# The temperature responds to a lower load within half a minute.
SLOWER_SECONDS = 30.0
# Longer, and with a temperature margin, so that a machine at its limit does not oscillate.
FASTER_SECONDS = 120.0
COOLED_CELSIUS = 5.0
# Above this utilisation frames are dropped arbitrarily.
OVERLOADED_FRACTION = 0.95
# Doubling the rate doubles the load, and some headroom must remain.
HEADROOM_FRACTION = 0.4
MAX_STEPS = 4

log = logging.getLogger(__name__)


class Governor:
    """Halves the frame rates step by step and doubles them again. Owned by the agent's thread."""

    def __init__(
        self,
        config: GovernorConfig,
        *,
        machine: HostStats,
        rates: Mapping[str, FrameRate],
        min_per_second: float,
        at: float,
    ) -> None:
        """`rates` are the camera rates by name; none falls below `min_per_second`."""
        self._config, self._machine = config, machine
        self.rates, self._min_per_second = rates, min_per_second
        self._checked_at = self._changed_at = self._overloaded_at = at
        self._worked_seconds: dict[str, float] = defaultdict(float)
        self._steps = 0
        self.reason = ""
        """Why the detection rate is reduced; empty if it is not."""

    def record_work(self, camera: str, seconds: float) -> None:
        """Add the processing time of a camera's frame."""
        self._worked_seconds[camera] += seconds

    def govern(self, *, at: float) -> None:
        """Check the machine periodically, and change the rates by one step if due."""
        elapsed_seconds = at - self._checked_at
        if not self._config.enabled or elapsed_seconds < CHECK_SECONDS:
            return
        # The busiest camera: an idle one does not relieve a saturated one.
        busy_fraction = max(self._worked_seconds.values(), default=0.0) / elapsed_seconds
        self._checked_at = at
        self._worked_seconds.clear()
        state = self._machine.read()
        overload = self._overload(state, busy_fraction)
        if overload and self._steps < MAX_STEPS and at - self._changed_at >= SLOWER_SECONDS:
            self._go_to(self._steps + 1, overload, at=at)
        if overload or not self._has_headroom(state, busy_fraction):
            self._overloaded_at = at
        elif self._steps and at - max(self._overloaded_at, self._changed_at) >= FASTER_SECONDS:
            self._go_to(self._steps - 1, self.reason, at=at)

    def _overload(self, state: MachineFigures, busy_fraction: float) -> str:
        """Why the machine is overloaded; empty if it is not. Contains no measured value, so that the text is stable."""
        if state.temperature_celsius is not None and state.temperature_celsius >= self._config.hot_celsius:
            return f"the processor was {self._config.hot_celsius:g} degrees Celsius or hotter"
        if state.throttling:
            return f"the processor is throttled ({', '.join(state.throttling)})"
        return "CPU saturated" if busy_fraction >= OVERLOADED_FRACTION else ""

    def _has_headroom(self, state: MachineFigures, busy_fraction: float) -> bool:
        celsius = state.temperature_celsius
        has_cooled = celsius is None or celsius < self._config.hot_celsius - COOLED_CELSIUS
        return has_cooled and busy_fraction < HEADROOM_FRACTION

    def _go_to(self, steps: int, reason: str, *, at: float) -> None:
        before, self._steps, self._changed_at = self._steps, steps, at
        self.reason = reason if steps else ""
        for rate in self.rates.values():
            rate.slow_to(0.5**steps, min_per_second=self._min_per_second)
        if not steps:
            log.info("detection rate restored")
        elif not before:
            log.warning("reducing detection rate: %s", reason)
