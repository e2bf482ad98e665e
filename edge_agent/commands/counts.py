"""`edge-agent counts`: prints the number of people and the share with a mask."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.people import as_csv, grouped, values_of
from edge_agent.commands.options import accept_json, add_command, configured, day, print_json, stored_history
from edge_agent.domain import COUNTED_AS
from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from edge_agent.messages.counts import PeopleCounts

DEFAULT_DAYS = 30
COLUMNS = ("people", *COUNTED_AS, "changed")


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "counts",
        run,
        summary="show how many people passed and the share with a mask; also works while the agent is running",
        example="edge-agent counts --by day --since 2026-03-01 --csv > counts.csv",
    )
    parser.add_argument(
        "--by", choices=("hour", "day", "camera"), default="day", help="group rows by this (default: %(default)s)"
    )
    parser.add_argument("--camera", help="only people at this camera")
    parser.add_argument(
        "--since", type=day, metavar="DAY", help="from YYYY-MM-DD on (default: 30 days, including the last)"
    )
    parser.add_argument("--until", type=day, metavar="DAY", help="up to YYYY-MM-DD, that day included")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print comma-separated values")
    accept_json(form)


def run(options: argparse.Namespace) -> int:
    """Print the counts, oldest first."""
    config = configured(options)
    last = options.until or datetime.now().astimezone().date()
    first = options.since or last - timedelta(days=DEFAULT_DAYS - 1)
    if options.until and first > last:
        raise ConfigError(f"--since {first} is later than --until {last}: exchange them")
    rows = stored_history(config).people(camera=options.camera or "", first=first, last=options.until)
    counted = grouped(rows, options.by)
    if options.json:
        for name, counts in counted.items():
            print_json({options.by: name, **values_of(counts)})
    elif options.csv:
        print(as_csv(counted, options.by), end="")
    else:
        _print_table(counted, options.by)
    return 0


def _print_table(counted: Mapping[str, PeopleCounts], by: str) -> None:
    if not counted:
        print("no people were counted in this period")
        return
    width = max(len(by), *map(len, counted))
    headings = [column.replace("mask_worn_incorrectly", "incorrectly") for column in COLUMNS]
    print(f"{by:{width}}  {'  '.join(f'{heading:>12}' for heading in headings)}  {'compliance':>10}")
    for name, counts in counted.items():
        values = values_of(counts)
        share = "-" if counts.compliance is None else f"{counts.compliance:.1%}"
        print(f"{name:{width}}  {'  '.join(f'{values[column]:>12}' for column in COLUMNS)}  {share:>10}")
