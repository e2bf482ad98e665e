"""Hooks: how do the documents, which link as GitHub shows them, become a site?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File, Files

from docs.site.reference import pages

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

OUTSIDE = re.compile(r"\]\((?:\.\./)+([^)]+)\)")
"""A link from a document to a file of the repository outside docs/."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the reference."""
    for path, content in pages().items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Point links to files outside docs/ to the repository."""
    depth = page.file.src_uri.count("/")

    def inside(match: re.Match[str]) -> str:
        ups = match.group(0).count("../")
        if ups <= depth:
            return match.group(0)
        return f"]({config.repo_url}/blob/main/{match.group(1)})"

    return OUTSIDE.sub(inside, markdown)
