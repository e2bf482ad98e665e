"""The unit of the fleet's processes and the code agree."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from edge_agent.errors import ConfigError
from fleet.cli import build_parser
from fleet.database import STATEMENT_SECONDS
from tests.promises.test_unit_file import DEPLOY, MAX_EXPOSED, needs_systemd_analyze, the_unit

if TYPE_CHECKING:
    from pathlib import Path

UNIT_FILE = DEPLOY / "maskwatch-fleet@.service"
FLEET = DEPLOY.parent / "fleet"
SERVICES = ("ingest", "web", "notify", "rollout")


def test_every_process_is_a_command():
    for name in SERVICES:
        assert build_parser().parse_args([name]).action


def test_only_configuration_errors_prevent_a_restart_of_a_process():
    assert the_unit(UNIT_FILE)["Service"]["RestartPreventExitStatus"] == str(ConfigError.exit_code)


def test_the_watchdog_timeout_exceeds_the_statement_timeout():
    assert int(the_unit(UNIT_FILE)["Service"]["WatchdogSec"]) >= 2 * STATEMENT_SECONDS


def test_the_unit_gives_each_process_the_credentials_that_the_code_reads():
    code = "".join(file.read_text(encoding="utf-8") for file in FLEET.rglob("*.py"))
    read = re.findall(r'secret_file\("([a-z-]+)"', code)
    given = re.findall(r"^LoadCredential=([a-z-]+):", UNIT_FILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(read) == sorted(given)


@needs_systemd_analyze
def test_systemd_rates_the_sandbox_of_the_process_and_knows_every_key(tmp_path: Path):
    file = tmp_path / "maskwatch-fleet@ingest.service"
    shutil.copy(UNIT_FILE, file)
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MAX_EXPOSED * 10:.0f}", str(file)]
    subprocess.run(command, check=True, capture_output=True)
    # It exits with 0 despite unknown keys, and only prints a warning.
    warnings = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False).stderr
    assert "Unknown key" not in warnings
