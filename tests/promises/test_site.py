"""The documentation site covers every page and command; `make docs` builds it and checks every link."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("fastapi", reason="the API is not installed: make test")
pytest.importorskip("tqdm", reason="the workstation's side is not installed: make test")
pytest.importorskip("pika", reason="the servers' side is not installed: make test")

from docs.site.reference import pages
from tests.promises.stability import promised

ROOT = Path(__file__).parents[2]


def entries(nav: Any) -> list[str]:
    """Every page in the navigation of mkdocs.yml."""
    if isinstance(nav, str):
        return [nav]
    return [page for one in (nav.values() if isinstance(nav, dict) else nav) for page in entries(one)]


def test_every_document_is_in_the_navigation_and_nothing_else():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}

    assert sorted(entries(site["nav"])) == sorted(written | {path for path in pages() if path.endswith(".md")})


def test_every_table_has_a_header():
    headless = [
        f"{path.relative_to(ROOT)}: {table.splitlines()[0]}"
        for folder in ("docs", "deploy")
        for path in (ROOT / folder).rglob("*.md")
        for table in re.findall(r"(?:^\|.*\n)+", path.read_text(encoding="utf-8"), re.MULTILINE)
        if not re.match(r"\|.*\n\|[ :|-]+\|\n", table)
    ]

    assert headless == []


def test_the_reference_names_every_key_message_command_and_path():
    written, now = pages(), promised()
    pairs = [
        ("configuration", '| `mqtt.topic_prefix` | `"maskwatch"` |'),
        ("configuration", "| `cameras.NAME.rules.min_face_px` |"),
        ("configuration", "| `cameras.NAME.rotate` | `0` | `0`, `90`, `180`, `270` |"),
        ("configuration", "| `signals.violation.pin` |"),
        ("messages", "| `crop.sha256` |"),
        ("messages", "| `cameras.NAME.people.with_mask` |"),
    ]
    for page, row in pairs:
        assert row in written[f"reference/{page}.md"]
    for line in now["api"]:
        method, path, *inside = line.split()
        assert inside or f"## {method} {path}\n" in written["reference/api.md"]
    for line in now["options"]:
        assert line.split()[-1] in written[f"reference/{line.split()[0]}.md"]


def test_the_reference_links_documents_and_has_no_empty_code_spans():
    written = {path: text for path, text in pages().items() if path.endswith(".md")}

    for path, text in written.items():
        prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        assert re.findall(r"docs/[\w-]+\.md", prose) == [], path
        assert "``" not in prose, path
    assert "[privacy](../privacy.md)" in written["reference/configuration.md"]
