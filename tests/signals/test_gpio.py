"""GPIO: pins are claimed and released with gpiozero, and each mistake gives one clear message."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge_agent.config.load import load_config
from edge_agent.config.model import Config, SignalsConfig
from edge_agent.diagnosis.groups import AgentUser, check_gpio_chips, check_groups
from edge_agent.diagnosis.service import query_systemd
from edge_agent.diagnosis.signals import check_signals
from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.signals.gpio import open_factory, open_pins
from edge_agent.wiring import open_signals

pytest.importorskip("gpiozero", reason="needs the extra 'dev': pip install -e '.[dev]'")

from gpiozero.pins.mock import MockFactory

if TYPE_CHECKING:
    from collections.abc import Iterator

SIM = Path("/sys/kernel/config/gpio-sim")
CONFIG = SignalsConfig.model_validate({"violation": {"pin": 17}, "fault": {"pin": 22, "active_high": False}})


@pytest.fixture
def factory() -> Iterator[MockFactory]:
    opened = MockFactory()
    opened.chip = 0
    yield opened
    opened.reset()


def levels(factory):
    return {number: bool(factory.pin(f"GPIO{number}").state) for number in (17, 22)}


def test_pins_are_off_at_first_switched_and_off_at_the_end(factory):
    with open_pins(CONFIG, open_factory=lambda _chip: factory) as pins:
        assert levels(factory) == {17: False, 22: True}, "low is on at one of them"
        for pin in pins.values():
            pin.on()
        assert levels(factory) == {17: True, 22: False}
        seen = {number: factory.pin(f"GPIO{number}") for number in (17, 22)}
    assert [bool(state.state) for state in seen[17].states][-1] is False
    assert [bool(state.state) for state in seen[22].states][-1] is True


def test_without_signals_no_library_is_imported_and_no_chip_opened():
    asks = (
        "import sys; from contextlib import ExitStack; from edge_agent.config.model import Config; "
        "from edge_agent.wiring import open_signals; "
        "open_signals(Config(), ExitStack()).update(has_fault=True, at=1.0); "
        "sys.exit(bool({'gpiozero', 'lgpio', 'edge_agent.signals.gpio'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", asks], check=False).returncode == 0


def test_a_missing_library_is_reported_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiozero.pins.lgpio", None)

    with pytest.raises(ConfigError, match=r"maskwatch\[signals\]"), ExitStack() as stack:
        open_signals(Config.model_validate({"signals": {"violation": {"pin": 17}}}), stack)


def test_a_pin_that_the_board_lacks_is_a_configuration_error(factory):
    config = SignalsConfig.model_validate({"violation": {"pin": 60}})

    with pytest.raises(ConfigError, match=r"signals\.violation\.pin: GPIO60"):
        open_pins(config, open_factory=lambda _chip: factory).__enter__()


def test_a_pin_in_use_is_temporarily_unavailable(factory):
    from gpiozero import LED

    with LED(17, pin_factory=factory), pytest.raises(UnavailableError, match=r"signals\.violation\.pin.*GPIO17"):
        open_pins(CONFIG, open_factory=lambda _chip: factory).__enter__()


@pytest.mark.parametrize("said", ["GPIO busy", "'GPIO busy'"])
def test_a_pin_of_another_process_is_temporarily_unavailable(factory, said):
    def busy(*_arguments, **_more):
        raise OSError(said)

    factory.pin_class = busy
    with pytest.raises(UnavailableError, match="GPIO17"):
        open_pins(CONFIG, open_factory=lambda _chip: factory).__enter__()


@pytest.mark.skipif(importlib.util.find_spec("lgpio") is None, reason="needs the extra 'signals'")
def test_an_unknown_board_or_chip_is_reported():
    with pytest.raises(ConfigError, match="signals"):
        open_factory(63)


def test_the_process_stays_in_its_folder_though_lgpio_leaves_it(tmp_path):
    """As lgpio 0.2.2 does it: relative paths of the configuration would go astray."""
    (tmp_path / "lgpio.py").write_text("import os\nos.chdir(os.environ['LG_WD'])\ndef __getattr__(_): return 0\n")
    code = (
        "import os; from edge_agent.errors import ConfigError; from edge_agent.signals.gpio import open_factory; "
        "before = os.getcwd()\ntry: open_factory(63)\n"
        "except ConfigError: print(os.getcwd() == before, 'LG_WD' in os.environ)"
    )
    path = os.pathsep.join([str(tmp_path), *sys.path])
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout == "True True\n"


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["signals.violation={pin: 17}", "signals.fault={pin: 17}"], "violation and fault both have pin 17"),
        (["signals.violation={pin: 99}"], "signals.violation.pin"),
        (["signals.violation={seconds: 2}"], "signals.violation.pin"),
        (["signals.violation={pin: 17, seconds: -1}"], "signals.violation.seconds"),
        (["signals.alarm={pin: 17}"], "alarm"),
        (["signals.chip=-1", "signals.violation={pin: 1}"], "signals.chip"),
    ],
)
def test_mistakes_in_the_section_are_reported_at_the_start(overrides, told):
    with pytest.raises(ConfigError, match=told):
        load_config(None, overrides=overrides)


def test_the_doctor_reports_chip_pins_and_their_users(factory):
    free = check_signals(CONFIG, open_factory=lambda _chip: factory, holder_of=lambda _chip, _pin: "")
    assert "/dev/gpiochip0" in free
    assert "GPIO17" in free
    assert check_signals(CONFIG, open_factory=lambda _chip: factory, holder_of=lambda _chip, _pin: "lg") == free
    with pytest.raises(UnavailableError, match=r"signals\.violation\.pin: GPIO17 .*'w1'"):
        check_signals(CONFIG, open_factory=lambda _chip: factory, holder_of=lambda _chip, _pin: "w1")


@pytest.fixture
def chips(tmp_path):
    """Two chips of a machine below this folder."""
    (tmp_path / "dev").mkdir()
    for name in ("gpiochip0", "gpiochip4"):
        (tmp_path / "dev" / name).touch()
        (tmp_path / "dev" / name).chmod(0o660)
    return tmp_path


def test_the_doctor_reports_the_group_of_the_chips(chips):
    stranger = AgentUser("maskwatch", uid=54_321, groups=frozenset({54_322}), is_service=True)

    def closed(**signals):
        config = Config.model_validate({"cameras": {"a": {"source": "x.mp4"}}, "signals": signals})
        return [finding.message for finding in check_groups(config, stranger, root=chips)]

    assert closed() == []
    assert len(closed(violation={"pin": 17})) == 2
    assert len(closed(violation={"pin": 17}, chip=4)) == 1


@pytest.mark.parametrize(
    ("lines", "closed"),
    [
        (["DevicePolicy=auto"], 0),
        (["DevicePolicy=closed"], 1),
        (["DevicePolicy=closed", "DeviceAllow=char-media rw", "DeviceAllow=char-video4linux rw"], 1),
        (["DevicePolicy=auto", "DeviceAllow=char-media rw"], 1),
        (["DevicePolicy=closed", "DeviceAllow=char-gpiochip rw", "DeviceAllow=char-media rw"], 0),
        (["DevicePolicy=closed", "DeviceAllow=/dev/gpiochip0 rw", "DeviceAllow=/dev/gpiochip4 rw"], 0),
        (["DevicePolicy=closed", "DeviceAllow=/dev/gpiochip0 rw"], 1),
    ],
)
def test_the_doctor_names_chips_that_the_unit_hides_from_the_agent(chips, monkeypatch, lines, closed):
    said = "\n".join(["LoadState=loaded", *lines])
    program = chips / "systemctl"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{said}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(chips), prepend=":")
    config = Config.model_validate({"cameras": {"a": {"source": "x.mp4"}}, "signals": {"violation": {"pin": 17}}})

    findings = list(check_gpio_chips(config, query_systemd(), root=chips))

    assert [finding.exit_code for finding in findings] == [78] * closed
    assert all("DeviceAllow=char-gpiochip rw" in finding.fix for finding in findings)
    assert not list(
        check_gpio_chips(config.model_copy(update={"signals": SignalsConfig()}), query_systemd(), root=chips)
    )


@pytest.mark.skipif(not SIM.is_dir(), reason="needs a kernel with gpio-sim: modprobe gpio-sim, as root")
def test_a_simulated_chip_is_switched_and_released(monkeypatch):
    from gpiozero.pins.lgpio import LGPIOFactory

    # The revision of a Raspberry Pi 4: by it gpiozero numbers the pins.
    monkeypatch.setattr(LGPIOFactory, "_get_revision", lambda _self: 0xC03111)
    device = SIM / "maskwatch"
    bank = device / "bank0"
    bank.mkdir(parents=True)
    try:
        (bank / "num_lines").write_text("28")
        (device / "live").write_text("1")
        chip = (bank / "chip_name").read_text().strip()
        values = Path("/sys/devices/platform") / (device / "dev_name").read_text().strip() / chip
        config = CONFIG.model_copy(update={"chip": int(chip.removeprefix("gpiochip"))})
        with open_pins(config) as pins:
            pins["violation"].on()
            assert (values / "sim_gpio17" / "value").read_text().strip() == "1"
            with pytest.raises(UnavailableError), open_pins(config):
                pass
        assert (values / "sim_gpio17" / "value").read_text().strip() == "0"
    finally:
        (device / "live").write_text("0")
        bank.rmdir()
        device.rmdir()
