"""Roll-out repository: a device accepts only what two people have signed. Real repositories, over HTTP."""

from __future__ import annotations

import json
import os
import shutil
import time
from datetime import timedelta

import pytest
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Targets, Timestamp

from edge_agent.errors import ConfigError, UnavailableError
from edge_agent.messages.rollout import ASSIGNMENTS, STAGES, Progress
from edge_agent.rollout import repository as client
from fleet.rollout.keys import make_key, read_public_key, read_signer
from fleet.rollout.repository import ONLINE_DAYS, Repository
from tests.answering import answering
from tests.fleet.samples import now


def test_a_model_signed_by_two_people_reaches_the_device(fleet):
    fleet.assign_signed("two")
    device = fleet.device()

    assignment = device.assignments().groups["default"]
    assert (assignment.number, assignment.model, assignment.previous, assignment.named) == (1, "two", None, ("hall-1",))
    assert device.stages().groups["default"].stage == "named"
    assert device.minimum_version("two") == "0.1.0"
    assert device.fetch("two") == (b"two" * 100, b"{}")
    # Downloaded models are not cached: the installation keeps its own copy.
    assert {path.name for path in (fleet.folder / "device/targets").iterdir()} == {ASSIGNMENTS, STAGES}


def test_a_single_signature_is_neither_published_nor_trusted(fleet):
    fleet.assign("two")
    fleet.sign("models-2")
    with pytest.raises(ConfigError, match="targets 1"):
        fleet.publish()

    # An attacker who controls the server publishes it with one signature and the server's key.
    staged = fleet.repository.folder / "staged/targets.json"
    for file in (fleet.repository.folder / "staged/targets").iterdir():
        shutil.copy(file, fleet.repository.folder / "targets")
    shutil.copy(staged, fleet.metadata("2.targets.json"))
    fleet.repository.renew(fleet.signer("online"), when=fleet.now)

    assert "not believed" in fleet.rejection()


def test_unknown_keys_and_second_signatures_of_one_person_do_not_count(fleet):
    fleet.assign("two")
    with pytest.raises(ConfigError, match="nothing is staged"):
        fleet.sign("stolen")
    fleet.sign("models-1", "models-1")

    assert fleet.repository.missing_signatures() == {"targets": 1}


def test_a_stolen_server_key_cannot_release_a_model(fleet):
    fleet.assign_signed("two")
    fleet.device().assignments()
    online = fleet.signer("online")
    # Targets signed by the server's key only, with a valid snapshot and timestamp.
    evil: Metadata[Targets] = Metadata.from_file(str(fleet.metadata("2.targets.json")))
    evil.signed.version, evil.signed.targets = 3, {}
    evil.signatures.clear()
    evil.sign(online)
    evil.to_file(str(fleet.metadata("3.targets.json")))
    fleet.repository.renew(online, when=fleet.now)

    assert "not believed" in fleet.rejection()


def test_the_server_states_the_progress_of_a_roll_out(fleet):
    fleet.assign_signed("two")
    progress = Progress(number=1, stage="some", since=fleet.now, is_rolled_back=True, reason="by hand")
    fleet.advance(progress)

    assert fleet.device().stages().groups["default"] == progress


def test_a_tampered_model_is_refused(fleet):
    fleet.assign_signed("two")
    (file,) = (fleet.repository.folder / "targets").glob("*.two.tflite")
    file.write_bytes(b"x" * file.stat().st_size)

    with pytest.raises(UnavailableError, match="not believed"):
        fleet.device().fetch("two")


def test_a_truncated_model_is_rejected(fleet):
    fleet.assign_signed("two")
    (file,) = (fleet.repository.folder / "targets").glob("*.two.tflite")
    file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(UnavailableError, match="not believed"):
        fleet.device().fetch("two")


def test_an_endless_download_is_aborted(fleet):
    fleet.assign_signed("two")
    fleet.server.answer = lambda path: b"x" * 100_000 if path.endswith("two.tflite") else None

    with pytest.raises(UnavailableError, match="cannot be fetched"):
        fleet.device().fetch("two")


def test_a_model_that_does_not_fit_on_the_disk_is_not_downloaded(fleet, monkeypatch):
    fleet.assign_signed("model-1")
    asked: list[str] = []
    fleet.server.answer = asked.append
    device = fleet.device()
    full = shutil.disk_usage(fleet.folder)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)

    with pytest.raises(UnavailableError, match=str(fleet.folder)):
        device.fetch("model-1")
    assert not [path for path in asked if "model-1" in path]


def test_tampered_metadata_is_refused(fleet):
    fleet.assign_signed("two")
    document = json.loads(fleet.metadata("2.targets.json").read_text())
    document["signed"]["targets"]["two.tflite"]["length"] = 1
    fleet.metadata("2.targets.json").write_text(json.dumps(document))

    assert "not believed" in fleet.rejection()


def test_an_older_repository_than_was_seen_is_refused(fleet):
    old = fleet.folder / "old"
    shutil.copytree(fleet.repository.folder, old)
    fleet.assign_signed("two")
    fleet.device().assignments()
    fleet.server.folder = old

    assert "not believed" in fleet.rejection()


def test_a_frozen_repository_is_refused_once_it_has_expired(fleet):
    fleet.now -= timedelta(days=ONLINE_DAYS + 1)
    fleet.assign_signed("two")

    assert "expired" in fleet.rejection()


def test_a_server_that_answers_html_is_reported_in_one_sentence(fleet):
    fleet.server.answer = lambda _: b"<html><body>Welcome to the hotel</body></html>"

    error = fleet.rejection()
    assert "\n" not in error
    assert fleet.server.url in error


def test_an_unavailable_or_empty_repository_is_reported_in_one_sentence(fleet, tmp_path):
    (tmp_path / "empty").mkdir()
    fleet.server.folder = tmp_path / "empty"
    assert "cannot be fetched" in fleet.rejection()

    fleet.server.url, url = "http://127.0.0.1:9", fleet.server.url
    try:
        assert "cannot be fetched" in fleet.rejection()
    finally:
        fleet.server.url = url


def test_a_damaged_cache_of_the_device_is_replaced(fleet):
    fleet.assign_signed("two")
    fleet.device().assignments()
    for name in ("timestamp.json", "snapshot.json", "targets.json", "targets/assignments.json"):
        (fleet.folder / "device" / name).write_bytes(b"")

    assert fleet.device().assignments().groups["default"].model == "two"


@pytest.mark.parametrize(
    ("role", "old", "signers"),
    [
        ("root", "root-3", ("root-1", "root-2")),
        ("targets", "models-3", ("root-1", "root-2", "models-1", "models-2")),
    ],
)
def test_a_stolen_key_is_replaced_and_no_longer_trusted(fleet, role, old, signers):
    fleet.assign_signed("two")
    fleet.device().assignments()
    replacement = read_public_key(fleet.keys / "new.pub")
    fleet.repository.stage_key(role, old=read_public_key(fleet.keys / f"{old}.pub"), new=replacement, when=fleet.now)
    fleet.sign(*signers)
    fleet.publish()

    assert fleet.device().assignments().groups["default"].model == "two"
    assert fleet.device("another").assignments().groups["default"].model == "two"
    assert replacement.keyid in fleet.repository.keys()[role]
    assert read_public_key(fleet.keys / f"{old}.pub").keyid not in fleet.repository.keys()[role]


def test_a_stolen_server_key_is_replaced_and_no_longer_trusted(fleet):
    fleet.assign_signed("two")
    fleet.device().assignments()
    new = fleet.signer("new")
    fleet.repository.stage_key("online", old=fleet.signer("online").public_key, new=new.public_key, when=fleet.now)
    fleet.sign("root-1", "root-2", "models-1", "models-2")
    with pytest.raises(ConfigError, match="none of the repository"):
        fleet.publish()
    fleet.repository.publish(new, when=fleet.now)

    assert fleet.device().stages().groups["default"].number == 1
    fleet.repository.renew(fleet.signer("online"), when=fleet.now)
    assert "not believed" in fleet.rejection()


def test_a_new_root_needs_two_of_the_old_keys(fleet):
    new = read_public_key(fleet.keys / "new.pub")
    fleet.repository.stage_key("root", old=read_public_key(fleet.keys / "root-3.pub"), new=new, when=fleet.now)
    fleet.sign("new", "root-1")

    assert fleet.repository.missing_signatures() == {"root": 1}


@pytest.mark.parametrize(("role", "signers"), [("root", ("root-1", "root-3")), ("targets", ("models-1", "models-2"))])
def test_signed_metadata_is_renewed_for_a_year(fleet, role, signers):
    fleet.assign_signed("model-1")
    fleet.device()
    fleet.now += timedelta(days=300)

    fleet.repository.stage_again(role, when=fleet.now)
    fleet.sign(*signers)
    fleet.publish()

    assert fleet.repository.expires()[role] == fleet.now + timedelta(days=365)
    assert fleet.device().assignments().groups["default"].model == "model-1"


def test_a_name_is_never_reused_for_another_model(fleet):
    fleet.assign_signed("two")

    with pytest.raises(ConfigError, match="of this name"):
        fleet.repository.stage_assignment(
            "default", model=("two", b"another", b"{}"), minimum_version="0.1.0", named=(), when=fleet.now
        )


def test_a_newer_assignment_starts_at_its_first_stage_and_keeps_the_previous_model(fleet):
    fleet.assign_signed("two")
    fleet.advance(Progress(number=1, stage="all", since=fleet.now))
    fleet.assign("old", group="other")
    fleet.assign("three")
    fleet.sign("models-1", "models-2")
    fleet.publish()

    device = fleet.device()
    assignments, stages = device.assignments().groups, device.stages().groups
    assert (assignments["default"].model, assignments["default"].previous, assignments["default"].number) == (
        "three",
        "two",
        2,
    )
    assert assignments["other"].model == "old"
    assert {group: progress.stage for group, progress in stages.items()} == {"default": "named", "other": "named"}


@pytest.mark.parametrize(
    "progress",
    [
        {"stage": "some"},
        {"stage": "all", "is_rolled_back": True, "reason": "manually"},
        {"stage": "first", "is_paused": True, "reason": "ten times the alerts"},
    ],
)
def test_a_model_that_was_not_released_to_all_is_not_the_fallback_of_the_next(fleet, progress):
    fleet.assign_signed("good")
    fleet.advance(Progress(number=1, stage="all", since=fleet.now))
    fleet.assign_signed("bad")
    fleet.advance(Progress(number=2, since=fleet.now, **progress))
    fleet.assign_signed("better")

    assignment = fleet.device().assignments().groups["default"]
    assert (assignment.model, assignment.previous) == ("better", "good")


@pytest.mark.parametrize("name", ["stages", "assignments"])
def test_a_model_cannot_have_the_name_of_a_list(fleet, name):
    with pytest.raises(ConfigError, match="rename"):
        fleet.assign(name)


def test_a_model_may_have_a_name_that_ends_like_a_list(fleet):
    fleet.assign_signed("two.stages")
    fleet.repository.renew(fleet.signer("online"), when=fleet.now)

    assert fleet.device().fetch("two.stages") == (b"two.stages" * 100, b"{}")


def test_one_key_does_not_stand_for_several_people(tmp_path, keys):
    root, models, online = (read_public_key(keys / f"{name}.pub") for name in ("root-1", "models-1", "online"))
    others = [read_public_key(keys / f"root-{number}.pub") for number in (2, 3)]
    repository = Repository(tmp_path)

    for root_keys, target_keys in (([root] * 3, [models, root]), ([root, *others], [models] * 2)):
        with pytest.raises(ConfigError, match="are needed"):
            repository.create(root_keys=root_keys, target_keys=target_keys, online_key=online, when=now())
    with pytest.raises(ConfigError, match="online_key_file"):
        repository.create(root_keys=[root, *others], target_keys=[models, online], online_key=online, when=now())


@pytest.mark.parametrize(
    ("role", "old", "new"),
    [
        ("targets", "models-1", "models-2"),
        ("root", "root-1", "root-1"),
        ("root", "root-1", "online"),
        ("online", "online", "models-1"),
        ("online", "online", "online"),
    ],
)
def test_a_replacement_key_is_a_new_one(fleet, role, old, new):
    with pytest.raises(ConfigError, match="the new key"):
        fleet.repository.stage_key(
            role,
            old=read_public_key(fleet.keys / f"{old}.pub"),
            new=read_public_key(fleet.keys / f"{new}.pub"),
            when=now(),
        )

    assert fleet.repository.missing_signatures() == {}


def test_staged_files_are_signed_on_another_computer(fleet, tmp_path):
    fleet.assign("two")
    copy = tmp_path / "copy"
    shutil.copytree(fleet.repository.folder / "staged", copy / "staged")
    with pytest.raises(ConfigError, match="metadata"):
        Repository(copy).sign(fleet.signer("models-1"))
    shutil.copytree(fleet.repository.folder / "metadata", copy / "metadata")

    assert Repository(copy).sign(fleet.signer("models-1")) == ["targets"]
    assert Repository(copy).missing_signatures() == {"targets": 1}


@pytest.mark.skipif(os.geteuid() != 0, reason="another user owns the files")
def test_what_root_publishes_is_renewed_by_the_owner_of_the_repository(fleet, tmp_path):
    folder = tmp_path / "owned"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    repository = Repository(folder)
    repository.create(
        root_keys=[read_public_key(fleet.keys / f"root-{number}.pub") for number in (1, 2, 3)],
        target_keys=[read_public_key(fleet.keys / f"models-{number}.pub") for number in (1, 2)],
        online_key=fleet.signer("online").public_key,
        when=fleet.now,
    )
    for name in ("root-1", "root-2", "models-1", "models-2"):
        repository.sign(fleet.signer(name))
    repository.publish(fleet.signer("online"), when=fleet.now)

    assert {path.stat().st_uid for path in folder.rglob("*") if path.is_dir()} == {65534}


def test_a_stage_that_was_paused_meanwhile_is_not_released(fleet):
    fleet.assign_signed("two")
    before = fleet.repository.stages().groups["default"]
    fleet.advance(before.model_copy(update={"is_paused": True, "reason": "manually"}))
    released = before.model_copy(update={"stage": "first"})

    is_published = fleet.repository.advance(
        fleet.signer("online"), "default", before=before, after=released, when=fleet.now
    )

    assert not is_published
    assert fleet.repository.stages().groups["default"].is_paused


def test_daily_renewal_removes_old_metadata_files(fleet):
    fleet.assign_signed("two")
    for _ in range(5):
        fleet.repository.renew(fleet.signer("online"), when=fleet.now)

    names = [file.name for file in (fleet.repository.folder / "metadata").iterdir()]
    assert [name.partition(".")[2] for name in names].count("snapshot.json") == 2
    assert [name.partition(".")[2] for name in names].count("stages.json") == 2
    assert fleet.device().stages().groups["default"].number == 1


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [b"garbage\r\n\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n"],
        [b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"],
        [b"HTTP/1.1 301 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"],
        [b"HTTP/1.1 500 Error\r\nContent-Length: 0\r\n\r\n"],
    ],
    ids=["nothing", "not HTTP", "cut short", "bad chunks", "bad gzip", "redirects for ever", "500"],
)
def test_a_server_that_answers_nonsense_counts_as_away(tmp_path, fleet, answer):
    with answering(answer) as url, pytest.raises(UnavailableError):
        client.Repository(url, folder=tmp_path / "new", root=fleet.root)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://name.invalid"])
def test_a_server_that_cannot_be_reached_counts_as_away(tmp_path, fleet, url):
    with pytest.raises(UnavailableError):
        client.Repository(url, folder=tmp_path / "new", root=fleet.root)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
    ],
)
def test_a_server_that_sends_a_byte_now_and_then_does_not_block_the_device(tmp_path, fleet, monkeypatch, head, part):
    monkeypatch.setattr(client, "DOWNLOAD_SECONDS", 0.5)
    with answering([head, *[part] * 100], pause_seconds=0.05) as url:
        began_at = time.monotonic()
        with pytest.raises(UnavailableError):
            client.Repository(url, folder=tmp_path / "new", root=fleet.root)

        assert time.monotonic() - began_at < 4.0


def test_mix_and_match_of_metadata_is_refused(fleet):
    fleet.assign_signed("two")
    online = fleet.signer("online")
    # The newest snapshot refers to the previous targets under the newest version number.
    shutil.copy(fleet.metadata("1.targets.json"), fleet.metadata("2.targets.json"))
    snapshot = Metadata(Snapshot(version=9, expires=fleet.now + timedelta(days=1), meta={"targets.json": MetaFile(2)}))
    snapshot.sign(online)
    snapshot.to_file(str(fleet.metadata("9.snapshot.json")))
    timestamp = Metadata(Timestamp(version=9, expires=fleet.now + timedelta(days=1), snapshot_meta=MetaFile(9)))
    timestamp.sign(online)
    timestamp.to_file(str(fleet.metadata("timestamp.json")))

    assert "not believed" in fleet.rejection()


def test_key_files_without_a_key_are_reported(tmp_path, keys):
    (tmp_path / "empty").write_bytes(b"")
    for wrong in (tmp_path / "empty", tmp_path / "missing", keys / "root-1.pub"):
        with pytest.raises(ConfigError):
            read_signer(wrong)
    with pytest.raises(ConfigError):
        read_public_key(keys / "root-1")
    with pytest.raises(ConfigError, match="cannot be written"):
        make_key(keys / "root-1")
    assert (keys / "root-1").stat().st_mode & 0o077 == 0
