"""Repository client: builds the client of the fleet's models from the configuration, and checks its requirements."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from edge_agent.errors import missing_extra

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge_agent.config.model import RolloutConfig
    from edge_agent.rollout.repository import Repository


def repository_opener(settings: RolloutConfig, *, folder: Path) -> Callable[[], Repository]:
    """A function that fetches the repository; `folder` caches its metadata.

    Raises:
        ConfigError: TUF is not installed, or the root cannot be read.
    """
    try:
        from edge_agent.rollout.repository import Repository, check_root
    except ImportError as error:
        raise missing_extra("rollout", error) from error
    if settings.root_file is None:
        raise AssertionError("checked when it was read: a url has its root")
    # It reports every key that has not signed at each refresh, although fewer than all are enough.
    logging.getLogger("tuf").setLevel(logging.WARNING)
    root = check_root(settings.root_file)
    return lambda: Repository(settings.url, folder=folder, root=root)
