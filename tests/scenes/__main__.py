"""The command: are the alerts correct in all scripted scenes and recordings?

    python -m tests.scenes                          every cast whose pictures are available, and the recordings
    python -m tests.scenes --cast rehearsal -k pillar
    python -m tests.scenes --cast rehearsal -k pillar --render pillar.mp4

Exits with 1 if precision or recall is below what is promised.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from tests.scenes.casts import CASTS
from tests.scenes.composition import shots
from tests.scenes.figures import DETECTOR, SHARED
from tests.scenes.playing import RECORDINGS, Player
from tests.scenes.scripts import scripts_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.scenes.composition import Scene
    from tests.scenes.judging import Judgement

LEAST_PRECISION, LEAST_RECALL = 1.0, 1.0
"""Every violation raises one alert on time, and there is no false alert."""


@dataclass(frozen=True, slots=True)
class Line:
    """One scene of the report."""

    name: str
    judgement: Judgement
    took_seconds: float

    def __str__(self) -> str:
        """The scene in a line, followed by a line for each error."""
        judgement = self.judgement
        delays = " ".join(f"{hit.delay_seconds:.1f}" for hit in judgement.hits)
        raised = len(judgement.hits) + len(judgement.mistaken)
        lines = [
            f"{'right' if judgement.is_right else 'WRONG'}  {self.name:<34} alerts {raised} of {len(judgement.events)}"
            f"  after {delays or '-':<12} s  false {len(judgement.mistaken)}"
            f"  people {judgement.counted.total()} of {judgement.people.total()}  ({self.took_seconds:.0f} s)"
        ]
        lines += [
            f"         missed: {event.actor}, visible {event.from_second:.1f}-{event.until_second:.1f} s"
            for event in judgement.missed
        ]
        lines += [
            f"         late: {hit.event.actor}, visible from {hit.event.from_second:.1f} s, "
            f"alert at {hit.alert.second:.1f} s"
            for hit in judgement.late
        ]
        if judgement.counted != judgement.people:
            lines.append(f"         people: {_described(judgement.people)}; counted: {_described(judgement.counted)}")
        for alert, whom in judgement.mistaken:
            box = ",".join(str(value) for value in alert.box.as_ints())
            lines.append(f"         false: {alert.label} at {alert.second:.1f} s, box {box}: {whom}")
        return "\n".join(lines)


def main() -> int:
    """Play, print and judge."""
    options = _options()
    if options.render:
        return _render(options)
    player = Player(*_settings(options))
    lines: list[Line] = []
    for line in _play(player, options):
        lines.append(line)
        print(line, flush=True)
    if not lines:
        print("no scene has such a name", file=sys.stderr)
        return 2
    return _sum_up(lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.scenes", description="Play scripted scenes to the agent and judge its alerts."
    )
    parser.add_argument("--cast", action="append", choices=sorted(CASTS), help="only these casts (default: all)")
    parser.add_argument("-k", dest="words", default="", help="only scenes whose name holds this")
    parser.add_argument("--rate", type=float, help="frames a second of every scene (default: what its script says)")
    parser.add_argument(
        "--detector",
        choices=["shipped", "yunet"],
        default="shipped",
        help="that of the agent, or YuNet 2023mar by path",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set one key of the configuration"
    )
    parser.add_argument(
        "--render", type=Path, metavar="FILE", help="write the first such scene as .mp4 instead of playing it"
    )
    return parser.parse_args()


def _settings(options: argparse.Namespace) -> list[str]:
    yunet = ["faces.detector=yunet", f"faces.model={DETECTOR}"] if options.detector == "yunet" else []
    return [*yunet, *options.set]


def _scenes(options: argparse.Namespace) -> Iterator[tuple[str, Scene]]:
    for cast in CASTS.values():
        if options.cast and cast.name not in options.cast:
            continue
        if cast.places and not SHARED.is_dir():
            print(f"{cast.name}: left out, its pictures are in ../{SHARED.name}", file=sys.stderr)
            continue
        for script in scripts_for(cast):
            name = f"{cast.name}/{script.__name__}"
            if options.words in name:
                scene = script(cast)
                yield name, replace(scene, frames_per_second=options.rate) if options.rate else scene


def _play(player: Player, options: argparse.Namespace) -> Iterator[Line]:
    for name, scene in _scenes(options):
        began = time.perf_counter()
        yield Line(name, player.play(scene), time.perf_counter() - began)
    for recorded in RECORDINGS:
        path = SHARED / "videos" / recorded.file
        if not options.cast and options.words in recorded.file and path.exists():
            began = time.perf_counter()
            yield Line(f"recording/{recorded.file}", player.watch(path, recorded), time.perf_counter() - began)


def _sum_up(lines: Sequence[Line]) -> int:
    judgements = [line.judgement for line in lines]
    events = sum(len(one.events) for one in judgements)
    alerts = sum(len(one.hits) + len(one.mistaken) for one in judgements)
    hits = sum(len(one.hits) for one in judgements)
    on_time = hits - sum(len(one.late) for one in judgements)
    precision = hits / alerts if alerts else 1.0
    recall = on_time / events if events else 1.0
    right = sum(one.is_right for one in judgements)
    print(f"{right} of {len(lines)} scenes right; {events} violations, {alerts} alerts")
    print(f"precision {precision:.3f} ({hits} of {alerts}), recall within 2 s {recall:.3f} ({on_time} of {events})")
    people: Counter[str] = sum((one.people for one in judgements), Counter())
    counted: Counter[str] = sum((one.counted for one in judgements), Counter())
    print(f"people: {_described(people)}; counted: {_described(counted)}")
    # Too many people in one scene could offset too few in another, so the errors of the scenes are added.
    astray = sum(abs(one.counted.total() - one.people.total()) for one in judgements)
    error = (counted.total() - people.total()) / max(people.total(), 1)
    print(
        f"counts: sum off by {error:+.1%} ({astray} people within scenes), "
        f"share by {100 * (_compliance(counted) - _compliance(people)):+.1f} points"
    )
    return 0 if precision >= LEAST_PRECISION and recall >= LEAST_RECALL else 1


def _described(people: Counter[str]) -> str:
    """The number of people, and the share with a mask among those decided."""
    shares = ", ".join(f"{count} {label}" for label, count in sorted(people.items()))
    return f"{people.total()} ({shares}), compliance {_compliance(people):.3f}"


def _compliance(people: Counter[str]) -> float:
    return people["with_mask"] / max(people.total() - people["undecided"], 1)


def _render(options: argparse.Namespace) -> int:
    found = next(_scenes(options), None)
    if found is None:
        print("no scene has such a name", file=sys.stderr)
        return 2
    name, scene = found
    write_recording(options.render, scene)
    print(f"{name}: {options.render}, {scene.seconds:g} s at {scene.frames_per_second:g} frames a second")
    return 0


def write_recording(path: Path, scene: Scene) -> None:
    """Write a scene as .mp4."""
    height, width = scene.background.shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), scene.frames_per_second, (width, height))
    for shot in shots(scene):
        writer.write(shot.image)
    writer.release()


if __name__ == "__main__":
    sys.exit(main())
