"""The pages of docs/ name tests for what they promise, and each of them exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [page for page in sorted((ROOT / "docs").glob("*.md")) if "::test_" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_test_named_by_a_page_exists(page):
    missing = []
    files: list[Path] = []
    # `tests/mqtt/test_client.py::test_name`, then `::test_other` of the same file; some pages leave out the folder.
    for file, name in re.findall(r"`(?!`)([\w/]+\.py)?(?:::(\w+))?`", page.read_text(encoding="utf-8")):
        if file:
            files = [path for path in (ROOT / "tests").rglob(Path(file).name) if path.as_posix().endswith(f"/{file}")]
        sources = [path.read_text(encoding="utf-8") for path in files]
        if not any(re.search(rf"^ *(def |){name}\b", source, re.MULTILINE) for source in sources):
            missing.append(f"{file}::{name}")

    assert missing == []


def test_every_promise_of_delivery_names_a_test():
    rows = (
        (ROOT / "docs" / "delivery.md")
        .read_text(encoding="utf-8")
        .split("| event | behaviour | test |\n|---|---|---|\n")
    )

    promises = [row for table in rows[1:] for row in table.split("\n\n")[0].splitlines()]

    assert len(promises) >= 20
    assert [row for row in promises if "`tests/" not in row] == []
