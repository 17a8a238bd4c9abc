"""A vault without a network whose PKI engines really sign: tests decide the CA, the lives, the lies."""

import datetime as dt
import ipaddress
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from clocks import ManualClock
from control.edge.issued import Issued
from gateway.policy.model import Vault
from gateway.vault.wire import VaultError
from vaulting import APPROLE, FakeVault

SIGN = "pki/sign/listener"
ISSUERS = "clients/issuers?list=true"


def issued(**more: Any) -> Issued:
    vault = Vault(address="http://127.0.0.1:8200", auth=APPROLE)
    return Issued(**{"vault": vault, "mount": "pki", "role": "listener", "names": ("a.example", "b.example"), **more})


class Ca:
    """A CA, signed by itself or by another one, whose certificates start and end by a test's clock."""

    def __init__(
        self, clock: ManualClock, name: str = "root", parent: "Ca | None" = None, lasts_s: float = 864000
    ) -> None:
        self.clock = clock
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = parent or self
        self.certificate = (
            _builder(clock, self.name, signer.name, self.key.public_key(), lasts_s)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(signer.key, hashes.SHA256())
        )
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()

    def sign(self, csr: str, lasts_s: float, *, key: Any = None, names: Any = None, server: bool = True) -> str:
        asked = x509.load_pem_x509_csr(csr.encode())
        told = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        made = (
            _builder(self.clock, asked.subject, self.name, key or asked.public_key(), lasts_s)
            .add_extension(x509.SubjectAlternativeName(told if names is None else names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return made.public_bytes(Encoding.PEM).decode()


def names(*dns: str, addresses: tuple[str, ...] = ()) -> list[x509.GeneralName]:
    return [*map(x509.DNSName, dns), *(x509.IPAddress(ipaddress.ip_address(each)) for each in addresses)]


class PkiVault(FakeVault):
    """Answers `pki/sign/listener`, and lists the CAs of clients."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(clock)
        self.root = Ca(clock)
        self.ca = Ca(clock, "edge", self.root)
        self.lasts_s = 1000.0
        self.clients = {"id-1": Ca(clock, "clients")}
        self.revoked: dict[str, Any] = {}  # what an issuer's `revoked` says, where it says anything
        self.signed: list[str] = []

    def _served(self, path: str, text: str, wish: dict[str, Any]) -> dict[str, Any]:
        if path == SIGN:
            self.signed.append(self.ca.sign(wish["csr"], self.lasts_s))
            return {"data": {"certificate": self.signed[-1], "ca_chain": [self.ca.pem, self.root.pem]}}
        if path == ISSUERS:
            return {"data": {"keys": [*self.clients]}}
        if path.startswith("clients/issuer/"):
            name, *unsaid = path.split("/")[2:]  # `/json` says nothing of revocation
            ca = self.clients.get(name)
            if ca is None:
                raise VaultError("was answered 404", 404)
            said = {} if unsaid or name not in self.revoked else {"revoked": self.revoked[name]}
            return {"data": {"certificate": ca.pem, **said}}
        return super()._served(path, text, wish)


def _builder(
    clock: ManualClock, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, lasts_s: float
) -> x509.CertificateBuilder:
    now = dt.datetime.fromtimestamp(clock.now(), dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(seconds=30))
        .not_valid_after(now + dt.timedelta(seconds=lasts_s))
    )
