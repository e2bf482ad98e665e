import os
import uuid
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.errors import CropError
from edge_agent.evidence.retention import StoredCrop, plan_removals, sweep

NOW = datetime(2025, 1, 31, 12, tzinfo=timezone.utc)


def a_crop(name, *, age_days=0.0, size_bytes=100):
    return StoredCrop(name, size_bytes, NOW - timedelta(days=age_days))


def put_crop(folder, *, age_days=0.0, size_bytes=100):
    file = folder / f"{uuid.uuid4()}.jpg"
    file.write_bytes(b"x" * size_bytes)
    when = (NOW - timedelta(days=age_days)).timestamp()
    os.utime(file, (when, when))
    return file.name


def plan(crops, *, keep_days=30.0, keep_bytes=1000, owed=frozenset()):
    removals = plan_removals(crops, now=NOW, keep_days=keep_days, keep_bytes=keep_bytes, owed=owed)
    return [crop.name for crop in removals]


def test_what_is_young_and_fits_stays():
    assert plan([a_crop("a", age_days=29), a_crop("b")]) == []


def test_what_is_too_old_goes():
    assert plan([a_crop("a", age_days=29), a_crop("b", age_days=31)]) == ["b"]


def test_what_does_not_fit_goes_oldest_first_and_no_more_than_needed():
    crops = [a_crop(name, age_days=age, size_bytes=400) for name, age in (("new", 1), ("oldest", 4), ("old", 3))]

    assert plan(crops) == ["oldest"]


def test_what_is_owed_stays_however_old_and_large():
    crops = [a_crop("owed", age_days=90, size_bytes=5000), a_crop("old", age_days=2), a_crop("new", age_days=1)]

    assert plan(crops, owed={"owed"}) == ["old", "new"]


stored_crops = st.lists(
    st.builds(
        StoredCrop,
        name=st.uuids().map(str),
        size_bytes=st.integers(0, 500),
        saved_when=st.timedeltas(timedelta(days=-2), timedelta(days=60)).map(lambda age: NOW - age),
    ),
    unique_by=lambda crop: crop.name,
)


@given(crops=stored_crops, keep_days=st.floats(0.1, 50), keep_bytes=st.integers(0, 5000), data=st.data())
def test_the_plan_keeps_its_promises(crops, keep_days, keep_bytes, data):
    owed = data.draw(st.sets(st.sampled_from([crop.name for crop in crops]))) if crops else set()

    removals = plan_removals(crops, now=NOW, keep_days=keep_days, keep_bytes=keep_bytes, owed=owed)

    removed = set(removals)
    kept = [crop for crop in crops if crop not in removed]
    free = [crop for crop in kept if crop.name not in owed]
    too_old = NOW - timedelta(days=keep_days)
    assert len(removals) == len(removed)
    assert removed <= set(crops)
    assert not owed & {crop.name for crop in removed}
    assert all(crop.saved_when >= too_old for crop in free)
    kept_bytes = sum(crop.size_bytes for crop in kept)
    # Whatever could still go has gone, where the rest does not fit.
    assert kept_bytes <= keep_bytes or not free
    # Nothing went in vain: with the youngest of those that are not too old back, the rest would not fit.
    young = [crop for crop in removals if crop.saved_when >= too_old]
    if young:
        assert kept_bytes + young[-1].size_bytes > keep_bytes
        assert all(crop.saved_when >= young[-1].saved_when for crop in free)


def test_a_sweep_removes_what_the_plan_says_and_tells_what(tmp_path):
    kept, old, owed = put_crop(tmp_path), put_crop(tmp_path, age_days=31), put_crop(tmp_path, age_days=32)

    removed = sweep(tmp_path, now=NOW, keep_days=30, keep_bytes=1000, owed={owed})

    assert [(crop.name, crop.size_bytes) for crop in removed] == [(old, 100)]
    assert {file.name for file in tmp_path.iterdir()} == {kept, owed}


def test_a_sweep_leaves_alone_what_is_no_crop(tmp_path):
    put_crop(tmp_path, age_days=365)
    old = (NOW - timedelta(days=365)).timestamp()
    for name in ("holiday.jpg", f".{uuid.uuid4()}.jpg.unfinished", f"{uuid.uuid4()}.png"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (old, old))

    assert len(sweep(tmp_path, now=NOW, keep_days=30, keep_bytes=1000, owed=set())) == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_a_folder_that_does_not_exist_needs_no_sweep(tmp_path):
    assert sweep(tmp_path / "none", now=NOW, keep_days=30, keep_bytes=1000, owed=set()) == []


def test_a_crop_that_cannot_be_removed_is_named_with_what_to_do(tmp_path):
    # A folder of a crop's name: not even root unlinks it.
    name = f"{uuid.uuid4()}.jpg"
    (tmp_path / name).mkdir()
    old = (NOW - timedelta(days=365)).timestamp()
    os.utime(tmp_path / name, (old, old))

    with pytest.raises(CropError, match=f"{name}: old crops cannot be removed: .*write access to {tmp_path}"):
        sweep(tmp_path, now=NOW, keep_days=30, keep_bytes=1000, owed=set())
