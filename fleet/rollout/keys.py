"""Keys: creates and reads the Ed25519 keys (PEM files) of people and of the server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from edge_agent.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE_MODE = 0o600


def make_key(file: Path) -> Path:
    """Create a private key and its public key beside it (.pub), whose path is returned.

    Raises:
        ConfigError: the file exists, or cannot be written.
    """
    signer, public = CryptoSigner.generate_ed25519(), file.with_name(f"{file.name}.pub")
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE), "wb") as opened:
            opened.write(signer.private_bytes)
        key = load_pem_private_key(signer.private_bytes, password=None).public_key()
        public.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error
    return public


def read_signer(file: Path) -> CryptoSigner:
    """Read a private key.

    Raises:
        ConfigError: the file cannot be read, or is not a private key.
    """
    try:
        return CryptoSigner(load_pem_private_key(_content(file), password=None))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{file}: holds no private key: {error}; make one by 'maskwatch-fleet rollout key'"
        ) from error


def read_public_key(file: Path) -> SSlibKey:
    """Read a public key.

    Raises:
        ConfigError: the file cannot be read, or is not a public key.
    """
    try:
        return SSlibKey.from_crypto(load_pem_public_key(_content(file)))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{file}: holds no public key: {error}; give the file that ends in .pub") from error


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
