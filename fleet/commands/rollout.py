"""`maskwatch-fleet rollout`: releases models to devices in stages, and manages the keys and signatures."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from edge_agent.config.model import Name
from edge_agent.errors import ConfigError, mistakes_in
from edge_agent.messages.rollout import ModelName, Version
from fleet.commands.periodic import repeat
from fleet.credentials import secret_file
from fleet.definitions import require_device_id
from fleet.rollout import reports
from fleet.rollout.keys import make_key, read_public_key, read_signer
from fleet.rollout.release import accepted_devices, decide
from fleet.rollout.repository import ONLINE_DAYS, Repository

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    import psycopg
    from securesystemslib.signer import CryptoSigner

    from edge_agent.messages.rollout import Assignment, Progress
    from fleet.config import FleetConfig

NAME = "rollout"
SUMMARY = "release a new model to devices in stages, or sign the models they should run"
EXAMPLE = "maskwatch-fleet rollout assign --model masks-2.tflite --named hall-3"
INTERVAL_SECONDS = 60.0
READABLE_UMASK = 0o022
RENEWED_EACH = timedelta(days=1)

log = logging.getLogger(__name__)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the actions; without one, the process releases the stages of every group until SIGTERM."""
    actions = parser.add_subparsers(metavar="ACTION", dest="rollout")

    def action(
        name: str, summary: str, do: Callable[[FleetConfig, argparse.Namespace], None]
    ) -> argparse.ArgumentParser:
        added: argparse.ArgumentParser = actions.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        added.set_defaults(do=do)
        return added

    made = action("key", "create a key: one for each person, and one for the server", _make_key)
    made.add_argument(
        "file", type=Path, metavar="FILE", help="file for the private key; the public key is written to FILE.pub"
    )
    created = action("create", "create a repository, which two people then have to sign", _create)
    for role, meaning in (
        ("root", "may replace keys; at least three, of which two have to sign"),
        ("targets", "may choose models; at least two, of which two have to sign"),
    ):
        created.add_argument(
            f"--{role}-key",
            type=Path,
            action="append",
            required=True,
            metavar="FILE.pub",
            help=f"public key that {meaning}; repeatable",
        )
    assign = action("assign", "choose the model of a group of devices, which two people then have to sign", _assign)
    assign.add_argument("--group", default="default", help="rollout.group of the devices (default: default)")
    choice = assign.add_mutually_exclusive_group(required=True)
    choice.add_argument(
        "--model", type=Path, metavar="FILE.tflite", help="the model, with its card beside it; named after the file"
    )
    choice.add_argument("--configured", action="store_true", help="the model in each device's configuration")
    assign.add_argument(
        "--minimum-version", default="0.0.0", metavar="X.Y.Z", help="lowest version of the agent for it (default: any)"
    )
    assign.add_argument("--named", default="", metavar="DEVICES", help="devices of the first stage, comma-separated")
    signed = action("sign", "sign the staged metadata", _sign)
    signed.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key")
    action("publish", "publish the staged metadata once enough people have signed it", _publish)
    replaced = action("replace-key", "replace a key that was lost or stolen", _replace_key)
    replaced.add_argument("role", choices=("root", "targets", "online"))
    replaced.add_argument("--old", type=Path, required=True, metavar="FILE.pub")
    replaced.add_argument("--new", type=Path, required=True, metavar="FILE.pub")
    renewed = action("renew", "extend root or targets by a year, which two people then have to sign", _renew)
    renewed.add_argument("role", choices=("root", "targets"))
    action("root", "print the root.json for devices (rollout.root_file)", _print_root)
    action("status", "show assignments, their progress, and missing signatures", _status)
    for name, summary in (
        ("pause", "pause the roll-out: no further device changes its model"),
        ("resume", "resume a paused roll-out"),
        ("roll-back", "return all devices to the previous model"),
    ):
        action(name, summary, _change_progress).add_argument(
            "--group", default="default", help="rollout.group of the devices (default: default)"
        )
    parser.set_defaults(do=_serve)


def run(config: FleetConfig, options: argparse.Namespace) -> int:
    """Run the chosen action."""
    # nginx runs as another user and must be able to read the files; private keys get their own mode.
    os.umask(READABLE_UMASK)
    options.do(config, options)
    return 0


def _serve(config: FleetConfig, _options: argparse.Namespace) -> None:
    repository, signer = _repository(config), _online(config)

    def renew() -> None:
        when = datetime.now(timezone.utc)
        if repository.valid_until() - when < timedelta(days=ONLINE_DAYS) - RENEWED_EACH:
            repository.renew(signer, when=when)

    def release(connection: psycopg.Connection) -> None:
        release_stages(repository, signer, connection, config, when=datetime.now(timezone.utc))

    repeat(
        config.database, release, every_seconds=INTERVAL_SECONDS, application="maskwatch-fleet rollout", always=renew
    )


def release_stages(
    repository: Repository, signer: CryptoSigner, connection: psycopg.Connection, config: FleetConfig, *, when: datetime
) -> None:
    """Release the next stage of each group if its conditions are met, or pause the group.

    Raises:
        psycopg.Error: the database is unavailable.
    """
    stages = repository.stages().groups
    for group, assignment in repository.assignments().groups.items():
        progress = stages.get(group)
        if progress is None:
            continue
        devices = reports.devices(connection, group, since=progress.since)
        accepted = accepted_devices(assignment, progress, devices)
        alerts = reports.alerts(connection, accepted, since=progress.since, when=when)
        after = decide(assignment, progress, devices, alerts, settings=config.rollout, when=when)
        if after is None:
            continue
        # A person may have paused it meanwhile, rolled it back, or published another assignment.
        if not repository.advance(signer, group, before=progress, after=after, when=when):
            continue
        if after.is_paused:
            log.error(
                "group %s, model %s: stopped at stage '%s': %s", group, assignment.model, after.stage, after.reason
            )
        else:
            log.info("group %s, model %s: stage '%s' is released", group, assignment.model, after.stage)


def _make_key(_config: FleetConfig, options: argparse.Namespace) -> None:
    print(f"{options.file}: private key; keep it secret\n{make_key(options.file)}: public key")


def _create(config: FleetConfig, options: argparse.Namespace) -> None:
    _repository(config).create(
        root_keys=[read_public_key(file) for file in options.root_key],
        target_keys=[read_public_key(file) for file in options.targets_key],
        online_key=_online(config).public_key,
        when=datetime.now(timezone.utc),
    )
    _print_missing_signatures(config)


def _assign(config: FleetConfig, options: argparse.Namespace) -> None:
    for option, kind, value in (("minimum-version", Version, options.minimum_version), ("group", Name, options.group)):
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError as error:
            raise ConfigError(f"--{option} {mistakes_in(error, whole=value)[0]}") from None
    model = None if options.configured else _model(options.model)
    named = [name.strip() for name in options.named.split(",") if name.strip()]
    for device in named:
        require_device_id(device)
    assignment = _repository(config).stage_assignment(
        options.group,
        model=model,
        minimum_version=options.minimum_version,
        named=named,
        when=datetime.now(timezone.utc),
    )
    print(f"group {options.group}: {_assignment_line(assignment)}")
    _print_missing_signatures(config)


def _model(file: Path) -> tuple[str, bytes, bytes]:
    """Name, network and card of a model; devices check that network and card match."""
    try:
        TypeAdapter(ModelName).validate_python(file.stem)
        network, card = file.read_bytes(), file.with_suffix(".json").read_bytes()
        sha256 = json.loads(card)["sha256"]
    except ValidationError:
        raise ConfigError(f"{file}: the name of a model has letters, digits, '.', '_' and '-' alone") from None
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file.with_suffix('.json')}: is no card of a model") from error
    if hashlib.sha256(network).hexdigest() != sha256:
        raise ConfigError(f"{file}: SHA-256 differs from its card; take both from one place")
    return file.stem, network, card


def _sign(config: FleetConfig, options: argparse.Namespace) -> None:
    print(f"signed: {', '.join(_repository(config).sign(read_signer(options.key)))}")
    _print_missing_signatures(config)


def _publish(config: FleetConfig, _options: argparse.Namespace) -> None:
    _repository(config).publish(_online(config), when=datetime.now(timezone.utc))
    print("published")


def _replace_key(config: FleetConfig, options: argparse.Namespace) -> None:
    old, new = read_public_key(options.old), read_public_key(options.new)
    _repository(config).stage_key(options.role, old=old, new=new, when=datetime.now(timezone.utc))
    _print_missing_signatures(config)


def _renew(config: FleetConfig, options: argparse.Namespace) -> None:
    _repository(config).stage_again(options.role, when=datetime.now(timezone.utc))
    _print_missing_signatures(config)


def _print_root(config: FleetConfig, _options: argparse.Namespace) -> None:
    print(_repository(config).root_bytes().decode(), end="")


def _change_progress(config: FleetConfig, options: argparse.Namespace) -> None:
    repository, signer, when = _repository(config), _online(config), datetime.now(timezone.utc)
    changes = {
        "pause": {"is_paused": True, "reason": "manually"},
        # The alert rate of a stage is measured from here.
        "resume": {"is_paused": False, "is_rolled_back": False, "reason": "", "since": when},
        "roll-back": {"is_rolled_back": True, "reason": "manually"},
    }
    while True:
        progress = repository.stages().groups.get(options.group)
        if progress is None:
            raise ConfigError(
                f"group '{options.group}': has no model; 'maskwatch-fleet rollout status' lists the groups"
            )
        after = progress.model_copy(update=changes[options.rollout])
        # The service may release a stage meanwhile.
        if repository.advance(signer, options.group, before=progress, after=after, when=when):
            print(f"group {options.group}: {_described(after)}")
            return


def _status(config: FleetConfig, _options: argparse.Namespace) -> None:
    repository = _repository(config)
    for role, until in repository.expires().items():
        print(
            f"{role:10} until {until:%Y-%m-%d}  keys {', '.join(key[:12] for key in repository.keys().get(role, []))}"
        )
    stages = repository.stages().groups
    for group, assignment in repository.assignments().groups.items():
        print(f"group {group}: {_assignment_line(assignment)}; {_described(stages[group])}")
    _print_missing_signatures(config)


def _assignment_line(assignment: Assignment) -> str:
    model, previous = (name or "as configured" for name in (assignment.model, assignment.previous))
    return f"assignment {assignment.number}, {model} instead of {previous}"


def _described(progress: Progress) -> str:
    state = "rolled back" if progress.is_rolled_back else "paused" if progress.is_paused else "in progress"
    reason = f": {progress.reason}" if progress.reason else ""
    return f"stage '{progress.stage}' since {progress.since:%Y-%m-%d %H:%M} UTC, {state}{reason}"


def _print_missing_signatures(config: FleetConfig) -> None:
    for role, count in _repository(config).missing_signatures().items():
        print(f"staged: {role}, " + (f"missing signatures: {count}" if count else "to be published"))


def _repository(config: FleetConfig) -> Repository:
    if config.rollout.repository is None:
        raise ConfigError("rollout.repository: not given; docs/fleet.md describes the folder that nginx serves")
    return Repository(config.rollout.repository)


def _online(config: FleetConfig) -> CryptoSigner:
    file = secret_file("rollout-key", config.rollout.online_key_file)
    if file is None:
        raise ConfigError("rollout.online_key_file: not given; make a key by 'maskwatch-fleet rollout key'")
    return read_signer(file)
