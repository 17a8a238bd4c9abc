"""Puts Envoy's configuration where a running Envoy takes it, so that no route lacks its cluster; or not at all.

A file is moved into place whole. Clusters come first and go last; where Envoy's admin socket answers, each step waits
until Envoy has taken the one before, and a step that it refuses is taken back.
"""

import http.client
import os
import re
import socket
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from control.edge import dynamic
from control.edge.dynamic import Parts, Resources
from control.edge.lint import engine
from gateway.clock import Clock
from ostiary.problem import Problem

#: A cluster is taken when its names have been resolved: a resolver's 5 s and its second try, with room.
_TAKEN_S: Final = 20.0
#: After a refusal, which may be of the file that was there before: each move has Envoy read both.
_REFUSED_S: Final = 1.0
_POLL_S: Final = 0.05
_ADMIN_S: Final = 5.0  # one answer of the admin, which Envoy's main thread gives between two updates
_STATS_BYTES: Final = 1 << 20
_CDS: Final = "cluster_manager.cds"
_RDS: Final = f"http.ostiary.rds.{dynamic.TABLE}"
_WARMING: Final = "cluster_manager.warming_clusters"
_QUERY: Final = r"/stats?filter=(cluster_manager\.cds|http\.ostiary\.rds|cluster_manager\.warming_clusters)"
_LINE: Final = re.compile(r"^([^:\s]+): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What came of it."""

    live: bool  # a running Envoy has taken the files
    restart: bool  # the bootstrap has changed as well: that part waits for a restart


def publish(parts: Parts, *, bootstrap: Path, directory: Path, admin: Path, version: str, clock: Clock) -> Published:
    """Lint the whole, then write it.

    Args:
        parts: what to write.
        bootstrap: where the first file goes; written only when it differs.
        directory: where the others go.
        admin: Envoy's admin socket, which need not be there.
        version: of the policy.
        clock: for how long Envoy may take.

    Raises:
        Problem: the whole would weaken the gateway, the directory is anybody's, or Envoy refused. What was in force is.
    """
    _judge(parts, bootstrap, directory)
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    if directory.stat().st_mode & stat.S_IWOTH:
        raise Problem(f"anybody may write to {directory}", hint="Who writes there decides where prompts and keys go.")
    before = _text(bootstrap)
    envoy = _Envoy(admin, clock)
    live = envoy.stats() is not None
    clusters, routes = directory / dynamic.CLUSTERS, directory / dynamic.ROUTES
    old_clusters, old_routes = _text(clusters), _text(routes)
    try:
        if live and old_clusters:
            both = _united(old_clusters, parts.clusters, version)
            envoy.take(_CDS, clusters, both)
            envoy.take(_RDS, routes, parts.routes)
            envoy.take(_CDS, clusters, parts.clusters)
        else:
            _step(clusters, parts.clusters.text)
            _step(routes, parts.routes.text)
    except Problem:
        # Neither a restart nor the next run may find what Envoy has refused. Clusters first again.
        for path, old in ((clusters, old_clusters), (routes, old_routes)):
            if old:
                _step(path, old)
        raise
    if before != parts.bootstrap:
        _step(bootstrap, parts.bootstrap)
    return Published(live=live, restart=live and before != parts.bootstrap)


def _judge(parts: Parts, bootstrap: Path, directory: Path) -> None:
    held = {
        str(directory / dynamic.CLUSTERS): parts.clusters.text,
        str(directory / dynamic.ROUTES): parts.routes.text,
    }

    def opened(path: str) -> str:
        if path not in held:
            raise FileNotFoundError(path)
        return held[path]

    problems = engine.lint(parts.bootstrap, source=str(bootstrap), opened=opened)
    if engine.has_errors(problems):
        raise Problem(f"nothing was written:\n{engine.format_text(problems, str(bootstrap))}")


def _united(old: str, new: Resources, version: str) -> Resources:
    try:
        return dynamic.united(old, new, version)
    except ValueError:  # somebody broke the file, and Envoy has kept what it had
        return new


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _step(path: Path, text: str) -> None:
    """Envoy reads at the move, and so never a half file; a power cut leaves the old one or the new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


@dataclass(frozen=True, slots=True)
class _Envoy:
    """A running Envoy, if there is one, by its admin socket."""

    admin: Path
    clock: Clock

    def stats(self) -> dict[str, str] | None:
        """Statistics of the updates; None: no Envoy, or one that was started without dynamic configuration."""
        connection = _Admin(self.admin)
        try:
            connection.request("GET", _QUERY)
            text = connection.getresponse().read(_STATS_BYTES).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        found = dict(_LINE.findall(text))
        return found if f"{_CDS}.update_attempt" in found else None

    def take(self, stat: str, path: Path, wanted: Resources) -> None:
        """Move the file into place; return when Envoy says that it serves with it.

        Raises:
            Problem: it does not.
        """
        before = self._refusals(stat, self.stats() or {})
        _step(path, wanted.text)
        deadline = self.clock.monotonic() + _TAKEN_S
        while True:
            found = self.stats() or {}
            taken = found.get(f"{stat}.version_text", "").strip('"') == wanted.version
            if taken and found.get(_WARMING, "0") == "0":
                return
            now = self.clock.monotonic()
            if self._refusals(stat, found) > before:
                deadline = min(deadline, now + _REFUSED_S)
            if now > deadline:
                what = "clusters" if stat == _CDS else "routes"
                state = "some are still warming" if taken else "it goes on with the old ones"
                raise Problem(
                    f"Envoy did not take the new {what}: {state}. The old files are back.",
                    hint="Envoy's log says why. Does it watch this directory?",
                )
            time.sleep(_POLL_S)

    def _refusals(self, stat: str, found: dict[str, str]) -> int:
        return sum(int(found.get(f"{stat}.{name}", "0")) for name in ("update_rejected", "update_failure"))


class _Admin(http.client.HTTPConnection):
    """HTTP/1.1 to Envoy's admin socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("envoy", timeout=_ADMIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))
