"""Encryption: only the owners of the keys can open pictures."""

import builtins
import subprocess

import pyrage
import pytest

from edge_agent.alerts.encryption import open_encryption
from edge_agent.errors import ConfigError


@pytest.fixture
def owner():
    return pyrage.x25519.Identity.generate()


def test_without_keys_nothing_is_encrypted():
    encrypt = open_encryption([])

    assert encrypt(b"a picture") == b"a picture"


def test_each_owner_can_decrypt_it_and_others_cannot(owner):
    other = pyrage.x25519.Identity.generate()

    encrypted = open_encryption([str(owner.to_public()), str(other.to_public())])(b"a picture")

    assert pyrage.decrypt(encrypted, [owner]) == pyrage.decrypt(encrypted, [other]) == b"a picture"
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(encrypted, [pyrage.x25519.Identity.generate()])


def test_the_same_picture_is_never_encrypted_to_the_same_bytes(owner):
    encrypt = open_encryption([str(owner.to_public())])

    assert encrypt(b"a picture") != encrypt(b"a picture")


def test_an_ssh_key_is_accepted(tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)

    encrypted = open_encryption([key.with_suffix(".pub").read_text().strip()])(b"a picture")

    assert pyrage.decrypt(encrypted, [pyrage.ssh.Identity.from_buffer(key.read_bytes())]) == b"a picture"


def test_an_invalid_key_is_reported(owner):
    wrong = str(owner.to_public())[:-1] + "b"

    with pytest.raises(ConfigError, match=r"crops\.encrypt_for: age1.* is not a valid public key .*age-keygen -y"):
        open_encryption([wrong, wrong])


def test_a_missing_extra_is_named(owner, monkeypatch):
    real = builtins.__import__

    def without_pyrage(name, *arguments, **options):
        if name == "pyrage":
            raise ImportError("No module named 'pyrage'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_pyrage)

    with pytest.raises(ConfigError, match=r"pip install 'maskwatch\[encrypt\]'"):
        open_encryption([str(owner.to_public())])
