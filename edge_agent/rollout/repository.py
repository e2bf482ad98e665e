"""Repository: verified models of the fleet, by The Update Framework (TUF)."""

from __future__ import annotations

import http.client
import shlex
import shutil
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
    SlowRetrievalError,
)
from tuf.api.metadata import Metadata, Root
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from edge_agent.errors import ConfigError, UnavailableError, mistakes_in
from edge_agent.host.atomic_files import make_folder
from edge_agent.host.timed_response import TimedHandler
from edge_agent.messages.rollout import ASSIGNMENTS, MINIMUM_VERSION, STAGES, Assignments, Stages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tuf.api.metadata import TargetFile

MAX_MODEL_BYTES = 64_000_000
"""Ten times our largest model."""
MAX_LIST_BYTES = 1_000_000
MAX_METADATA_BYTES = 1_000_000
DOWNLOAD_SECONDS = 300.0
"""Limit per file: a server that sends a byte now and then must not block the device."""
SOCKET_SECONDS = 30
CHUNK_BYTES = 65536
SPACE_FACTOR = 2
"""Free disk space per size of a model: while it arrives, TUF has a temporary file and its copy."""

Document = TypeVar("Document", bound=BaseModel)


class _Fetcher(FetcherInterface):
    """Fetcher with a time limit per file, headers and redirects included, and one class for all that goes wrong."""

    def _fetch(self, url: str) -> Iterator[bytes]:
        opener = urllib.request.OpenerDirector()
        for handler in (
            TimedHandler(until=time.monotonic() + DOWNLOAD_SECONDS),
            urllib.request.ProxyHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "maskwatch"})  # noqa: S310  (http or https: checked)
            with opener.open(request, timeout=SOCKET_SECONDS) as response:
                while chunk := response.read1(CHUNK_BYTES):
                    yield chunk
        except urllib.error.HTTPError as error:
            error.close()
            raise DownloadHTTPError(f"{url}: answers {error.code}", error.code) from error
        except TimeoutError as error:
            raise SlowRetrievalError(f"{url}: does not answer in time") from error
        except http.client.HTTPException as error:
            # Its text may be the answer itself.
            raise DownloadError(f"{url}: the answer is not HTTP ({type(error).__name__})") from error
        except (OSError, ValueError) as error:
            raise DownloadError(f"{url}: {getattr(error, 'reason', None) or error}") from error


class Repository:
    """The current contents of the repository, verified up to the root of trust.

    Every method raises an UnavailableError if something is unreachable, damaged, expired, older than before, or not
    signed by the required keys.
    """

    def __init__(self, url: str, *, folder: Path, root: bytes) -> None:
        """Fetch and verify the metadata; `folder` caches it, as protection against roll-back attacks.

        `root` is the root metadata installed with the device's configuration.
        """
        self._url, self._targets = url, folder / "targets"
        config = UpdaterConfig(
            targets_max_length=MAX_METADATA_BYTES,
            snapshot_max_length=MAX_METADATA_BYTES,
        )
        with _explained(url):
            make_folder(self._targets)
            self._updater = Updater(
                str(folder),
                f"{url}/metadata/",
                str(self._targets),
                f"{url}/targets/",
                _Fetcher(),
                config,
                bootstrap=root,
            )
            self._updater.refresh()

    def assignments(self) -> Assignments:
        """The desired models."""
        return self._document(ASSIGNMENTS, Assignments)

    def stages(self) -> Stages:
        """The progress of the roll-outs."""
        return self._document(STAGES, Stages)

    def minimum_version(self, model: str) -> str:
        """The lowest version of the agent that can run a model."""
        with _explained(self._url):
            custom = self._target(f"{model}.tflite").custom or {}
        return str(custom.get(MINIMUM_VERSION, "0.0.0"))

    def fetch(self, model: str) -> tuple[bytes, bytes]:
        """The bytes of a model's network and of its card."""
        network, card = f"{model}.tflite", f"{model}.json"
        self._check_space(network, card)
        try:
            return self._fetch(network, MAX_MODEL_BYTES), self._fetch(card, MAX_MODEL_BYTES)
        finally:
            # They are installed elsewhere.
            for name in (network, card):
                (self._targets / name).unlink(missing_ok=True)

    def _check_space(self, *names: str) -> None:
        with _explained(self._url):
            needed_bytes = SPACE_FACTOR * sum(self._target(name).length for name in names)
            is_full = shutil.disk_usage(self._targets).free < needed_bytes
        if is_full:
            raise UnavailableError(
                f"{self._targets}: fewer than {needed_bytes} bytes are free, which {names[0]} needs: make room",
                fix=f"df -h {shlex.quote(str(self._targets))}",
            )

    def _document(self, name: str, kind: type[Document]) -> Document:
        try:
            return kind.model_validate_json(self._fetch(name, MAX_LIST_BYTES))
        except ValidationError as error:
            mistake = mistakes_in(error, whole="the document")[0]
            raise UnavailableError(f"{self._url}: {name}: {mistake}; is this agent older than the fleet?") from error

    def _fetch(self, name: str, max_bytes: int) -> bytes:
        with _explained(self._url):
            found = self._target(name)
            if found.length > max_bytes:
                raise UnavailableError(f"{self._url}: {name}: {found.length} bytes are more than a device takes")
            file = self._updater.find_cached_target(found) or self._updater.download_target(found)
            # Verify what is read, not only what was downloaded: a cached file may have changed.
            with open(file, "rb") as opened:  # noqa: PTH123  (TUF gives a name)
                content = opened.read(max_bytes + 1)
            found.verify_length_and_hashes(content)
            return content

    def _target(self, name: str) -> TargetFile:
        found = self._updater.get_targetinfo(name)
        if found is None:
            raise UnavailableError(f"{self._url}: no '{name}' is signed")
        return found


def check_root(file: Path) -> bytes:
    """Read the initial root of trust.

    Raises:
        ConfigError: the file cannot be read, or is not root metadata.
    """
    look = f"ls -l {shlex.quote(str(file))}"
    try:
        content = file.read_bytes()
        Metadata[Root].from_bytes(content)
    except OSError as error:
        raise ConfigError(f"rollout.root_file: {file}: {error.strerror}", fix=look) from error
    except (RepositoryError, ValueError) as error:
        message = f"rollout.root_file: {file}: is no root.json of a repository: {error}"
        raise ConfigError(message, fix=look) from error
    return content


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Convert errors of TUF into an UnavailableError of one sentence."""
    try:
        yield
    except ExpiredMetadataError as error:
        text = f"{url}: {error}: an old repository is shown, or this device's clock is wrong"
        raise UnavailableError(text, fix="timedatectl") from error
    except RepositoryError as error:
        raise UnavailableError(f"{url}: not believed: {error}") from error
    except DownloadError as error:
        raise UnavailableError(f"{url}: cannot be fetched: {error}") from error
    except OSError as error:
        raise UnavailableError(f"the models' folder cannot be written: {error}") from error
