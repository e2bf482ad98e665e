"""`edge-convert release`: installs a converted training run if it passes the accuracy check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from converter.atomic_files import check_writable
from converter.commands.faces.release import release_detector
from converter.commands.masks.release import release_classifier
from converter.commands.options import file_name
from converter.model_kind import is_detector_run
from edge_agent.command_line import add_command
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse

MODEL_CARD = "MODEL_CARD.md"


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "release",
        release,
        summary="install the converted model of a training run with its card, weights and MODEL_CARD.md, if it passes "
        "the accuracy check",
        example="edge-convert release runs/masks --scenes annotations.json --split test --source street --name masks",
    )
    parser.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="folder of a training run with the model converted by 'edge-convert convert RUN --output RUN'",
    )
    parser.add_argument("--scenes", type=Path, metavar="ANNOTATIONS", help="evaluate on these COCO annotations")
    parser.add_argument("--split", default="test", help="of --scenes: pictures of this split (default: %(default)s)")
    parser.add_argument("--source", help="of --scenes: only pictures of this source")
    parser.add_argument(
        "--folders",
        type=Path,
        metavar="DIR",
        help="evaluate on these folders, one per label; may be combined with --scenes",
    )
    parser.add_argument("--models", type=Path, default=Path("models"), metavar="FOLDER", help="default: %(default)s")
    parser.add_argument(
        "--name", type=file_name, help="name of the files in --models (default: that of the converted model)"
    )


def release(options: argparse.Namespace) -> int:
    """Release the run of a detector or classifier."""
    if options.split == "train":
        raise ConfigError("--split train: a model card must not report accuracy on training data; give a test split")
    check_writable(options.models)
    model_card = options.models / MODEL_CARD
    if is_detector_run(options.run):
        return release_detector(options, model_card=model_card)
    return release_classifier(options, model_card=model_card)
