"""The outbox: what has no broker acknowledged yet?

On disk, so that what `put` returned for survives the loss of power. Where the disk takes nothing, messages are held in
memory and delivered all the same; where the file is damaged, it is set aside: the agent never refuses to watch.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, cast

from edge_agent.delivery.outbox_file import COLUMNS, open_file, readable
from edge_agent.durable import make_folder
from edge_agent.errors import UnavailableError
from edge_agent.sqlite_file import is_damage, set_aside, transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edge_agent.delivery.outbox_file import StoredRow

Result = TypeVar("Result")
Kind: TypeAlias = Literal["alert", "ended", "telemetry"]

KINDS: tuple[Kind, ...] = ("alert", "ended", "telemetry")
FIRST_TO_GO: tuple[Kind, ...] = ("telemetry", "ended", "alert")
"""Where there is no room, the oldest of the first of these kinds goes: an old figure is worth least, an alert most."""
MOST_HELD = 1000
"""About 1 MB of alerts in memory; a disk that takes none for so long is somebody's to mend."""
ROOM_AGAIN_FRACTION = 0.9
"""An outbox that was full has room again below this share of its bounds; one line for each outage, not for each row."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """One message that waits. `waited_seconds` is None where it was put before the machine was started."""

    position: int
    key: str
    kind: Kind
    message: dict[str, Any]
    waited_seconds: float | None


class Outbox:
    """Messages that wait. For any thread: the agent's puts, the publisher's takes out."""

    def __init__(self, path: Path, *, boot_id: str, keep_rows: int = 20_000, keep_bytes: int = 50_000_000) -> None:
        """Open the outbox, or begin one, and keep no more in it than so many rows and bytes of messages.

        Never fails: `trouble` says why where nothing can be kept on disk for now.
        """
        self.path = path
        self._boot_id = boot_id
        self._keep_rows, self._keep_bytes = keep_rows, keep_bytes
        self._lock = threading.Lock()
        # Numbers and positions are given by this process alone; the disk remembers them for the next.
        self._sequence: Counter[str] = Counter()
        self._position = 0
        self._rows: Counter[str] = Counter()
        self._bytes = 0
        self._dropped: Counter[str] = Counter()
        self._dropped_unsaved: Counter[str] = Counter()
        self._dropped_since_full = 0
        self._held: dict[str, StoredRow] = {}
        self._trouble = ""
        self._damage = ""
        self._database: sqlite3.Connection | None = None
        with self._lock:
            self._try_disk(lambda _database: None)
            if self._held:
                self._keep_held()

    @property
    def trouble(self) -> str:
        """Why messages are held in memory only; empty where all is well."""
        return self._trouble

    @property
    def damage(self) -> str:
        """What was found damaged and set aside since the start, and where it is; empty where nothing was."""
        return self._damage

    def put(self, message: Mapping[str, Any], *, kind: Kind = "alert") -> dict[str, Any]:
        """Number a message within its kind and keep it; gives the message with its `sequence`.

        Durable when this returns, unless there is `trouble`. One that already waits (same kind and `id`) is given back
        as it is: whoever is not sure may put again.
        """
        key = _key(kind, message)
        with self._lock:
            waits = self._waiting_message(key)
            if waits is not None:
                return waits
            numbered = {**message, "sequence": self._sequence[kind] + 1}
            crop = message.get("crop")
            row: StoredRow = (
                self._position + 1,
                kind,
                key,
                self._boot_id,
                _since_boot(),
                crop["file"] if crop else None,
                json.dumps(numbered),
            )
            self._position += 1
            self._sequence[kind] += 1
            self._rows[kind] += 1
            self._bytes += len(row[-1])
            self._held[key] = row
            self._keep_held()
            return numbered

    def keep_held(self) -> None:
        """Try again to bring to disk what is held in memory; does nothing where nothing is held."""
        with self._lock:
            if self._held:
                self._keep_held()

    def waiting(self, limit: int, *, after: int = 0, kinds: Iterable[Kind] = KINDS) -> list[Row]:
        """Look at the oldest messages of these kinds whose position is beyond `after`."""
        wanted = tuple(kinds)
        query = (
            f"SELECT {COLUMNS} FROM waiting WHERE position > ? AND kind IN ({', '.join('?' * len(wanted))}) "  # noqa: S608
            "ORDER BY position LIMIT ?"
        )
        with self._lock:
            rows = self._try_disk(lambda database: database.execute(query, (after, *wanted, limit)).fetchall()) or []
            rows += [row for row in self._held.values() if row[0] > after and row[1] in wanted]
        return [self._as_row(row) for row in sorted(rows)[:limit]]

    def remove(self, *keys: str) -> None:
        """Forget messages that the broker has acknowledged, by the keys of their rows.

        Raises:
            UnavailableError: the disk is full or read-only: those on it still wait.
        """
        with self._lock:
            held = [self._held.pop(key) for key in keys if key in self._held]
            for row in held:
                self._count_out(row[1], len(row[-1]))
            if len(held) < len(keys):
                removed = self._try_disk(lambda database: _delete(database, keys))
                if removed is None:
                    raise UnavailableError(self._trouble)
                for kind, size_bytes in removed:
                    self._count_out(kind, size_bytes)
                if removed:
                    self._note_trouble("")
            self._note_room()

    def purge(self, *kinds: Kind) -> int:
        """Throw away everything of these kinds and give how much it was; asked for, so it counts as no drop.

        Raises:
            UnavailableError: the disk is full or read-only.
        """
        keys = [row.key for row in self.waiting(self._keep_rows + MOST_HELD, kinds=kinds)]
        self.remove(*keys)
        return len(keys)

    def last_position(self) -> int:
        """The position of the youngest message; whatever is put from now on lies beyond it."""
        return self._position

    def count(self, *kinds: Kind) -> int:
        """How many messages wait, of these kinds or of all; does not touch the disk."""
        return sum(self._rows[kind] for kind in kinds or KINDS)

    def size_bytes(self) -> int:
        """How large the waiting messages are together; does not touch the disk."""
        return self._bytes

    def dropped(self) -> dict[Kind, int]:
        """How many messages of each kind were dropped for want of room since the outbox was begun."""
        return {kind: self._dropped[kind] for kind in KINDS}

    def owed_crops(self) -> set[str]:
        """Names (without folder) of the crops that waiting messages refer to.

        Raises:
            UnavailableError: the disk cannot be read, so nobody knows.
        """
        query = "SELECT crop_file FROM waiting WHERE crop_file IS NOT NULL"
        with self._lock:
            rows = self._try_disk(lambda database: database.execute(query).fetchall())
            if rows is None:
                raise UnavailableError(self._trouble)
            files = [file for (file,) in rows] + [row[5] for row in self._held.values() if row[5]]
        return {Path(file).name for file in files}

    def is_waiting(self, key: str) -> bool:
        """Whether the message with this key still waits.

        Raises:
            UnavailableError: the disk cannot be read, so nobody knows.
        """
        query = "SELECT 1 FROM waiting WHERE key = ?"
        with self._lock:
            found = self._try_disk(lambda database: database.execute(query, (key,)).fetchone() or ())
            if found is None and key not in self._held:
                raise UnavailableError(self._trouble)
            return bool(found) or key in self._held

    def close(self) -> None:
        """Close the file; what could never be brought to disk is lost and said."""
        with self._lock:
            if self._held:
                self._keep_held()
            if self._held:
                log.error("%d messages that were held in memory are lost: %s", len(self._held), self._trouble)
            if self._database is not None:
                self._database.close()
                self._database = None

    def _waiting_message(self, key: str) -> dict[str, Any] | None:
        if key in self._held:
            return dict(json.loads(self._held[key][-1]))
        query = "SELECT message FROM waiting WHERE key = ?"
        found = self._try_disk(lambda database: database.execute(query, (key,)).fetchone() or ())
        return dict(json.loads(found[0])) if found else None

    def _keep_held(self) -> None:
        """Bring to disk what is held, in order; or drop what memory has no room for."""
        victims = self._try_disk(self._insert)
        if victims is not None:
            self._note_trouble("")
            self._held.clear()
            self._dropped_unsaved.clear()
        else:
            victims = self._make_room_in_memory()
        for kind, size_bytes in victims:
            self._count_out(kind, size_bytes)
        self._note_drops(Counter(kind for kind, _ in victims))

    def _insert(self, database: sqlite3.Connection) -> list[tuple[str, int]]:
        insert = f"INSERT INTO waiting ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"  # noqa: S608
        with transaction(database):
            database.executemany(insert, self._held.values())
            # Earlier boots never come back.
            database.execute("DELETE FROM last_sequence WHERE boot_id != ?", (self._boot_id,))
            database.executemany(
                "INSERT OR REPLACE INTO last_sequence VALUES (?, ?, ?)",
                [(self._boot_id, kind, sequence) for kind, sequence in self._sequence.items()],
            )
            victims = self._make_room_on_disk(database)
            counts = Counter(kind for kind, _ in victims) + self._dropped_unsaved
            for kind, messages in counts.items():
                database.execute(
                    "INSERT INTO dropped VALUES (?, ?) ON CONFLICT (kind) DO UPDATE SET messages = messages + ?",
                    (kind, messages, messages),
                )
        return victims

    def _make_room_on_disk(self, database: sqlite3.Connection) -> list[tuple[str, int]]:
        rows, size_bytes = sum(self._rows.values()), self._bytes
        victims: list[tuple[str, int]] = []
        oldest = "SELECT key, length(CAST(message AS BLOB)) FROM waiting WHERE kind = ? ORDER BY position LIMIT 1"
        for kind in FIRST_TO_GO:
            while rows > self._keep_rows or size_bytes > self._keep_bytes:
                found = database.execute(oldest, (kind,)).fetchone()
                if found is None:
                    break
                database.execute("DELETE FROM waiting WHERE key = ?", (found[0],))
                victims.append((kind, found[1]))
                rows, size_bytes = rows - 1, size_bytes - found[1]
        return victims

    def _make_room_in_memory(self) -> list[tuple[str, int]]:
        victims: list[tuple[str, int]] = []
        for kind in FIRST_TO_GO:
            of_kind = [key for key, row in self._held.items() if row[1] == kind]
            for key in of_kind[: max(0, len(self._held) - MOST_HELD)]:
                victims += [(kind, len(self._held.pop(key)[-1]))]
        self._dropped_unsaved.update(kind for kind, _ in victims)
        return victims

    def _try_disk(self, work: Callable[[sqlite3.Connection], Result]) -> Result | None:
        """Do something with the file; None where that is not possible for now, and `trouble` says why.

        Only what was written ends the trouble: reading goes well on a full disk, too.
        """
        for _ in range(2):
            try:
                if self._database is None:
                    self._database = self._open()
                done = work(self._database)
            except (sqlite3.DatabaseError, OSError) as error:
                if not is_damage(error):
                    self._note_trouble(_reason(error))
                    return None
                self._set_aside(_reason(error))
            else:
                return done
        self._note_trouble("damaged, and again or still so when it was begun anew: the disk is failing")
        return None

    def _open(self) -> sqlite3.Connection:
        make_folder(self.path.parent)
        database = open_file(self.path)
        try:
            self._read_figures(database)
        except BaseException:
            database.close()
            raise
        return database

    def _read_figures(self, database: sqlite3.Connection) -> None:
        counts = database.execute(
            "SELECT kind, count(*), sum(length(CAST(message AS BLOB))) FROM waiting GROUP BY kind"
        )
        self._rows = Counter(row[1] for row in self._held.values())
        self._bytes = sum(len(row[-1]) for row in self._held.values())
        for kind, rows, size_bytes in counts.fetchall():
            self._rows[kind] += rows
            self._bytes += size_bytes
        (last,) = database.execute("SELECT coalesce(max(position), 0) FROM waiting").fetchone()
        known = database.execute("SELECT kind, sequence FROM last_sequence WHERE boot_id = ?", (self._boot_id,))
        self._go_on_from(last, known.fetchall())
        dropped = Counter(dict(database.execute("SELECT kind, messages FROM dropped").fetchall()))
        self._dropped = dropped + self._dropped_unsaved

    def _go_on_from(self, position: int, sequences: Iterable[tuple[str, int]]) -> None:
        """Give no number or position that was given before, by this process or an earlier one."""
        shift = position if self._held and position >= min(row[0] for row in self._held.values()) else 0
        # Begun in memory because the disk was away: what lies on it is older.
        self._held = {key: (row[0] + shift, *row[1:]) for key, row in self._held.items()}
        self._position = max(self._position + shift, position)
        for kind, sequence in sequences:
            self._sequence[kind] = max(self._sequence[kind], sequence)

    def _set_aside(self, finding: str) -> None:
        """Rename a damaged file, where the disk lets us, and take over what can still be read of it."""
        if self._database is not None:
            self._database.close()
            self._database = None
        try:
            aside = set_aside(self.path, when=datetime.now(timezone.utc))
        except OSError:
            return
        saved = readable(aside, boot_id=self._boot_id)
        self._held = {row[2]: row for row in saved.rows} | self._held
        self._position = max([self._position, *(row[0] for row in saved.rows)])
        self._go_on_from(0, saved.sequences)
        self._dropped_unsaved = self._dropped or Counter(dict(saved.dropped))
        self._damage = (
            f"{self.path}: the outbox was damaged ({finding}) and a new one is begun; {len(saved.rows)} waiting "
            f"messages were saved over, others may be found in {aside} with 'sqlite3 FILE .recover'"
        )
        log.error("%s", self._damage)

    def _note_trouble(self, reason: str) -> None:
        trouble = reason and (
            f"{self.path}: the outbox cannot be used: {reason}; messages wait in memory only: they need a writable "
            "folder with free space: see state_folder"
        )
        if trouble and not self._trouble:
            log.error("%s", trouble)
        elif self._trouble and not trouble:
            log.info("%s: the outbox takes messages again", self.path)
        self._trouble = trouble

    def _note_drops(self, dropped: Counter[str]) -> None:
        if not dropped:
            return
        if not self._dropped_since_full:
            log.warning(
                "%s: the outbox is full (%d messages, %d bytes): the oldest are dropped, %s first; see whether the "
                "broker takes messages, or raise outbox.keep_rows and outbox.keep_bytes",
                self.path,
                self.count(),
                self._bytes,
                FIRST_TO_GO[0],
            )
        self._dropped += dropped
        self._dropped_since_full += sum(dropped.values())

    def _note_room(self) -> None:
        is_roomy = (
            self.count() < ROOM_AGAIN_FRACTION * self._keep_rows
            and self._bytes < ROOM_AGAIN_FRACTION * self._keep_bytes
        )
        if self._dropped_since_full and is_roomy:
            log.warning("%s: the outbox has room again; %d messages were dropped", self.path, self._dropped_since_full)
            self._dropped_since_full = 0

    def _count_out(self, kind: str, size_bytes: int) -> None:
        self._rows[kind] -= 1
        self._bytes -= size_bytes

    def _as_row(self, stored: StoredRow) -> Row:
        position, kind, key, boot_id, put_at, _, message = stored
        waited_seconds = _since_boot() - put_at if boot_id == self._boot_id else None
        return Row(position, key, cast("Kind", kind), json.loads(message), waited_seconds)


def _delete(database: sqlite3.Connection, keys: Iterable[str]) -> list[tuple[str, int]]:
    """Delete rows and give kind and size of those that were there."""
    deleted: list[tuple[str, int]] = []
    with transaction(database):
        for key in keys:
            found = database.execute("SELECT kind, length(CAST(message AS BLOB)) FROM waiting WHERE key = ?", (key,))
            deleted += found.fetchall()
            database.execute("DELETE FROM waiting WHERE key = ?", (key,))
    return deleted


def _key(kind: Kind, message: Mapping[str, Any]) -> str:
    """An alert's key is its id; other kinds may refer to an alert by the same id, or have none."""
    if kind == "alert":
        return str(message["id"])
    return f"{kind}/{message.get('id') or uuid.uuid4()}"


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else str(error)


def _since_boot() -> float:
    """Seconds since the machine was started, also while it slept; nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
