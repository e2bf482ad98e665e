"""`edge-agent outbox`: shows, prints or purges pending messages."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.database import files_set_aside, is_begun
from edge_agent.alerts.store import HISTORY, AlertStore
from edge_agent.commands.options import accept_json, add_command, configured, print_json, stored_history
from edge_agent.errors import UnavailableError
from edge_agent.foreign_text import safe
from edge_agent.host.clock import boot_id
from edge_agent.messages.message import KINDS
from edge_agent.wiring import alone_in

if TYPE_CHECKING:
    import argparse

    from edge_agent.alerts.history import AlertHistory
    from edge_agent.config.model import Config

NOT_CONFIRMED = 1


def add_to(commands: Any) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "outbox",
        run,
        summary="show, print or purge pending messages; showing also works while the agent is running",
        example="edge-agent outbox --messages > pending.jsonl",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--messages", action="store_true", help="print every pending message as a JSON line, oldest first"
    )
    action.add_argument(
        "--purge",
        nargs="+",
        choices=KINDS,
        metavar="KIND",
        help=f"delete all messages of these kinds ({', '.join(KINDS)}); the agent must not be running",
    )
    parser.add_argument("--yes", action="store_true", help="with --purge: do not ask for confirmation")
    accept_json(parser)


def run(options: argparse.Namespace) -> int:
    """Show, print or purge messages."""
    config = configured(options)
    history = stored_history(config)
    if options.purge:
        return _purge(config, options)
    if options.messages:
        for message in history.pending_messages():
            print_json(message)
    else:
        _show(config, history, as_json=options.json)
    return 0


def _show(config: Config, history: AlertHistory, *, as_json: bool) -> None:
    contents, set_aside = history.outbox(), files_set_aside(history.file)
    if as_json:
        print_json(
            {
                "file": str(config.store_file),
                "waiting": {kind: contents.waiting.get(kind, 0) for kind in KINDS},
                "bytes": contents.size_bytes,
                "oldest": contents.oldest,
                "dropped": {kind: contents.dropped.get(kind, 0) for kind in (*KINDS, HISTORY)},
                "set_aside": [str(file) for file in set_aside],
            }
        )
        return
    print(f"{config.store_file}")
    print(f"pending   {_counts(contents.waiting)}, {contents.size_bytes} bytes")
    if contents.oldest is not None:
        print(safe(f"oldest    {contents.oldest}"))
    print(f"dropped   {_counts(contents.dropped)}, over the limits since the store was created")
    for file in set_aside:
        print(f"damaged   {file}: 'sqlite3 FILE .recover' may still read what was not saved over; then delete it")


def _counts(counts: Any) -> str:
    return ", ".join(f"{counts.get(kind, 0)} {kind}" for kind in KINDS)


def _purge(config: Config, options: argparse.Namespace) -> int:
    if not is_begun(config.store_file):
        # Do not create the file, which would belong to the current user.
        return _report_purged(0, as_json=options.json)
    with alone_in(config.state), closing(AlertStore(config.store_file, boot_id=boot_id())) as store:
        if store.write_error:
            raise UnavailableError(store.write_error)
        found = ", ".join(f"{store.count(kind)} {kind}" for kind in options.purge)
        if not options.yes and not _confirmed(f"delete {found} from {config.store_file}?"):
            print("nothing was deleted; answer y, or use --yes", file=sys.stderr)
            return NOT_CONFIRMED
        purged = store.purge(*options.purge)
    return _report_purged(purged, as_json=options.json)


def _report_purged(purged: int, *, as_json: bool) -> int:
    if as_json:
        print_json({"purged": purged})
    else:
        print(f"{purged} messages deleted")
    return 0


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
