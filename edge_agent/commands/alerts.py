"""`edge-agent alerts`: which alerts come in at the broker?"""

from __future__ import annotations

import argparse
import re
import threading
from typing import Any

from edge_agent.commands.options import accept_json, add_command, alert_line, configured, print_json
from edge_agent.config import NAME_PATTERN
from edge_agent.delivery.subscriber import follow_alerts
from edge_agent.domain import LABELS


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "alerts",
        follow,
        summary="subscribe to alerts and print each as it comes, until Ctrl-C",
        example="edge-agent alerts --set mqtt.host=broker.local --label without_mask --json",
    )
    parser.add_argument("--device", type=_device, help="only alerts of this device (default: of all)")
    parser.add_argument("--camera", help="only alerts of this camera")
    parser.add_argument("--label", choices=LABELS, help="only alerts with this label")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="end after so many alerts")
    accept_json(parser)


def follow(options: argparse.Namespace) -> int:
    """Print alerts that pass the filters."""
    printed = 0
    wanted = {"camera": options.camera, "label": options.label}
    for message in follow_alerts(configured(options).mqtt, device=options.device or "+", stop=threading.Event()):
        if any(value is not None and message.get(key) != value for key, value in wanted.items()):
            continue
        if options.json:
            print_json(message)
        else:
            print(alert_line(message), flush=True)
        printed += 1
        if printed == options.count:
            break
    return 0


def _device(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise argparse.ArgumentTypeError(f"{name!r}: the name of a device holds letters, digits, '.', '_' and '-' only")
    return name
