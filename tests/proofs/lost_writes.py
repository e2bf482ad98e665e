"""Does an alert survive a power cut that loses every write that was not yet synced to disk?

    python -m tests.proofs.lost_writes --folder FOLDER

Records the system calls of an agent that raises alerts (strace), and replays them onto a simulated disk that loses as
much as POSIX allows: content is durable after an fsync of its file, a name after an fsync of its folder, and later
changes are lost completely or in part. Power is cut at many moments, and a store is opened on what is left.

Prints the figures as one line of JSON and exits with 1 if a message is lost that was acknowledged to the pipeline.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections import Counter, defaultdict
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_agent.alerts.store import AlertStore
from tests.mosquitto import Mosquitto, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
CALLS = "openat,write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,ftruncate,mkdir,mkdirat"
LONGEST_STRING = 1_000_000
SECTOR_BYTES = 512
LINE = re.compile(r"^(?P<process>\d+) +(?:(?P<call>\w+)\(|<\.\.\. (?P<resumed>\w+) resumed>)(?P<rest>.*)$")
FILE_OF_NUMBER = re.compile(r"^\d+<((?:\\x[0-9a-f]{2})*)>")
STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
STDOUT = "1<"
PROMISES = ("lost", "without_crop", "damaged")


@dataclass(frozen=True)
class Call:
    """A successful system call; `text` are its arguments as printed by strace."""

    name: str
    text: str

    @property
    def file(self) -> str:
        """The file of the descriptor that is its first argument."""
        found = FILE_OF_NUMBER.match(self.text)
        return _bytes(found[1]).decode() if found else ""

    @property
    def strings(self) -> list[bytes]:
        return [_bytes(text) for text in STRING.findall(self.text)]

    @property
    def last_number(self) -> int:
        return int(self.text.rsplit(",", 1)[1])


@dataclass
class Inode:
    """The content of a file: what is on disk, and the changes that are not yet synced."""

    kept: bytearray = field(default_factory=bytearray)
    changes: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Offset and data; without data the file is truncated or extended to the offset."""
    written_bytes: int = 0

    def sync(self) -> None:
        for change in self.changes:
            _apply(self.kept, change)
        self.changes.clear()

    def left(self, chance: random.Random | None) -> bytes:
        """What a power cut leaves: of unsynced changes nothing, or arbitrary sectors."""
        content = bytearray(self.kept)
        if chance is None:
            return bytes(content)
        for offset, data in self.changes:
            if data is None:
                if chance.random() < 0.5:
                    _apply(content, (offset, data))
                continue
            for start in range(0, len(data), SECTOR_BYTES):
                if chance.random() < 0.5:
                    _apply(content, (offset + start, data[start : start + SECTOR_BYTES]))
        return bytes(content)


class Disk:
    """Files and names below a folder; anything outside is ignored."""

    def __init__(self, folder: Path) -> None:
        self._root = str(folder)
        self._names: dict[str, Inode | None] = {self._root: None}
        self._kept_names: dict[str, Inode | None] = {self._root: None}
        self._changes: dict[str, list[tuple[str, str, Inode | None]]] = defaultdict(list)

    def play(self, call: Call) -> None:
        """Replay a call."""
        match call.name:
            case "openat":
                self._open(call)
            case "write" | "pwrite64" | "ftruncate":
                self._write(call)
            case "fsync" | "fdatasync":
                self._sync(call.file)
            case _:
                self._name(call)

    def leave(self, folder: Path, chance: random.Random | None) -> None:
        """Write what a power cut at this point leaves into a folder, which replaces the recorded one."""
        names = dict(self._kept_names)
        if chance is not None:
            for changes in self._changes.values():
                for change in changes[: chance.randint(0, len(changes))]:
                    _rename(names, change)
        for name in sorted(names):
            inode, target = names[name], folder / Path(name).relative_to(self._root)
            if inode is None:
                target.mkdir(parents=True, exist_ok=True)
            elif str(Path(name).parent) in names:
                target.write_bytes(inode.left(chance))

    def _open(self, call: Call) -> None:
        path = call.strings[0].decode()
        if not path.startswith(self._root):
            return
        if path not in self._names and "O_CREAT" in call.text:
            self._rename("", path, Inode())
        inode = self._names.get(path)
        if inode is not None and "O_TRUNC" in call.text:
            inode.changes.append((0, None))
            inode.written_bytes = 0

    def _write(self, call: Call) -> None:
        inode = self._names.get(call.file)
        if inode is None:
            return
        if call.name == "ftruncate":
            inode.changes.append((call.last_number, None))
            return
        data = call.strings[0]
        offset = call.last_number if call.name == "pwrite64" else inode.written_bytes
        inode.written_bytes = offset + len(data)
        inode.changes.append((offset, data))

    def _sync(self, path: str) -> None:
        inode = self._names.get(path)
        if inode is not None:
            inode.sync()
        for change in self._changes.pop(path, ()):
            _rename(self._kept_names, change)

    def _name(self, call: Call) -> None:
        paths = [path.decode() for path in call.strings]
        if call.name.startswith("mkdir"):
            self._rename("", paths[0], None)
        elif call.name.startswith("unlink"):
            self._rename(paths[0], "", None)
        elif paths[0] in self._names:
            self._rename(paths[0], paths[1], self._names[paths[0]])

    def _rename(self, old: str, new: str, inode: Inode | None) -> None:
        path = new or old
        if path.startswith(self._root + "/"):
            change = (old, new, inode)
            _rename(self._names, change)
            self._changes[str(Path(path).parent)].append(change)


def record(folder: Path, *, messages: int, port: int) -> list[Call]:
    """Let an agent raise alerts until this many messages are acknowledged, kill it, and return its calls in order."""
    trace, state = folder / "trace", folder / "recorded"
    state.mkdir(parents=True)
    agents = [sys.executable, "-m", "tests.proofs.alerting", str(state), str(port)]
    command = [
        "strace",
        "-f",
        "-y",
        "-xx",
        "-s",
        str(LONGEST_STRING),
        "-e",
        f"trace={CALLS}",
        "-o",
        str(trace),
        *agents,
    ]
    with (
        (folder / "agent.log").open("w") as log,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1
        ) as traced,
    ):
        assert traced.stdin
        assert traced.stdout
        traced.stdin.write(f"{uuid.uuid4()} 600\n")
        process = json.loads(traced.stdout.readline())["process"]
        told = 0
        while told < messages:
            line = traced.stdout.readline()
            assert line, f"the agent is gone: see {folder}/agent.log"
            told += "sequence" in line
        os.kill(process, signal.SIGKILL)
        traced.stdin.close()
    return list(read_trace(trace))


def read_trace(trace: Path) -> Iterator[Call]:
    """Return the successful calls: syncs in order of their end, all others in order of their beginning."""
    begun: dict[str, tuple[str, str]] = {}
    with trace.open() as lines:
        for line in lines:
            found = LINE.match(line)
            if not found:
                continue
            process, rest = found["process"], found["rest"]
            if found["resumed"]:
                name, text = begun.pop(process, (found["resumed"], ""))
                if _is_sync(name) and rest.rsplit("= ", 1)[-1].strip() == "0":
                    yield Call(name, text)
            elif rest.endswith("<unfinished ...>"):
                begun[process] = (found["call"], rest.removesuffix("<unfinished ...>").strip())
                if not _is_sync(found["call"]):
                    yield Call(*begun[process])
            elif ") = -1 " not in rest:
                yield Call(found["call"], rest.rsplit(")", 1)[0])


def _is_sync(name: str) -> bool:
    return name in ("fsync", "fdatasync")


def cut_power(calls: Sequence[Call], folder: Path, *, cuts: int, chance: random.Random) -> dict[str, int]:
    """Replay the calls, cut the power directly after acknowledgements and at random, and count the losses."""
    told = [number for number, call in enumerate(calls) if _is_acknowledgement(call)]
    at = set(chance.sample(told, min(cuts, len(told)))) | set(chance.sample(range(len(calls)), min(cuts, len(calls))))
    disk, pending = Disk(folder / "recorded"), Pending()
    figures = Counter(calls=len(calls), syncs=sum(_is_sync(call.name) for call in calls))
    for number, call in enumerate(calls):
        if _is_acknowledgement(call):
            pending.hear(json.loads(call.strings[0]))
        else:
            disk.play(call)
        if number in at:
            for forgetful in (None, chance):
                left = folder / "left"
                shutil.rmtree(left, ignore_errors=True)
                disk.leave(left, forgetful)
                figures.update(cuts=1, **look(left, pending.messages()))
    return {**figures, "messages": pending.heard}


class Pending:
    """Messages acknowledged to the pipeline but not yet by the broker."""

    def __init__(self) -> None:
        self._messages: dict[str, dict[str, Any]] = {}
        self._removed: set[str] = set()
        self.heard = 0

    def hear(self, what: dict[str, Any]) -> None:
        """Process a line of the agent. One thread puts, another removes: their lines may be out of order."""
        if "sequence" in what:
            self._messages[what["id"]] = what
            self.heard += 1
        self._removed.update(what.get("removes", ()))

    def messages(self) -> list[dict[str, Any]]:
        """Every message that must be on disk."""
        return [message for key, message in self._messages.items() if key not in self._removed]


def look(left: Path, pending: list[dict[str, Any]]) -> dict[str, int]:
    """Open what a power cut left, and count missing pending messages."""
    with closing(AlertStore(left / "state" / "alerts.sqlite", boot_id="another")) as store:
        waiting = {row.kind + row.message["id"] for row in store.waiting(1_000_000)}
        damaged = bool(store.damage)
    return {
        "lost": sum(one["kind"] + one["id"] not in waiting for one in pending),
        "without_crop": sum(not _has_crop(left, one) for one in pending if one["kind"] == "alert"),
        "damaged": int(damaged),
    }


def _has_crop(left: Path, alert: dict[str, Any]) -> bool:
    file = left / "state" / "crops" / f"{alert['id']}.jpg"
    return file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == alert["crop"]


def _is_acknowledgement(call: Call) -> bool:
    return call.name == "write" and call.text.startswith(STDOUT) and bool(call.strings) and call.strings[0][:1] == b"{"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def _apply(content: bytearray, change: tuple[int, bytes | None]) -> None:
    offset, data = change
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data


def _rename(names: dict[str, Inode | None], change: tuple[str, str, Inode | None]) -> None:
    old, new, inode = change
    names.pop(old, None)
    if new:
        names[new] = inode


def prove(folder: Path, *, messages: int, cuts: int, with_broker: bool, seed: int) -> dict[str, int]:
    """Record and cut; with a broker, messages leave the outbox meanwhile."""
    chance = random.Random(seed)  # noqa: S311  (moments, not secrets)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if not with_broker:
        calls = record(folder, messages=messages, port=free_port())
    else:
        with Mosquitto(folder / "broker") as broker:
            calls = record(folder, messages=messages, port=broker.port)
    return cut_power(calls, folder, cuts=cuts, chance=chance)


def main() -> int:
    """Read the options, prove and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=400, help="in each of two recordings (default: 400)")
    parser.add_argument("--cuts", type=int, default=150, help="after acknowledgements, and as many at random")
    parser.add_argument("--folder", type=Path, required=True, help="where everything is written; emptied first")
    parser.add_argument("--seed", type=int, default=None, help="for the same moments again")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    broken = 0
    for with_broker in (False, True):
        folder = options.folder.absolute() / ("broker_there" if with_broker else "broker_away")
        figures = prove(folder, messages=options.messages, cuts=options.cuts, with_broker=with_broker, seed=seed)
        print(json.dumps({"seed": seed, "broker": with_broker, **figures}), flush=True)  # noqa: T201
        broken += sum(figures[promise] for promise in PROMISES)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
