"""`edge-agent alerts`: prints alerts from the broker, or exports those of this device for training."""

from __future__ import annotations

import argparse
import re
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.export import Exported, export_faces, reviewed_alerts
from edge_agent.alerts.history import REVIEWS
from edge_agent.command_line import number, with_progress
from edge_agent.commands.options import (
    accept_json,
    add_command,
    alert_line,
    configured,
    day,
    print_json,
    stored_history,
)
from edge_agent.config.model import NAME_ERROR, NAME_PATTERN
from edge_agent.domain import LABELS
from edge_agent.mqtt.subscriber import follow_alerts
from edge_agent.vision.card import read_classifier_card
from edge_agent.vision.tensors import cut_region, face_region

if TYPE_CHECKING:
    from edge_agent.domain import Box, Image


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "alerts",
        follow,
        summary="subscribe to alerts and print them until Ctrl-C; or export the alerts of this device",
        example="edge-agent alerts --set mqtt.host=broker.local --label without_mask --json",
    )
    parser.add_argument("--device", type=_device, help="only alerts of this device (default: all devices)")
    parser.add_argument("--camera", help="only alerts of this camera")
    parser.add_argument("--label", choices=LABELS, help="only alerts with this label")
    parser.add_argument("--count", type=number(least=1, kind=int), metavar="N", help="exit after this many alerts")
    accept_json(parser)
    _add_export_to(parser.add_subparsers(metavar="export", required=False))


def _add_export_to(commands: Any) -> None:
    parser = add_command(
        commands,
        "export",
        export,
        summary="export the faces of reviewed alerts into one folder per label",
        example="edge-agent alerts export reviewed/ --since 2026-03-01",
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="output folder; subfolders: with_mask/, without_mask/, ..., no_face/",
    )
    parser.add_argument("--all", action="store_true", help="include alerts without a review, under their own label")
    parser.add_argument("--camera", default=argparse.SUPPRESS, help="only alerts of this camera")
    parser.add_argument("--since", type=day, metavar="DAY", help="only alerts from YYYY-MM-DD on")
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


def export(options: argparse.Namespace) -> int:
    """Export faces of the alerts in the history; read-only, so it works beside a running agent."""
    config = configured(options)
    history = stored_history(config)
    entries = list(
        reviewed_alerts(history, camera=options.camera or "", since=str(options.since or ""), also_others=options.all)
    )
    margin_fraction = read_classifier_card(config.mask_model)[0].margin_fraction

    def cut(picture: Image, box: Box) -> Image:
        """What the device gives the classifier, so that models are trained and evaluated on the same pixels."""
        return cut_region(picture, face_region(box, margin_fraction=margin_fraction))

    exported = export_faces(
        with_progress(entries, unit="alerts"), crops_folder=config.crops_folder, into=options.folder, cut=cut
    )
    if options.json:
        pictures = {label: exported.pictures[label] for label in REVIEWS if label}
        print_json({"pictures": pictures, "missing": exported.missing, "encrypted": exported.encrypted})
    else:
        _print_summary(exported, options)
    if not entries:
        print(
            "no alert matches: check --camera and --since"
            if options.all
            else "no reviewed alert matches: review some on the console's Alerts page, or use --all",
            file=sys.stderr,
        )
    return 0


def _print_summary(exported: Exported, options: argparse.Namespace) -> None:
    for label, count in sorted(exported.pictures.items()):
        print(f"{options.folder / label}: {count}")
    if exported.missing:
        print(f"{exported.missing} alerts have no picture", file=sys.stderr)
    if exported.encrypted:
        print(
            f"{exported.encrypted} pictures are encrypted for the owners of the keys in crops.encrypt_for",
            file=sys.stderr,
        )


def _device(name: str) -> str:
    if not re.fullmatch(NAME_PATTERN, name):
        raise argparse.ArgumentTypeError(f"{name!r}: the name of a device {NAME_ERROR}")
    return name
