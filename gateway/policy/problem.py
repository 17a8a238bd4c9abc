"""What is wrong with a policy, line by line and all at once. Never shows a value that could be a secret."""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

MAX_PROBLEMS: Final = 200  # some screens; a garbage file could hold a million
MAX_SHOWN_CHARS: Final = 32  # shorter than any credential that this gateway or a provider issues (43 and up)
_MAX_NEAR_CHARS: Final = 64  # difflib is quadratic in the length of its input
_MAX_NEAR_NAMES: Final = 256  # and linear in the candidates: keys may be many thousand

#: Shapes of live credentials: our keys and client secrets (ocs_), provider keys (OpenAI and Anthropic sk-, Groq gsk_,
#: xAI xai-, Google AIza, AWS AKIA, GitHub gh*_, Hugging Face hf_), bearer values and PEM private keys. Each run is
#: counted, so that a placeholder such as "sk-..." passes, and no part can match in two ways (linear time).
_SECRET: Final = re.compile(
    r"osk_[A-Za-z0-9]{4,32}_[A-Za-z0-9]{8}"
    r"|(?<![A-Za-z0-9])(?:ocs_|sk-|gsk_|xai-|hf_|gh[pousr]_|github_pat_)[A-Za-z0-9_-]{16}"
    r"|(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{30}"
    r"|(?<![A-Za-z0-9])AKIA[A-Z0-9]{16}"
    r"|[Bb]earer [A-Za-z0-9._~+/-]{16}"
    r"|-----BEGIN [A-Z ]{0,20}PRIVATE KEY",
)
_MIN_SECRET_CHARS: Final = 17  # osk_ + 4 + _ + 8, the shortest match; most values of a policy are shorter


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a policy file; line and column count from one, as editors do."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where it stands, which field it is in, what was expected, and what may have been meant."""

    mark: Mark
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.mark.file}:{self.mark.line}:{self.mark.column}:"
        field = f" {self.path}:" if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{where}{field} {self.message}{hint}"


class PolicyError(Exception):
    """A policy that was refused as a whole, with everything that is wrong with it."""

    def __init__(self, problems: Collection[Problem]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = "problem" if count == 1 else "problems"
        super().__init__(
            "\n".join([f"the policy has {count} {noun} and was not loaded:", *(f"  {one}" for one in self.problems)]),
        )


class Problems:
    """Collects problems while a policy is read, so that one run reports all of them."""

    def __init__(self) -> None:
        self._found: list[Problem] = []
        self._dropped = 0

    def add(self, mark: Mark, path: tuple[str, ...], message: str, hint: str = "") -> None:
        """Put one mistake on the list."""
        if len(self._found) >= MAX_PROBLEMS:
            self._dropped += 1
            return
        self._found.append(Problem(mark, spell(path), message, hint))

    def __len__(self) -> int:
        return len(self._found) + self._dropped

    def stop_if_any(self) -> None:
        """Raise everything found so far, in the order of files and lines."""
        if not self._found:
            return
        found = sorted(self._found)
        if self._dropped:
            found.append(Problem(found[-1].mark, "", f"{self._dropped} further problems are not shown"))
        raise PolicyError(found)


def is_secret(text: str) -> bool:
    """Whether `text` contains something shaped like a live credential."""
    return len(text) >= _MIN_SECRET_CHARS and _SECRET.search(text) is not None


def secret_at(text: str, start: int = 0) -> int:
    """Index of the first credential in `text` from `start` on, or -1."""
    match = _SECRET.search(text, start)
    return match.start() if match else -1


def shown(text: str) -> str:
    """`text` for an error message: quoted, or only described where it is long or could be a secret."""
    if len(text) > MAX_SHOWN_CHARS or is_secret(text):
        return f"a text of {len(text)} characters"
    return "nothing" if not text else f'"{text}"' if text.isprintable() else ascii(text)


def spell(path: tuple[str, ...]) -> str:
    """A field path, dotted; a name that holds a dot itself is quoted: `acme.guards.request."pii.email"`."""
    return ".".join(name if re.fullmatch(r"[\w*/\[\]-]{1,40}", name) else shown(name) for name in path)


def nearest(text: str, known: Collection[str]) -> str:
    """A hint that names the known word nearest to `text`, or lists the words when few; else empty."""
    if len(text) <= _MAX_NEAR_CHARS:
        near = [word for word in known if abs(len(word) - len(text)) <= 3][:_MAX_NEAR_NAMES]
        best = difflib.get_close_matches(text, near, n=1, cutoff=0.6)
        if best:
            return f'did you mean "{best[0]}"?'
    if 0 < len(known) <= 12:
        return "known: " + ", ".join(sorted(known))
    return ""
