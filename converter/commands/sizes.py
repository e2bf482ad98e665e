"""`edge-convert sizes`: compares mask classifiers by size, latency and accuracy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.commands.options import MIN_SIDE_PX, labels_of
from converter.model_kind import converted_model_of
from converter.progress import with_progress
from converter.sizes import as_table, evaluate_run, plot_sizes
from edge_agent.command_line import add_command, number
from training.plotting import require_plot_format

if TYPE_CHECKING:
    import argparse

MEASURED_SECONDS = 2.0


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "sizes",
        sizes,
        summary="compare the int8 models of several training runs: accuracy on the faces that each held out, "
        "size in bytes, and latency",
        example="edge-convert sizes runs/sizes/* --only with_mask,without_mask --plot sizes.png",
    )
    parser.add_argument(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="folders of training runs, each with the model converted by 'edge-convert convert RUN --output RUN'",
    )
    parser.add_argument(
        "--only",
        type=labels_of,
        default=(),
        metavar="A,B",
        help="evaluate only these labels (default: all labels of model and faces)",
    )
    parser.add_argument(
        "--min-side",
        type=number(least=0),
        default=MIN_SIDE_PX,
        metavar="PX",
        help="minimum shorter side of a face in pixels (default: %(default)g)",
    )
    parser.add_argument(
        "--seconds",
        type=number(least=0),
        default=MEASURED_SECONDS,
        metavar="S",
        help="duration of each measurement (default: %(default)g)",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also write a plot")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")


def sizes(options: argparse.Namespace) -> int:
    """Evaluate and measure one run after the other, and print a table."""
    if options.plot:
        require_plot_format(options.plot)
    # Resolve all runs first, so that one without a converted model is reported at once.
    models = [(run, converted_model_of(run)) for run in options.runs]
    found = [
        evaluate_run(run, model, only=options.only, min_side_px=options.min_side, seconds=options.seconds)
        for run, model in with_progress(models, total=len(models), what="evaluating")
    ]
    if options.plot:
        plot_sizes(found, options.plot)
    print(json.dumps({"sizes": [size.as_json() for size in found]}) if options.json else as_table(found))
    return 0
