"""`edge-train merge`: averages the weights of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.command_line import add_command, number
from edge_agent.foreign_text import safe

if TYPE_CHECKING:
    import argparse


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "merge",
        merge_runs,
        summary="average the weights of two runs of a mask classifier",
        about="Write a run with the average weights of two runs, one of which continued from the other. Its "
        "validation faces are those that both runs held out.",
        example="edge-train merge runs/masks-1 runs/masks-2 --share 0.3 --output runs/masks",
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder of a run")
    parser.add_argument(
        "other",
        type=Path,
        metavar="OTHER",
        help="folder of a run of the same network, or a .keras file: models/masks.keras of the shipped classifier",
    )
    parser.add_argument(
        "--share",
        type=number(least=0, most=1),
        default=0.5,
        metavar="FRACTION",
        help="weight of OTHER in the average (default: %(default)g)",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="new folder")


def merge_runs(options: argparse.Namespace) -> int:
    """Write the merged run, and print the number of remaining validation faces."""
    from training.masks.merge import merge

    count = merge(options.run, options.other, options.output, share=options.share)
    print(safe(f"{options.output / 'model.keras'}: {count} validation faces held out by both runs"))
    return 0
