"""Which ids listeners were told of, in few bytes: asked only after a gap, so it need not be quick. Pure."""

from typing import Final

#: Below this, repeated ids are not worth looking for.
_TIDY_BYTES: Final = 256 * 1024
#: Twice what 100,000 keys and as many revocations of principals take.
_WHOLE_BYTES: Final = 8 * 1024 * 1024


class Ids:
    """A set of ids that is written like a diary: 14 bytes for a key's id, where a set of strings takes 100.

    Ids of the registry are printable (gateway.registry.model.check), so none holds the line break between them. Others,
    which only a forger can have put into Valkey, were told to nobody and are left out.
    """

    __slots__ = ("_diary", "_tidy_at")

    def __init__(self, *, whole: bool = False) -> None:
        """`whole` promises about `_WHOLE_BYTES` of ids that are all new: nothing to tidy, which takes memory itself."""
        self._diary = bytearray()
        self._tidy_at = _WHOLE_BYTES if whole else _TIDY_BYTES

    def add(self, entry_id: str) -> None:
        """One more, or the same again."""
        self._write(b"+", entry_id)

    def discard(self, entry_id: str) -> None:
        """One less, if it was there."""
        self._write(b"-", entry_id)

    def all(self) -> set[str]:
        """What is there."""
        return {one.decode() for one in self._read()}

    def absorb(self, other: "Ids") -> None:
        """Add, and discard, what the other was told."""
        self._diary += other._diary  # noqa: SLF001 -- its own kind

    def _write(self, sign: bytes, entry_id: str) -> None:
        if not entry_id.isprintable():
            return
        self._diary += sign
        self._diary += entry_id.encode()
        self._diary += b"\n"
        if len(self._diary) > self._tidy_at:
            self._tidy()

    def _tidy(self) -> None:
        # In place of a look-up for each: the whole is gone through once for every doubling.
        self._diary = bytearray(b"".join(b"+%b\n" % one for one in self._read()))
        self._tidy_at = max(_TIDY_BYTES, 2 * len(self._diary))

    def _read(self) -> dict[bytes, None]:
        found: dict[bytes, None] = {}
        for line in bytes(self._diary).splitlines():
            if line.startswith(b"+"):
                found[line[1:]] = None
            else:
                found.pop(line[1:], None)
        return found
