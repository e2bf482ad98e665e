"""`edge-convert release` of a finder's run: may this finder go to the devices?"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from converter.finder_candidates import CARD_SUFFIX, FinderCandidate, Looking, float_find, open_finder_candidates
from converter.finder_evaluation import evaluate_finders, scenes_of
from converter.finder_gate import hold_finder_against
from converter.finder_proof import finder_files, prove_finder, renamed
from converter.gate import GateError
from converter.model_card import finder_model_card, with_part
from converter.progress import say
from converter.writing import write_together
from edge_agent.errors import ConfigError
from edge_agent.vision.card import read_finder_card

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from edge_agent.vision.card import FinderCard

DEFAULT_NAME = "faces"
KINDS_OF_JSON = ("run.json", "report.json", "taught.json", "scenes.json")
"""What a run holds beside a card."""


def release_finder(options: argparse.Namespace, *, model_card: Path) -> int:
    """Judge against the float network, and write only what passes."""
    if options.scenes is None:
        raise ConfigError("nothing to judge on; give --scenes, with pictures that the finder never learnt from")
    card_file = _converted_card(options.run)
    card, contents = read_finder_card(card_file)
    title = f"{options.source or 'scenes'}, split {options.split}"
    say(f"judging on {title}")
    looking = Looking()
    (converted,) = open_finder_candidates([str(card_file)], looking)
    original = FinderCandidate(
        str(options.run), float_find(options.run, card, smallest_px=looking.smallest_px), converted.min_score
    )
    scenes = scenes_of(options.scenes, split=options.split, source=options.source)
    reports = evaluate_finders([converted, original], scenes, [])
    objections = hold_finder_against(reports[0], reports[1], [len(content) for content in contents])
    if objections:
        raise GateError("\n  ".join((f"{title}: the gate stays closed", *objections)))
    name = options.name or DEFAULT_NAME
    judged = {title: _in_short(asdict(reports[0])) | {"ap_of_float": reports[1].ap}}
    card = renamed(card, name).model_copy(update={"metrics": dict(card.metrics) | {"judged": judged}})
    prove_finder(card, contents)
    files = finder_files(card, contents, folder=options.models)
    before = _networks(options.models / f"{name}{CARD_SUFFIX}")
    part = finder_model_card(card, title, reports[0], reports[1])
    text = model_card.read_text(encoding="utf-8") if model_card.is_file() else ""
    write_together(files | {model_card: with_part(text, part).encode()})
    for path in before - set(files):
        path.unlink(missing_ok=True)
    for path in (*files, model_card):
        print(path)
    return 0


def _converted_card(run: Path) -> Path:
    cards = sorted(path for path in run.glob(f"*{CARD_SUFFIX}") if path.name not in KINDS_OF_JSON)
    if len(cards) != 1:
        raise ConfigError(
            f"{run}: holds {len(cards)} cards of converted finders instead of one; make it with "
            f"'edge-convert convert {run} --output {run}', or take the others away"
        )
    return cards[0]


def _networks(card_file: Path) -> set[Path]:
    """The networks of the finder that is replaced: in other sizes they would stay behind."""
    if not card_file.is_file():
        return set()
    card: FinderCard = read_finder_card(card_file)[0]
    return {card_file.parent / file.file for file in card.files}


def _in_short(report: dict[str, Any]) -> dict[str, Any]:
    """What a card keeps of a report: nothing of this machine."""
    return {name: report[name] for name in ("pictures", "faces", "ap", "recall", "false_finds")}
