"""Typed fields out of an operator's JSON wish. What is wrong is refused with its field's name; nothing is guessed."""

from collections.abc import Mapping
from typing import Any, Final

from control.problem import Refusal, invalid
from gateway.policy.field import Shape
from gateway.policy.problem import nearest
from gateway.registry.keys import words_fault

#: Fields of every change, which the admin API itself reads (control/admin.py).
_EVERYWHERE: Final = frozenset({"reason"})


class Form:
    """One JSON object, read field by field. `close` refuses what nobody asked for: a misspelt limit is no limit."""

    def __init__(self, body: Mapping[str, Any], path: str = "") -> None:
        self._body = body
        self._path = path
        self._asked: list[str] = []

    def _take(self, name: str) -> Any:
        self._asked.append(name)
        return self._body.get(name)

    def refuse(self, name: str, message: str) -> Refusal:
        """A refusal that names the field; the caller raises it."""
        return invalid(f"{self._path}{name}", message)

    def text(self, name: str, what: Shape) -> str:
        """A text of the given shape; required."""
        value = self._take(name)
        if value is None:
            raise self.refuse(name, f"missing; expected {what.expected}")
        if not isinstance(value, str) or not what.pattern.match(value):
            raise self.refuse(name, f"expected {what.expected}")
        return value

    def words(self, name: str, most_chars: int) -> str:
        """Free text for people, on one line; may be left out."""
        value = self._take(name)
        if value is None:
            return ""
        if not isinstance(value, str) or words_fault(value, most_chars):
            raise self.refuse(name, f"expected up to {most_chars} printable characters")
        return value

    def texts(self, name: str, what: Shape, most: int) -> tuple[str, ...]:
        """Different texts of the given shape, in their order; may be left out."""
        value = self._take(name)
        if value is None:
            return ()
        if not isinstance(value, list) or len(value) > most:
            raise self.refuse(name, f"expected a list of at most {most}")
        for at, item in enumerate(value):
            if not isinstance(item, str) or not what.pattern.match(item):
                raise self.refuse(f"{name}[{at}]", f"expected {what.expected}")
        return tuple(dict.fromkeys(value))

    def integer(self, name: str, low: int, high: int) -> int | None:
        """A whole number between two bounds, both allowed; None when it is left out."""
        value = self._take(name)
        if value is None:
            return None
        if type(value) is not int or not low <= value <= high:  # not isinstance: True is an int
            raise self.refuse(name, f"expected a whole number from {low} to {high}")
        return value

    def form(self, name: str) -> "Form | None":
        """An object inside this one; None when it is left out."""
        value = self._take(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.refuse(name, "expected an object")
        return Form(value, f"{self._path}{name}.")

    def close(self) -> None:
        """Refuse every field that was never asked for."""
        for name in self._body:
            if name not in self._asked and name not in _EVERYWHERE:
                hint = nearest(name, self._asked)
                raise self.refuse(name[:64], f"unknown field; {hint}" if hint else "unknown field")
