"""Retention: deletes old crops by age, size and free space, across clock changes."""

import os
import shutil
import tempfile
import uuid
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge_agent.alerts.retention import STAMP, Retention, StoredCrop, plan_removals
from edge_agent.errors import CropError

NOW = datetime(2025, 1, 31, 12, tzinfo=timezone.utc)


def a_crop(name, *, age_days=0.0, size_bytes=100):
    return StoredCrop(name, size_bytes, NOW - timedelta(days=age_days))


def put_crop(folder, *, age_days=0.0, size_bytes=100):
    file = folder / f"{uuid.uuid4()}.jpg"
    file.write_bytes(b"x" * size_bytes)
    when = (NOW - timedelta(days=age_days)).timestamp()
    os.utime(file, (when, when))
    return file.name


def crops_in(folder):
    return {file.name for file in folder.glob("*.jpg*")}


def put_scene(folder, crop):
    """The scene of the same alert, of the same size and age."""
    return Path(shutil.copy2(folder / crop, folder / crop.replace(".jpg", ".scene.jpg"))).name


def plan(crops, *, keep_days=30.0, keep_bytes=1000, waiting=frozenset(), missing_bytes=0):
    removals = plan_removals(
        crops, now=NOW, keep_days=keep_days, keep_bytes=keep_bytes, waiting=waiting, missing_bytes=missing_bytes
    )
    return [crop.name for crop in removals]


def test_new_crops_within_the_limit_stay():
    assert plan([a_crop("a", age_days=29), a_crop("b")]) == []


def test_old_crops_are_removed():
    assert plan([a_crop("a", age_days=29), a_crop("b", age_days=31)]) == ["b"]


def test_excess_crops_are_removed_oldest_first_and_no_more_than_needed():
    crops = [a_crop(name, age_days=age, size_bytes=400) for name, age in (("new", 1), ("oldest", 4), ("old", 3))]

    assert plan(crops) == ["oldest"]


def test_crops_of_pending_alerts_stay():
    crops = [a_crop("waiting", age_days=90, size_bytes=5000), a_crop("old", age_days=2), a_crop("new", age_days=1)]

    assert plan(crops, waiting={"waiting"}) == ["old", "new"]


def test_missing_disk_space_is_freed_from_the_oldest_crops():
    crops = [a_crop(name, age_days=age) for name, age in (("new", 1), ("oldest", 4), ("old", 3))]

    assert plan(crops, missing_bytes=150) == ["oldest", "old"]
    assert plan(crops, missing_bytes=-10_000) == []


stored_crops = st.lists(
    st.builds(
        StoredCrop,
        name=st.uuids().map(str),
        size_bytes=st.integers(0, 500),
        saved_when=st.timedeltas(timedelta(days=-2), timedelta(days=60)).map(lambda age: NOW - age),
    ),
    unique_by=lambda crop: crop.name,
)


@given(
    crops=stored_crops,
    keep_days=st.floats(0.1, 50),
    keep_bytes=st.integers(0, 5000),
    missing_bytes=st.integers(-5000, 5000),
    data=st.data(),
)
def test_the_plan_respects_all_limits(crops, keep_days, keep_bytes, missing_bytes, data):
    waiting = data.draw(st.sets(st.sampled_from([crop.name for crop in crops]))) if crops else set()

    removals = plan_removals(
        crops, now=NOW, keep_days=keep_days, keep_bytes=keep_bytes, waiting=waiting, missing_bytes=missing_bytes
    )

    removed = set(removals)
    kept = [crop for crop in crops if crop not in removed]
    free = [crop for crop in kept if crop.name not in waiting]
    too_old = NOW - timedelta(days=keep_days)
    assert len(removals) == len(removed)
    assert removed <= set(crops)
    assert not waiting & {crop.name for crop in removed}
    assert all(crop.saved_when >= too_old for crop in free)
    kept_bytes = sum(crop.size_bytes for crop in kept)
    removed_bytes = sum(crop.size_bytes for crop in removals)
    # If the rest does not fit or the disk lacks space, everything removable was removed.
    assert (kept_bytes <= keep_bytes and removed_bytes >= missing_bytes) or not free
    # No removal was unnecessary: with the youngest one that is not too old, the rest would not fit.
    young = [crop for crop in removals if crop.saved_when >= too_old]
    if young:
        last_bytes = young[-1].size_bytes
        assert kept_bytes + last_bytes > keep_bytes or removed_bytes - last_bytes < missing_bytes
        assert all(crop.saved_when >= young[-1].saved_when for crop in free)


def sweep(folder, *, now=NOW, at=0.0, waiting=frozenset(), **keys):
    return Retention(folder, **{"keep_days": 30, "keep_bytes": 1000, **keys}).sweep(at=at, now=now, waiting=waiting)


def test_a_sweep_removes_the_planned_crops_and_returns_them(tmp_path):
    kept, old, waiting = put_crop(tmp_path), put_crop(tmp_path, age_days=31), put_crop(tmp_path, age_days=32)

    removed = sweep(tmp_path, waiting={waiting})

    assert [(crop.name, crop.size_bytes) for crop in removed] == [(old, 100)]
    assert crops_in(tmp_path) == {kept, waiting}


def test_a_sweep_leaves_other_files(tmp_path):
    put_crop(tmp_path, age_days=365)
    old = (NOW - timedelta(days=365)).timestamp()
    for name in ("holiday.jpg", f".{uuid.uuid4()}.jpg.unfinished", f"{uuid.uuid4()}.png"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (old, old))

    assert len(sweep(tmp_path)) == 1
    assert len([file for file in tmp_path.iterdir() if file.name != STAMP]) == 3


def test_a_folder_that_does_not_exist_needs_no_sweep(tmp_path):
    assert sweep(tmp_path / "none") == []


def test_an_inaccessible_folder_is_named(tmp_path):
    with pytest.raises(CropError, match="name too long"):
        sweep(tmp_path / ("x" * 300))


def test_a_crop_that_cannot_be_removed_is_reported(tmp_path):
    # A folder of a crop's name: not even root unlinks it.
    name = f"{uuid.uuid4()}.jpg"
    (tmp_path / name).mkdir()
    old = (NOW - timedelta(days=365)).timestamp()
    os.utime(tmp_path / name, (old, old))

    with pytest.raises(CropError, match=f"{name}: old crops cannot be removed: .*write access to {tmp_path}"):
        sweep(tmp_path)


@pytest.mark.parametrize("years", [0, 20])
def test_a_crop_that_vanishes_during_a_sweep_does_not_end_it(tmp_path, years):
    # Like a crop that is deleted after the folder was read: its name is there, and its file is not.
    (tmp_path / f"{uuid.uuid4()}.jpg").symlink_to("gone")
    old = put_crop(tmp_path, age_days=31)
    retention = Retention(tmp_path, keep_days=30, keep_bytes=1000)
    later = NOW + timedelta(days=365 * years)

    assert [crop.name for crop in retention.sweep(at=0.0, now=NOW, waiting={old})] == []
    assert [crop.name for crop in retention.sweep(at=60.0, now=later, waiting=frozenset())] == [old]


def test_a_crop_for_a_public_key_ages_like_any_other(tmp_path):
    name = put_crop(tmp_path, age_days=31)
    (tmp_path / name).rename(tmp_path / f"{name}.age")

    assert [crop.name for crop in sweep(tmp_path)] == [f"{name}.age"]


def test_a_scene_ages_and_counts_like_a_crop(tmp_path):
    old, new = put_crop(tmp_path, age_days=31), put_crop(tmp_path, size_bytes=400)
    old_scene, new_scene = put_scene(tmp_path, old), put_scene(tmp_path, new)

    assert {crop.name for crop in sweep(tmp_path)} == {old, old_scene}
    assert crops_in(tmp_path) == {new, new_scene}
    assert len(sweep(tmp_path, keep_bytes=700)) == 1


def test_crops_are_removed_until_enough_of_the_disk_is_free(tmp_path):
    oldest, _ = put_crop(tmp_path, age_days=2), put_crop(tmp_path, age_days=1)
    free_bytes = shutil.disk_usage(tmp_path).free

    assert sweep(tmp_path, keep_free_bytes=free_bytes // 2) == []
    assert oldest in {crop.name for crop in sweep(tmp_path, keep_free_bytes=free_bytes * 2)}


@pytest.mark.parametrize("years", [20, -20])
def test_a_clock_that_jumps_by_years_makes_no_crop_older_or_younger(tmp_path, years, caplog):
    step = timedelta(days=365 * years)
    old, kept = put_crop(tmp_path, age_days=29), put_crop(tmp_path)
    retention = Retention(tmp_path, keep_days=30, keep_bytes=1000)
    assert retention.sweep(at=0.0, now=NOW, waiting=set()) == []

    assert retention.sweep(at=600.0, now=NOW + step + timedelta(seconds=600), waiting=set()) == []
    # Two days later the old one has had its time, and the jump is not counted again.
    two_days = 2 * 86_400.0
    removed = retention.sweep(at=two_days, now=NOW + step + timedelta(seconds=two_days), waiting=set())

    assert [crop.name for crop in removed] == [old]
    assert crops_in(tmp_path) == {kept}
    assert caplog.text.count("the clock was set by") == 1


@pytest.mark.parametrize("years", [20, -20])
def test_a_clock_that_jumped_between_two_runs_makes_no_crop_older_or_younger(tmp_path, years):
    kept = put_crop(tmp_path, age_days=1)
    sweep(tmp_path)

    later = NOW + timedelta(days=365 * years)
    assert sweep(tmp_path, now=later) == []

    assert crops_in(tmp_path) == {kept}
    assert [crop.name for crop in sweep(tmp_path, now=later + timedelta(days=30))] == [kept]


def test_the_time_in_which_the_device_was_off_counts(tmp_path):
    name = put_crop(tmp_path)
    sweep(tmp_path)

    assert [crop.name for crop in sweep(tmp_path, now=NOW + timedelta(days=40))] == [name]


class RetentionAgainstAModel(RuleBasedStateMachine):
    """A folder of crops with restarts and clock steps, compared with a model: ages that only elapsed time changes."""

    KEEP_DAYS, KEEP_BYTES = 30, 1000

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now, self.at = NOW, 0.0
        self.retention = self.begun()
        self.ages_days: dict[str, float] = {}
        self.sizes: dict[str, int] = {}
        self.waiting: set[str] = set()
        # As the agent does at its start.
        self.sweep()

    def begun(self):
        return Retention(self.folder, keep_days=self.KEEP_DAYS, keep_bytes=self.KEEP_BYTES)

    @rule(size_bytes=st.integers(1, 400), is_waiting=st.booleans())
    def save(self, size_bytes, is_waiting):
        file = self.folder / f"{uuid.uuid4()}.jpg"
        file.write_bytes(b"x" * size_bytes)
        os.utime(file, (self.now.timestamp(), self.now.timestamp()))
        self.ages_days[file.name], self.sizes[file.name] = 0.0, size_bytes
        if is_waiting:
            self.waiting.add(file.name)

    @rule()
    def deliver(self):
        self.waiting.clear()

    @rule(days=st.sampled_from([0.5, 7.0, 20.0]))
    def pass_time_and_sweep(self, days):
        self.now += timedelta(days=days)
        self.at += days * 86_400
        self.ages_days = {name: age + days for name, age in self.ages_days.items()}
        self.sweep()

    @rule(days=st.sampled_from([-9000, -400, 400, 9000]))
    def set_the_clock_and_sweep(self, days):
        set_to = self.now + timedelta(days=days)
        # Linux refuses other times, and before 1902 ext4 would keep another one than it is given.
        assume(1970 <= set_to.year <= 2231)
        self.now = set_to
        self.sweep()

    @rule()
    def restart_and_sweep(self):
        self.retention = self.begun()
        self.sweep()

    def sweep(self):
        self.retention.sweep(at=self.at, now=self.now, waiting=self.waiting)
        left = dict(self.sizes)
        # Ties in age are broken by the name.
        for name in sorted(left, key=lambda name: (-self.ages_days[name], name)):
            is_old = self.ages_days[name] > self.KEEP_DAYS
            if name not in self.waiting and (is_old or sum(left.values()) > self.KEEP_BYTES):
                del left[name]
        self.sizes = left
        self.ages_days = {name: self.ages_days[name] for name in left}
        assert crops_in(self.folder) == set(left)

    @invariant()
    def what_is_waiting_is_there(self):
        assert self.waiting <= crops_in(self.folder)

    def teardown(self):
        shutil.rmtree(self.folder)


TestRetentionAgainstAModel = RetentionAgainstAModel.TestCase
TestRetentionAgainstAModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
