"""The policy versions that one worker holds. For one event loop; no files, no locks."""

from typing import Final

from gateway.policy.model import Policy

#: An exchange keeps the version that authz pinned for up to `limits.exchange_s`; eight activations in that
#: time are a misuse, and an exchange whose version is gone is refused.
KEPT_VERSIONS: Final = 8


class PolicyStore:
    """The current policy and the last few before it."""

    __slots__ = ("_current", "_kept", "_versions")

    def __init__(self, first: Policy, *, kept: int = KEPT_VERSIONS) -> None:
        if kept < 1:
            raise ValueError("a store keeps at least the current policy")
        self._kept = kept
        self._current = first
        self._versions = {first.version: first}

    @property
    def current(self) -> Policy:
        """What a new exchange is judged by."""
        return self._current

    def get(self, version: str) -> Policy | None:
        """The policy of that version, or None when it is gone: the exchange is then refused."""
        return self._versions.get(version)

    def put(self, policy: Policy) -> None:
        """Make `policy` current. An old version put again (a roll-back) counts as the newest."""
        self._versions.pop(policy.version, None)
        self._versions[policy.version] = policy
        self._current = policy
        while len(self._versions) > self._kept:
            del self._versions[next(iter(self._versions))]
