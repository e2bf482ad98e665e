"""Group checks: access to cameras and GPIO pins for the user and unit that run the agent.

Access for root or the current user is not sufficient, because the service runs as its own user.
"""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_agent.config.model import named_source
from edge_agent.diagnosis.finding import Finding
from edge_agent.diagnosis.service import UNIT
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge_agent.config.model import Config, SignalsConfig
    from edge_agent.diagnosis.service import Service

# Device files of a Raspberry Pi's CSI camera, and of the memory that holds its frames.
RIBBON_CAMERA = ("dev/media*", "dev/video*", "dev/dma_heap/*")
GPIO_CHIPS = "char-gpiochip"
DROP_IN = Path(f"/etc/systemd/system/{UNIT}.d/signals.conf")
DROP_IN_TEXT = rf"[Service]\nSupplementaryGroups=gpio\nDeviceAllow={GPIO_CHIPS} rw\n"


@dataclass(frozen=True, slots=True)
class AgentUser:
    """The user that opens the cameras; `groups` are all of its groups, including those added by the unit."""

    name: str
    uid: int
    groups: frozenset[int]
    is_service: bool


def agent_user(service: Service | None) -> AgentUser:
    """The user of the service; the current user if there is no service or its user does not exist."""
    if service is not None:
        try:
            entry = pwd.getpwnam(service["User"] or "root")
        except KeyError:
            pass
        else:
            groups = {*os.getgrouplist(entry.pw_name, entry.pw_gid), *_numbers(service["SupplementaryGroups"])}
            return AgentUser(entry.pw_name, entry.pw_uid, frozenset(groups), is_service=True)
    return AgentUser(user_name(), os.geteuid(), frozenset({os.getegid(), *os.getgroups()}), is_service=False)


def user_name() -> str:
    """The current user; its number if it has no name, as a container may run as any."""
    try:
        return getpass.getuser()
    # Python 3.13 and later raise an OSError.
    except (KeyError, OSError):
        return str(os.getuid())


def check_groups(config: Config, user: AgentUser, *, root: Path = Path("/")) -> Iterator[Finding]:
    """Check access to all existing device files of cameras and signals; no finding if there are none."""
    cameras = {file for camera in config.cameras.values() for file in device_files(camera.source, root)}
    files = sorted({*cameras, *_gpio_files(config.signals, root)})
    closed = [file for file in files if not _may_open(user, file.stat())]
    for file in closed:
        group = _group_name(file.stat().st_gid)
        join = f"sudo usermod -aG {group} {shlex.quote(user.name)}"
        yield Finding(
            "groups",
            "wrong",
            f"{file}: {user.name}, who runs the agent, is not in its group {group}",
            f"{join} && sudo systemctl restart edge-agent" if user.is_service else f"{join}, and log in again",
            ConfigError.exit_code,
        )
    if files and not closed:
        yield Finding("groups", "ok", f"{user.name}, who runs the agent, can open {', '.join(map(str, files))}")


def check_gpio_chips(config: Config, service: Service | None, *, root: Path = Path("/")) -> Iterator[Finding]:
    """Check that the unit's DeviceAllow= includes the GPIO chips of the signals."""
    if service is None or (service["DevicePolicy"] in ("", "auto") and not service["DeviceAllow"]):
        return
    allowed = {line.partition(" ")[0] for line in service["DeviceAllow"].splitlines()}
    closed = [
        file
        for file in sorted(_gpio_files(config.signals, root))
        if not {GPIO_CHIPS, f"/{file.relative_to(root)}"} & allowed
    ]
    if closed:
        yield Finding(
            "devices of the service",
            "wrong",
            f"{UNIT}: its DeviceAllow= does not allow access to {', '.join(map(str, closed))}",
            f"sudo mkdir -p {DROP_IN.parent} && printf '{DROP_IN_TEXT}' | sudo tee {DROP_IN} && "
            "sudo systemctl daemon-reload && sudo systemctl restart edge-agent",
            ConfigError.exit_code,
        )


def device_files(source: str, root: Path) -> Iterator[Path]:
    """The existing device files below /dev of a camera."""
    if (named := named_source(source)) is not None:
        if named[0] in ("rpicam", "picamera2"):
            yield from (file for pattern in RIBBON_CAMERA for file in root.glob(pattern))
        return
    file = Path(f"/dev/video{source}" if source.isdecimal() else source)
    if file.is_relative_to("/dev") and (root / file.relative_to("/")).exists():
        yield root / file.relative_to("/")


def _gpio_files(signals: SignalsConfig, root: Path) -> Iterator[Path]:
    """The device files of the signals' GPIO chips; none without signals."""
    if signals.outputs:
        yield from root.glob("dev/gpiochip*" if signals.chip is None else f"dev/gpiochip{signals.chip}")


def _may_open(user: AgentUser, status: os.stat_result) -> bool:
    """Whether this user may read and write, by the kernel's rules."""
    if user.uid == 0:
        return True
    if user.uid == status.st_uid:
        wanted = stat.S_IRUSR | stat.S_IWUSR
    elif status.st_gid in user.groups:
        wanted = stat.S_IRGRP | stat.S_IWGRP
    else:
        wanted = stat.S_IROTH | stat.S_IWOTH
    return status.st_mode & wanted == wanted


def _numbers(groups: str) -> Iterator[int]:
    """The ids of SupplementaryGroups=; unknown groups, which prevent the unit's start, are skipped."""
    for name in groups.split():
        try:
            yield grp.getgrnam(name).gr_gid
        except KeyError:
            continue


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
