"""What of `ostiary control` hands Envoy the listener's certificate, made from the edge's spec. Decides nothing."""

import asyncio
import random
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio

from control.edge import spec
from control.edge.mapping import SpecError
from control.sds.handed import Handed
from control.sds.issuing import Issuing
from control.sds.service import SecretService, server
from gateway import contract
from gateway.aio import cancel_and_wait, spawn
from gateway.clock import Clock
from gateway.settings import Settings
from gateway.telemetry.metrics import Certificates
from gateway.vault.session import Session
from ostiary import socketfile
from ostiary.problem import Problem

_ROOT = Path("/")  # files of a spec that was read are absolute


@dataclass(slots=True)
class Handing:
    """The certificate's keeper and the socket where Envoy asks for it."""

    issuing: Issuing
    service: SecretService
    _meters: Certificates = field(default_factory=Certificates)
    _server: grpc.aio.Server | None = None
    _task: "asyncio.Task[None] | None" = None
    _published: tuple[Path, int] | None = field(default=None)

    async def start(self, settings: Settings) -> None:
        """Ask the vault, and listen. There may be nothing to hand out yet; Envoy waits."""
        self._task = spawn(self.issuing.run(), "listener-certificate")
        path = settings.run_dir / contract.SECRETS_SOCKET
        socketfile.clear(path)
        # gRPC removes the name that it bound when the server goes away: a name of its own, so that a successor's stays.
        bound = path.with_suffix(".new")
        socketfile.clear(bound)
        self._server = server(self.service, f"unix:{bound}")
        await self._server.start()
        self._published = path, socketfile.publish(bound, path, settings.socket_mode)

    def metrics(self) -> bytes:
        """What a scraper is told."""
        standing = self.issuing.standing
        return self._meters.page(standing.ends_s, standing.failures)

    async def close(self) -> None:
        """Envoy keeps what it has, and asks again until there is somebody."""
        if self._published is not None:
            socketfile.withdraw(*self._published)
        if self._server is not None:
            await self._server.stop(0)  # its streams have no end to wait for
        if self._task is not None:
            await cancel_and_wait(self._task)
        await self.issuing.close()


def compose(settings: Settings, clock: Clock) -> Handing | None:
    """None: the certificate lies in files, or nobody named the spec."""
    if settings.edge_file is None:
        return None
    try:
        issued = spec.read(settings.edge_file).tls.issued
    except (SpecError, OSError, UnicodeDecodeError) as failure:
        raise Problem(f"OSTIARY_EDGE_FILE: {failure}") from None
    if issued is None:
        return None
    draw = random.SystemRandom().random
    handed = Handed()
    session = Session(issued.vault, _ROOT, clock, draw)
    return Handing(Issuing(issued, session, handed, clock, draw), SecretService(handed))
