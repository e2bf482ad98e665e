"""Is this version faster and smaller than another? Runs `edge-agent bench` of both alternately.

    python -m tests.proofs.compare_benches --base v1.0.0 --folder FOLDER

The other version is checked out next to this one and runs in the same environment. Runs alternate, so that other load
on the machine affects both. Prints a table of medians and ratios, and the same as one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).parents[2]
FIGURES = {
    "frames/s, one camera": ("configured", "frames_per_second"),
    "decoding and the models alone, share of the path": ("configured", "limit_share"),
    "frame, median ms": ("configured", "stages_ms", "frame", "p50"),
    "faces, median ms": ("configured", "stages_ms", "faces", "p50"),
    "masks, median ms": ("configured", "stages_ms", "masks", "p50"),
    "frames/s, cameras side by side": ("side_by_side", "frames_per_second"),
    "cameras side by side against one": ("side_by_side", "factor"),
    "ready after, s": ("start", "ready_seconds"),
    "processor time until ready, s": ("start", "ready_cpu_seconds"),
    "edge-agent --version, s": ("start", "version_cpu_seconds"),
    "memory of the agent, MB": ("start", "peak_memory_bytes"),
}
"""The compared figures, with their paths in the JSON of the bench."""
MEGABYTE = 1_000_000


def main() -> int:
    """Compare and print; returns 1 if the other version cannot be measured."""
    options = _options()
    base = (options.folder / "base").resolve()
    if not base.exists():
        subprocess.run(["git", "worktree", "add", "--detach", str(base), options.base], cwd=HERE, check=True)
    turns: dict[str, list[dict[str, Any]]] = {"base": [], "here": []}
    try:
        for _ in range(options.rounds):
            for name, tree in (("base", base), ("here", HERE)):
                turns[name].append(_bench(tree))
    except subprocess.CalledProcessError as error:
        print(f"compare_benches: {error.cmd}: {error.stderr.strip()}", file=sys.stderr)
        return 1
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(base)], cwd=HERE, check=True)
    figures = {name: {key: _median(runs, path) for key, path in FIGURES.items()} for name, runs in turns.items()}
    _print(figures, base=options.base)
    print(json.dumps({"schema": "maskwatch.bench-comparison/1", "base": options.base, **figures}))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, metavar="REVISION", help="a tag or commit to compare with")
    parser.add_argument("--folder", type=Path, required=True, help="gets the other version while it is measured")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns of each version (default: 5)")
    return parser.parse_args()


def _bench(tree: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "edge_agent", "bench", "--json"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _median(runs: Sequence[Mapping[str, Any]], path: Sequence[str]) -> float | None:
    """Median of a figure over all runs; None if a version does not report it."""
    values = []
    for run in runs:
        value: Any = run
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            return None
        values.append(float(value))
    middle = statistics.median(values)
    return middle / MEGABYTE if path[-1].endswith("_bytes") else middle


def _print(figures: Mapping[str, Mapping[str, float | None]], *, base: str) -> None:
    print(f"{'':<38} {base[:12]:>12} {'here':>10} {'ratio':>7}")
    for key in FIGURES:
        before, now = figures["base"][key], figures["here"][key]
        shown = [f"{value:.2f}" if value is not None else "-" for value in (before, now)]
        ratio = f"{now / before:.2f}" if before and now is not None else "-"
        print(f"{key:<38} {shown[0]:>12} {shown[1]:>10} {ratio:>7}")


if __name__ == "__main__":
    sys.exit(main())
