"""Encryption: encrypts pictures with age for the owners of public keys, if any are configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from edge_agent.errors import ConfigError, missing_extra

if TYPE_CHECKING:
    from collections.abc import Sequence


class Encryption(Protocol):
    """Transforms a picture before it is written."""

    suffix: str
    """Suffix added to the file name."""

    def encrypt(self, content: bytes) -> bytes:
        """Return the content to write and send."""
        ...


class NoEncryption:
    """Leaves pictures unencrypted."""

    suffix = ""

    def encrypt(self, content: bytes) -> bytes:
        """Return the content unchanged."""
        return content


class AgeEncryption:
    """Encrypts for the owners of public keys, in the format of age (https://age-encryption.org)."""

    suffix = ".age"

    def __init__(self, public_keys: Sequence[str]) -> None:
        """Accepts keys in the format of age-keygen and ssh-keygen.

        Raises:
            ConfigError: pyrage is not installed, or a key is invalid.
        """
        try:
            import pyrage  # noqa: PLC0415  (an extra)
        except ImportError as error:
            raise missing_extra("encrypt", error) from error
        self._encrypt = pyrage.encrypt
        self._recipients = [_recipient(key, pyrage) for key in public_keys]

    def encrypt(self, content: bytes) -> bytes:
        """Encrypt; this device has no key to decrypt it."""
        return bytes(self._encrypt(content, self._recipients))


def _recipient(key: str, pyrage: Any) -> Any:
    kind = pyrage.ssh if key.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(key)
    except pyrage.RecipientError as error:
        raise ConfigError(
            f"crops.encrypt_for: {key} is not a valid public key ({error}); copy the whole output of age-keygen -y",
            fix="age-keygen -y KEY_FILE",
        ) from error


def open_encryption(public_keys: Sequence[str]) -> Encryption:
    """Encrypt pictures for these keys; without keys pictures are not encrypted.

    Raises:
        ConfigError: pyrage is not installed, or a key is invalid.
    """
    return AgeEncryption(public_keys) if public_keys else NoEncryption()
