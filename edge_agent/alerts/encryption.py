"""Encryption: encrypts pictures with age for the owners of public keys, if any are configured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_agent.errors import ConfigError, missing_extra

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def open_encryption(public_keys: Sequence[str]) -> Callable[[bytes], bytes]:
    """A function that encrypts for the owners of these keys (https://age-encryption.org); without keys it does nothing.

    Accepts keys in the format of age-keygen and ssh-keygen. This device has no key to decrypt.

    Raises:
        ConfigError: pyrage is not installed, or a key is invalid.
    """
    if not public_keys:
        return lambda content: content
    try:
        import pyrage  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise missing_extra("encrypt", error) from error
    recipients = [_recipient(key, pyrage) for key in public_keys]
    return lambda content: bytes(pyrage.encrypt(content, recipients))


def _recipient(key: str, pyrage: Any) -> Any:
    kind = pyrage.ssh if key.startswith("ssh-") else pyrage.x25519
    try:
        return kind.Recipient.from_str(key)
    except pyrage.RecipientError as error:
        raise ConfigError(
            f"crops.encrypt_for: {key} is not a valid public key ({error}); copy the whole output of age-keygen -y",
            fix="age-keygen -y KEY_FILE",
        ) from error
