"""`edge-train explore`: summarises a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import add_command, number

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "explore",
        explore_data,
        summary="summarise a data set",
        about="Count faces by label, size and source, find duplicates and unreadable pictures, and draw a "
        "contact sheet.",
        example="edge-train explore scenes/annotations.json --output sheet.png",
    )
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="class folders or a COCO file")
    parser.add_argument("--output", type=Path, metavar="SHEET.png", help="contact sheet (default: none)")
    parser.add_argument(
        "--duplicate-bits",
        type=number(least=0, most=64, kind=int),
        default=6,
        metavar="N",
        help="bits in which the hashes of near-duplicates may differ (default: %(default)d)",
    )


def explore_data(options: argparse.Namespace) -> int:
    """Print the summary."""
    from training.explore import explore

    print(explore(options.dataset, output=options.output, duplicate_bits=options.duplicate_bits))
    return 0
