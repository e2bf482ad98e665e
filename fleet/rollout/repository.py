"""Repository: reads, signs and writes the model repository as metadata of The Update Framework (TUF).

    <folder>/metadata/   root, targets, stages, snapshot and timestamp, as fetched by devices
             targets/    models, their cards, assignments.json and stages.json, each with its hash as prefix
             staged/     root.json and targets.json while people sign them; not to be served

Root and targets need the signatures of two people, whose keys are never on the server. The server's key signs the
progress of roll-outs (`stages`) and the freshness of all files (snapshot, timestamp): if stolen, it can only hold
devices at one of two models that people have signed.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.host.atomic_files import make_folder, write_whole
from edge_agent.messages.rollout import (
    ASSIGNMENTS,
    MINIMUM_VERSION,
    ORDER,
    STAGES,
    Assignment,
    Assignments,
    Progress,
    Stages,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from securesystemslib.signer import Key, Signer

ROLE = "stages"
OFFLINE_DAYS = 365
"""People have to sign again before that; `maskwatch-fleet rollout status` prints the expiry."""
ONLINE_DAYS = 3
"""Renewed daily: devices tolerate a server that is down for a weekend, and detect an outdated copy soon after."""
PEOPLE, SERVER = ("root", "targets"), ("snapshot", "timestamp")
"""Who signs which roles."""
ROOT_THRESHOLD = TARGETS_THRESHOLD = 2
MIN_ROOT_KEYS = 3
FILE_MODE = 0o644
SHARED_KEY = "this key is one of people, who keep theirs off the server; make another by 'maskwatch-fleet rollout key'"
PRETTY = JSONSerializer(compact=False)

Part = TypeVar("Part", Root, Targets, Snapshot, Timestamp)


class Repository:
    """Reads and writes the files. A lock serialises changes; each becomes visible only when complete."""

    def __init__(self, folder: Path) -> None:
        """Set the folder; nothing is read yet."""
        self.folder = folder
        self._metadata, self._targets, self._staged = folder / "metadata", folder / "targets", folder / "staged"

    # Operations of people: everything is staged until enough of them have signed.

    def create(self, *, root_keys: Sequence[Key], target_keys: Sequence[Key], online_key: Key, when: datetime) -> None:
        """Stage the first root and targets.

        Raises:
            ConfigError: too few keys, the server's key is one of people, or the repository exists already.
        """
        roots, targeters = ({key.keyid for key in keys} for keys in (root_keys, target_keys))
        if len(roots) < MIN_ROOT_KEYS or len(targeters) < TARGETS_THRESHOLD:
            raise ConfigError(
                f"{MIN_ROOT_KEYS} keys for the root and {TARGETS_THRESHOLD} for the models are needed, of as many "
                "people or places: one that is lost or stolen is replaced by the others"
            )
        if online_key.keyid in roots | targeters:
            raise ConfigError(f"rollout.online_key_file: {SHARED_KEY}")
        expires = when + timedelta(days=OFFLINE_DAYS)
        root = Root(expires=expires, consistent_snapshot=True)
        for role, keys in (("root", root_keys), ("targets", target_keys)):
            for key in keys:
                root.add_key(key, role)
        root.roles["root"].threshold, root.roles["targets"].threshold = ROOT_THRESHOLD, TARGETS_THRESHOLD
        for role in SERVER:
            root.add_key(online_key, role)
        targets = Targets(expires=expires, delegations=_delegations(online_key))
        with self._exclusive(create=True):
            if (self._metadata / "timestamp.json").exists() or (self._staged / "root.json").exists():
                raise ConfigError(f"{self.folder}: holds a repository already")
            self._stage("root", Metadata(root))
            self._stage("targets", Metadata(targets))
            self._stage_document(Assignments(groups={}))

    def stage_assignment(
        self,
        group: str,
        *,
        model: tuple[str, bytes, bytes] | None,
        minimum_version: str,
        named: Sequence[str],
        when: datetime,
    ) -> Assignment:
        """Stage the assignment of a group: name, network and card of a model; None: each device's configured model.

        Raises:
            ConfigError: another model has this name, it is reserved, or there is no repository.
        """
        with self._exclusive():
            metadata = self._staged_or_current("targets", Targets)
            assignments, before = self._assignments(metadata.signed), self.assignments().groups.get(group)
            name = None
            if model is not None:
                name, network, card = model
                for file, content in ((f"{name}.tflite", network), (f"{name}.json", card)):
                    self._add_model(metadata.signed, file, content, minimum_version=minimum_version)
            assignment = Assignment(
                number=(before.number if before else 0) + 1,
                model=name,
                previous=self._fallback(group),
                named=tuple(named),
            )
            self._stage_next("targets", metadata, when=when)
            self._stage_document(assignments.model_copy(update={"groups": {**assignments.groups, group: assignment}}))
            return assignment

    def stage_key(self, role: str, *, old: Key, new: Key, when: datetime) -> None:
        """Stage a root in which one key replaces another; `role` is root, targets or online.

        Raises:
            ConfigError: the old key does not belong to this role, or the new one has a role already.
        """
        with self._exclusive():
            root = self._staged_or_current("root", Root)
            self._require_unused(new, role, root.signed)
            for name in SERVER if role == "online" else (role,):
                try:
                    root.signed.revoke_key(old.keyid, name)
                except ValueError as error:
                    raise ConfigError(
                        f"the old key is none of '{role}'; 'maskwatch-fleet rollout status' lists them"
                    ) from error
                root.signed.add_key(new, name)
            self._stage_next("root", root, when=when)
            if role == "root":
                return
            # Signatures of an old key of targets are void: the current key holders have to sign again.
            targets = self._staged_or_current("targets", Targets)
            if role == "online":
                targets.signed.delegations = _delegations(new)
            self._stage_next("targets", targets, when=when)

    def stage_again(self, role: str, *, when: datetime) -> None:
        """Stage root or targets unchanged, valid for another year.

        Raises:
            ConfigError: there is no repository.
        """
        with self._exclusive():
            metadata: Metadata[Any] = self._staged_or_current(role, Root if role == "root" else Targets)
            self._stage_next(role, metadata, when=when)

    def sign(self, signer: Signer) -> list[str]:
        """Sign what is staged for the roles of this key; returns their names.

        Raises:
            ConfigError: nothing is staged for this key.
        """
        signed = []
        with self._exclusive():
            for role in PEOPLE:
                if not (self._staged / f"{role}.json").exists():
                    continue
                metadata: Metadata[Any] = Metadata.from_file(str(self._staged / f"{role}.json"))
                if signer.public_key.keyid in self._allowed(role):
                    metadata.sign(signer, append=True)
                    self._write(self._staged / f"{role}.json", metadata)
                    signed.append(role)
        if not signed:
            raise ConfigError("nothing is staged that this key may sign; see 'maskwatch-fleet rollout status'")
        return signed

    def missing_signatures(self) -> dict[str, int]:
        """Number of signatures that each staged role still needs."""
        missing = {}
        for role in PEOPLE:
            if (self._staged / f"{role}.json").exists():
                metadata: Metadata[Any] = Metadata.from_file(str(self._staged / f"{role}.json"))
                verifiers = self._verifiers(role)
                results = [
                    verifier.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
                    for verifier in verifiers
                ]
                missing[role] = max(result.missing for result in results)
        return missing

    def publish(self, online: Signer, *, when: datetime) -> None:
        """Serve what is staged, once enough people have signed; newer assignments start at their first stage.

        Raises:
            ConfigError: signatures are missing, or the server's key does not belong to the repository.
        """
        with self._exclusive():
            self._publish(online, when=when)

    def _publish(self, online: Signer, *, when: datetime) -> None:
        missing = {role: count for role, count in self.missing_signatures().items() if count}
        if missing:
            raise ConfigError(
                "signatures are missing: " + ", ".join(f"{role} {count}" for role, count in missing.items())
            )
        for folder in (self._metadata, self._targets):
            self._make_folder(folder)
        root = self._staged_or_current("root", Root)
        if online.public_key.keyid not in root.signed.roles["timestamp"].keyids:
            raise ConfigError("the server's key (rollout.online_key_file) is none of the repository")
        for file in sorted((self._staged / "targets").glob("*")):
            write_whole(self._targets / file.name, file.read_bytes(), mode=FILE_MODE)
        if (self._staged / "targets.json").exists():
            targets = self._read(self._staged / "targets.json", Targets)
            self._write(self._metadata / f"{targets.signed.version}.targets.json", targets)
        if (self._staged / "root.json").exists():
            self._write(self._metadata / f"{root.signed.version}.root.json", root)
        self._write_stages(online, self._progress(when), when=when)
        self._remove_staged()

    # Operations of the server.

    def renew(self, online: Signer, *, when: datetime) -> None:
        """Renew the server's signatures.

        Raises:
            ConfigError: there is no repository.
        """
        with self._exclusive():
            self._write_stages(online, self.stages(), when=when)

    def advance(self, online: Signer, group: str, *, before: Progress, after: Progress, when: datetime) -> bool:
        """Publish the progress of a group; False, and nothing changes, if it is no longer the one `before`."""
        with self._exclusive():
            stages = self.stages()
            if stages.groups.get(group) != before:
                return False
            self._write_stages(online, stages.model_copy(update={"groups": {**stages.groups, group: after}}), when=when)
            return True

    def assignments(self) -> Assignments:
        """The assignments of people, as served."""
        if self._newest("targets") is None:
            return Assignments(groups={})
        return self._assignments(self._current("targets", Targets).signed)

    def stages(self) -> Stages:
        """The progress of each assignment, as served."""
        if self._newest(ROLE) is None:
            return Stages(groups={})
        info = self._current(ROLE, Targets).signed.targets[STAGES]
        return Stages.model_validate_json(self._content(info))

    def expires(self) -> dict[str, datetime]:
        """Expiry of each role."""
        return {
            "root": self._current("root", Root).signed.expires,
            "targets": self._current("targets", Targets).signed.expires,
            ROLE: self._current(ROLE, Targets).signed.expires,
            "snapshot": self._current("snapshot", Snapshot).signed.expires,
            "timestamp": self.valid_until(),
        }

    def valid_until(self) -> datetime:
        """Expiry of the timestamp: devices reject the served files after it unless they are renewed."""
        return self._read(self._metadata / "timestamp.json", Timestamp).signed.expires

    def keys(self) -> dict[str, list[str]]:
        """The ids of the keys of each role."""
        roles = {**self._current("root", Root).signed.roles}
        delegations = self._current("targets", Targets).signed.delegations
        if delegations and delegations.roles:
            roles |= delegations.roles
        return {role: sorted(found.keyids) for role, found in roles.items()}

    def timestamp_bytes(self) -> bytes:
        """The metadata that devices fetch first.

        Raises:
            UnavailableError: the file cannot be read.
        """
        file = self._metadata / "timestamp.json"
        try:
            return file.read_bytes()
        except OSError as error:
            raise UnavailableError(f"{file}: cannot be read: {error.strerror}") from error

    def root_bytes(self) -> bytes:
        """The root of trust that devices are installed with."""
        return self._newest_or_raise("root").read_bytes()

    # Files.

    @contextmanager
    def _exclusive(self, *, create: bool = False) -> Iterator[None]:
        """Wait until no other process, command or service, changes the files; `create` makes the folder.

        Raises:
            UnavailableError: a file or folder is missing or cannot be written.
        """
        try:
            if create:
                make_folder(self.folder)
            opened = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(opened, fcntl.LOCK_EX)
                yield
            finally:
                os.close(opened)
        except OSError as error:
            raise UnavailableError(
                f"{error.filename or self.folder}: {error.strerror}; check rollout.repository, who may write there, "
                "and the space on its disk"
            ) from error

    def _make_folder(self, folder: Path) -> None:
        """Create a folder of the repository's owner: root publishes, and the service renews."""
        if folder.is_dir():
            return
        make_folder(folder)
        if os.geteuid() == 0:
            owner = self.folder.stat()
            os.chown(folder, owner.st_uid, owner.st_gid)

    def _progress(self, when: datetime) -> Stages:
        """Progress of each served assignment; newer assignments start at their first stage."""
        stages = self.stages().groups
        return Stages(
            groups={
                group: stages[group]
                if group in stages and stages[group].number == assignment.number
                else Progress(number=assignment.number, stage="named", since=when)
                for group, assignment in self.assignments().groups.items()
            }
        )

    def _write_stages(self, online: Signer, stages: Stages, *, when: datetime) -> None:
        """Sign stages, then snapshot, then timestamp: a device sees either the old or the new state, complete."""
        expires = when + timedelta(days=ONLINE_DAYS)
        content = stages.model_dump_json(by_alias=True).encode()
        info = TargetFile.from_data(STAGES, content, ["sha256"])
        (name,) = info.get_prefixed_paths()
        write_whole(self._targets / name, content, mode=FILE_MODE)
        newest = self._newest(ROLE)
        version = self._current(ROLE, Targets).signed.version + 1 if newest else 1
        delegated = Metadata(Targets(version=version, expires=expires, targets={STAGES: info}))
        delegated.sign(online)
        self._write(self._metadata / f"{version}.{ROLE}.json", delegated)
        targets = self._current("targets", Targets).signed.version
        snapshot_before = self._newest("snapshot")
        number = self._current("snapshot", Snapshot).signed.version + 1 if snapshot_before else 1
        meta = {"targets.json": MetaFile(targets), f"{ROLE}.json": MetaFile(version)}
        snapshot = Metadata(Snapshot(version=number, expires=expires, meta=meta))
        snapshot.sign(online)
        self._write(self._metadata / f"{number}.snapshot.json", snapshot)
        timestamp = Metadata(Timestamp(version=number, expires=expires, snapshot_meta=MetaFile(number)))
        timestamp.sign(online)
        self._write(self._metadata / "timestamp.json", timestamp)
        self._remove_superseded()

    def _remove_superseded(self) -> None:
        """Keep the last two versions of what is renewed daily, for devices that are fetching."""
        for role in (ROLE, "snapshot"):
            for file in self._versions(role)[:-2]:
                file.unlink()
        names = {
            info.get_prefixed_paths()[0]
            for file in self._versions(ROLE)
            for info in self._read(file, Targets).signed.targets.values()
        }
        for file in self._targets.glob(f"*.{STAGES}"):
            # The name of a model, and so of its card, may end like this.
            if file.name.partition(".")[2] == STAGES and file.name not in names:
                file.unlink()

    def _fallback(self, group: str) -> str | None:
        """The model of devices that a new assignment has not reached yet: the last one that was released to all."""
        before = self.assignments().groups.get(group)
        if before is None:
            return None
        progress = self.stages().groups[group]
        is_released = progress.stage == ORDER[-1] and not (progress.is_paused or progress.is_rolled_back)
        return before.model if is_released else before.previous

    def _add_model(self, targets: Targets, file: str, content: bytes, *, minimum_version: str) -> None:
        if file in (ASSIGNMENTS, STAGES):
            raise ConfigError(f"{file}: this name is that of a list of the repository; rename the model")
        info = TargetFile.from_data(file, content, ["sha256"])
        info.unrecognized_fields["custom"] = {MINIMUM_VERSION: minimum_version}
        known = targets.targets.get(file)
        if known is not None and known.hashes != info.hashes:
            raise ConfigError(f"{file}: another model of this name is signed already; rename this one")
        targets.targets[file] = info
        self._stage_target(info, content)

    def _assignments(self, targets: Targets) -> Assignments:
        info = targets.targets.get(ASSIGNMENTS)
        return Assignments(groups={}) if info is None else Assignments.model_validate_json(self._content(info))

    def _stage_document(self, assignments: Assignments) -> None:
        content = assignments.model_dump_json(by_alias=True).encode()
        info = TargetFile.from_data(ASSIGNMENTS, content, ["sha256"])
        metadata = self._read(self._staged / "targets.json", Targets)
        metadata.signed.targets[ASSIGNMENTS] = info
        self._stage_target(info, content)
        self._stage("targets", metadata)

    def _stage_target(self, info: TargetFile, content: bytes) -> None:
        self._make_folder(self._staged / "targets")
        write_whole(self._staged / "targets" / info.get_prefixed_paths()[0], content, mode=FILE_MODE)

    def _stage(self, role: str, metadata: Metadata[Part]) -> None:
        self._make_folder(self._staged)
        metadata.signatures.clear()
        self._write(self._staged / f"{role}.json", metadata)

    def _stage_next(self, role: str, metadata: Metadata[Part], *, when: datetime) -> None:
        """Stage the version after the one that is served, valid for a year."""
        current = self._newest(role)
        served = int(current.name.partition(".")[0]) if current else 0
        metadata.signed.version = served + 1
        metadata.signed.expires = when + timedelta(days=OFFLINE_DAYS)
        self._stage(role, metadata)

    def _allowed(self, role: str) -> set[str]:
        return {keyid for verifier in self._verifiers(role) for keyid in verifier.roles[role].keyids}

    def _verifiers(self, role: str) -> list[Root]:
        """The roots that verify a role: a new root has to be signed according to itself and its predecessor.

        Raises:
            ConfigError: there is none.
        """
        staged, served = self._staged / "root.json", self._newest("root")
        if not staged.exists():
            return [self._current("root", Root).signed]
        new = self._read(staged, Root).signed
        return [new] if role == "targets" or served is None else [self._read(served, Root).signed, new]

    def _require_unused(self, key: Key, role: str, root: Root) -> None:
        if any(key.keyid in root.roles[name].keyids for name in (PEOPLE if role == "online" else SERVER)):
            raise ConfigError(f"the new key: {SHARED_KEY}")
        if key.keyid in root.roles["timestamp" if role == "online" else role].keyids:
            raise ConfigError(f"the new key is one of '{role}' already; fewer keys than people would be left")

    def _staged_or_current(self, role: str, kind: type[Part]) -> Metadata[Part]:
        staged = self._staged / f"{role}.json"
        return self._read(staged, kind) if staged.exists() else self._current(role, kind)

    def _current(self, role: str, kind: type[Part]) -> Metadata[Part]:
        return self._read(self._newest_or_raise(role), kind)

    def _newest_or_raise(self, role: str) -> Path:
        newest = self._newest(role)
        if newest is None:
            raise ConfigError(
                f"{self.folder}: metadata/ holds no {role}.json; 'maskwatch-fleet rollout create' makes a repository. "
                "To sign on another computer, copy metadata/ as well as staged/"
            )
        return newest

    def _newest(self, role: str) -> Path | None:
        versions = self._versions(role)
        return versions[-1] if versions else None

    def _versions(self, role: str) -> list[Path]:
        return sorted(self._metadata.glob(f"*.{role}.json"), key=lambda file: int(file.name.partition(".")[0]))

    def _content(self, info: TargetFile) -> bytes:
        (name,) = info.get_prefixed_paths()
        staged = self._staged / "targets" / name
        return (staged if staged.exists() else self._targets / name).read_bytes()

    def _read(self, file: Path, kind: type[Part]) -> Metadata[Part]:
        try:
            metadata: Metadata[Any] = Metadata.from_file(str(file))
        except (RepositoryError, OSError, ValueError) as error:
            raise UnavailableError(f"{file}: is damaged: {error}; restore the repository from a backup") from error
        if not isinstance(metadata.signed, kind):
            raise UnavailableError(f"{file}: is of another role; restore the repository from a backup")
        return metadata

    def _write(self, file: Path, metadata: Metadata[Part]) -> None:
        write_whole(file, metadata.to_bytes(PRETTY), mode=FILE_MODE)

    def _remove_staged(self) -> None:
        for file in (self._staged / "targets").glob("*"):
            file.unlink()
        for name in ("root.json", "targets.json"):
            (self._staged / name).unlink(missing_ok=True)


def _delegations(key: Key) -> Delegations:
    role = DelegatedRole(ROLE, [key.keyid], 1, terminating=True, paths=[STAGES])
    return Delegations(keys={key.keyid: key}, roles={ROLE: role})
