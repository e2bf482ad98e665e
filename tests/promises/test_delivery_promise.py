"""docs/delivery.md names a test for every promise, and each of them exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_named_by_the_page_on_delivery_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "delivery.md").read_text(encoding="utf-8"))

    missing = [
        f"{file}::{name}"
        for file, name in named
        if not re.search(rf"^(def |){name}\b", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert len(named) >= 20
    assert missing == []
