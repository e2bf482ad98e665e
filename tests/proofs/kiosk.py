"""Does the kiosk fill the screen with the display, and hide its token? Runs its session and browser without a screen.

    python -m tests.proofs.kiosk PICTURE.png

Needs sway, chromium, grim and root, because the session runs as a separate user. The screen is a headless output of
wlroots. Exits with 1 if the page does not fill it, something covers it, or a command line has the token.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_agent.domain import Nearest
from edge_agent.vision.images import read_picture
from tests.console.served import TOKEN, at_the_door, served
from tests.faces import HOPPER, portrait

if TYPE_CHECKING:
    from edge_agent.domain import Image
    from tests.console.served import Served

DEPLOY = Path(__file__).parents[2] / "deploy"
PROGRAMS = ("sway", "chromium", "grim")
USER, GROUP = "nobody", "nogroup"
RED_BGR = (26, 32, 176)
"""Colour of the sign for a person without a mask, as in the style sheet."""
LEAST_RED_SHARE = 0.3
"""The other half of the screen shows the camera."""
CORNER_PX = 40
"""Square in which there is only the colour of the sign."""
WITHIN_SECONDS = 120.0
FRAMES, FRAME_SECONDS = 10, 0.3
"""Frames of the camera between two screenshots, and their interval."""


def shown(console: Served, folder: Path, picture: Path) -> float:
    """Share of the screen in the colour of the sign, as soon as it is sufficient; otherwise at the end."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    folder.chmod(0o755)
    subprocess.run(["chown", USER, runtime], check=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(runtime),
        "XDG_RUNTIME_DIR": str(runtime),
        "WLR_BACKENDS": "headless",
        "WLR_RENDERER": "pixman",
        "WLR_LIBINPUT_NO_DEVICES": "1",
        "MASKWATCH_DISPLAY": f"http://127.0.0.1:{console.config.console.port}/display/door?lang=de#token={TOKEN}",
    }
    configuration = folder / "kiosk.sway"
    # There is no GPU for the browser.
    text = (DEPLOY / "kiosk.sway").read_text(encoding="utf-8")
    configuration.write_text(text.replace(" --kiosk ", " --kiosk --disable-gpu "), encoding="utf-8")
    unit = (DEPLOY / "maskwatch-kiosk.service").read_text(encoding="utf-8")
    (command,) = (line.removeprefix("ExecStart=") for line in unit.splitlines() if line.startswith("ExecStart="))
    started = shlex.split(command.replace("/etc/maskwatch/kiosk.sway", str(configuration)))
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            started, env=environment, user=USER, group=GROUP, extra_groups=(), cwd=runtime, stdout=log, stderr=log
        ) as session,
    ):
        try:
            return _watch(console, environment, picture)
        finally:
            session.terminate()
            session.wait()
            # The browser ends some time after its session, and writes until then.
            while runtime.exists():
                shutil.rmtree(runtime, ignore_errors=True)


def _watch(console: Served, environment: dict[str, str], picture: Path) -> float:
    share, shown, deadline = 0.0, 0, time.monotonic() + WITHIN_SECONDS
    # In the second such picture the text is drawn as well.
    while shown < 2 and time.monotonic() < deadline:
        for _ in range(FRAMES):
            console.show(portrait(HOPPER), outcome=at_the_door(Nearest(7, "without_mask", is_sure=True)))
            time.sleep(FRAME_SECONDS)
        for screen in Path(environment["XDG_RUNTIME_DIR"]).glob("wayland-?"):
            of_screen = {**environment, "WAYLAND_DISPLAY": screen.name}
            subprocess.run(["grim", picture], env=of_screen, check=False, capture_output=True)
            share = red_share(read_picture(picture)) if picture.is_file() else 0.0
            shown += share >= LEAST_RED_SHARE
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        # A process may end meanwhile.
        with suppress(OSError):
            assert TOKEN.encode() not in command.read_bytes(), f"{command}: every user can read the token"
    return share


def red_share(image: Image) -> float:
    """Share of a picture (height, width, 3), BGR, uint8, that has the colour of the sign."""
    near = np.abs(image.astype(np.int16) - RED_BGR).max(axis=-1) < 12
    return float(near.mean())


def main() -> int:
    """Take the screenshot and judge it."""
    (picture,) = map(Path, sys.argv[1:])
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        print(f"not installed: apt-get install {' '.join(missing)}", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        token_file = Path(name) / "token"
        token_file.write_text(TOKEN, encoding="utf-8")
        display = {"enabled": True, "token_file": token_file}
        console = stack.enter_context(served(Path(name) / "console", token_file=token_file, display=display))
        share = shown(console, Path(name), picture)
        log = (Path(name) / "log").read_text(encoding="utf-8", errors="replace")
        # The browser's offer to translate would cover this corner.
        corner = red_share(read_picture(picture)[:CORNER_PX, -CORNER_PX:])
    print(f"{share:.0%} of the screen has the colour of the sign; the picture is {picture}")
    if share < LEAST_RED_SHARE or corner < 1.0:
        print(log, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
