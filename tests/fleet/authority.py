"""A certificate authority for tests: brokers, and devices with CN = id and SAN = DNS:maskwatch-<id>."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VALID = timedelta(days=2)


class Authority:
    """Issues certificates into a folder: ca.pem, and NAME.pem with NAME.key."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("maskwatch test authority")
        certificate = (
            self._builder(self._name, self._key.public_key(), -VALID, VALID)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def broker(self, addresses: Sequence[str]) -> None:
        """Issue a certificate for brokers at these addresses: server.pem and server.key."""
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        self._issue("server", "broker", [*names, x509.DNSName("localhost")])

    def device(self, name: str, *, file: str = "", client_id: str = "", valid: timedelta = VALID) -> None:
        """A certificate of a device; one that is no longer valid where `valid` is negative."""
        self._issue(file or name, name, [x509.DNSName(client_id or f"maskwatch-{name}")], valid)

    def _issue(self, file: str, common_name: str, names: Sequence[x509.GeneralName], valid: timedelta = VALID) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_name(common_name), key.public_key(), -VALID - abs(valid), valid)
            .add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        (self.folder / f"{file}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{file}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, since: timedelta, until: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + since)
            .not_valid_after(now + until)
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
