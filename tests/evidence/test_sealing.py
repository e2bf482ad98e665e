"""What is sealed is opened by the owners of the keys and by nobody else."""

import builtins
import subprocess

import pyrage
import pytest

from edge_agent.errors import ConfigError
from edge_agent.evidence.sealing import open_seal


@pytest.fixture
def owner():
    return pyrage.x25519.Identity.generate()


def test_without_keys_nothing_is_sealed():
    seal = open_seal([])

    assert (seal.close(b"a picture"), seal.suffix) == (b"a picture", "")


def test_each_of_several_owners_can_open_it_and_nobody_else(owner):
    other = pyrage.x25519.Identity.generate()

    sealed = open_seal([str(owner.to_public()), str(other.to_public())]).close(b"a picture")

    assert pyrage.decrypt(sealed, [owner]) == pyrage.decrypt(sealed, [other]) == b"a picture"
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [pyrage.x25519.Identity.generate()])


def test_the_same_picture_is_never_sealed_to_the_same_bytes(owner):
    seal = open_seal([str(owner.to_public())])

    assert seal.close(b"a picture") != seal.close(b"a picture")


def test_a_key_of_ssh_will_do(tmp_path):
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)

    sealed = open_seal([key.with_suffix(".pub").read_text().strip()]).close(b"a picture")

    assert pyrage.decrypt(sealed, [pyrage.ssh.Identity.from_buffer(key.read_bytes())]) == b"a picture"


def test_a_mistyped_key_is_named_with_what_to_do(owner):
    wrong = str(owner.to_public())[:-1] + "b"

    with pytest.raises(ConfigError, match=r"evidence\.encrypt_for: age1.* is no valid public key .*age-keygen -y"):
        open_seal([wrong, wrong])


def test_a_missing_extra_is_named(owner, monkeypatch):
    real = builtins.__import__

    def without_pyrage(name, *arguments, **options):
        if name == "pyrage":
            raise ImportError("No module named 'pyrage'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without_pyrage)

    with pytest.raises(ConfigError, match=r"pip install 'maskwatch\[encrypt\]'"):
        open_seal([str(owner.to_public())])
