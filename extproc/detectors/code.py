"""Code in answers that a reviewer would stop: a few expressions for each family of languages, no parser.

They are told wherever they stand, since the fence of a block may have opened far outside the window. Each begins with
a word of its own, and is held only as long as what follows may still become it. A parser or linter (bandit, semgrep)
needs whole files and milliseconds, and text that is held until it is whole; here the stream goes on.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import Final

from extproc.guardrails.rule import Find, Rule, Shape

_CODE_CHARS: Final = 160  # longest expression: a line of SQL up to where a value is put into it
_PLACEHOLDER: Final = "[INSECURE_CODE]"
_BEFORE_CHARS: Final = 1
_GAP: Final = " {0,2}"


@dataclass(frozen=True, slots=True)
class Run:
    """A part of an expression that is no literal: a regular expression that may match nothing, bounded and linear."""

    pattern: str


_Part = str | Run
G: Final = Run(_GAP)


def _whole(parts: Sequence[_Part]) -> str:
    return "".join(re.escape(part) if isinstance(part, str) else part.pattern for part in parts)


def _begun(parts: Sequence[_Part]) -> str:
    """Matches where the expression stands, or begins and reaches the end of the text."""
    pattern = ""
    for part in reversed(parts):
        if isinstance(part, Run):
            pattern = rf"(?:\Z|{part.pattern}{pattern})"
        else:
            for char in reversed(part):
                pattern = rf"(?:\Z|{re.escape(char)}{pattern})"
    return pattern.removeprefix(r"(?:\Z|").removesuffix(")")  # the first character must be there


def _finding(expressions: Sequence[tuple[Sequence[_Part], str]], left: str) -> Find:
    by_head: dict[str, list[re.Pattern[str]]] = {}
    for parts, then in expressions:
        head = parts[0]
        assert isinstance(head, str)  # noqa: S101 - of this module's own tables
        by_head.setdefault(head, []).append(re.compile(left + _whole(parts) + then))

    def find(text: str, end: int) -> Iterator[tuple[int, int]]:
        for head, patterns in by_head.items():
            start = end - len(head)
            if start >= 0 and text.startswith(head, start):
                for pattern in patterns:
                    match = pattern.match(text, start, start + _CODE_CHARS)
                    if match is not None:
                        yield match.span()

    return find


def _rule(
    name: str, *expressions: tuple[Sequence[_Part], str], alphabet: str, left: str = r"(?<![A-Za-z0-9_$.-])"
) -> Rule:
    """`expressions`: parts, the first a literal, and what must follow without being part of the span."""
    heads = sorted({str(parts[0]) for parts, _ in expressions})
    return Rule(
        id=f"code.{name}",
        placeholder=_PLACEHOLDER,
        triggers=tuple(re.escape(head).encode() for head in heads),
        find=_finding(expressions, left),
        before_chars=_BEFORE_CHARS,
        shapes=(
            Shape(
                limit_chars=_CODE_CHARS,
                alphabet=alphabet,
                opens="".join(sorted({head[0] for head in heads})),
                opening=re.compile(left + "(?:" + "|".join(_begun(parts) for parts, _ in expressions) + ")"),
            ),
        ),
    )


_WORD: Final = ascii_letters + digits + "_"
_EXPRESSION: Final = _WORD + " .,:=()$-`{'"
_END: Final = r"(?![A-Za-z0-9_])"
#: A value that is computed: a name, a variable of PHP or a shell, or an f-string.
_COMPUTED: Final = r"(?=[ ]{0,2}(?:[A-Za-z_$]))"

TLS: Final = _rule(
    "tls_verification_off",
    (("verify", G, "=", G, "False"), _END),
    (("check_hostname", G, "=", G, "False"), _END),
    (("_create_unverified_context",), _END),
    (("CERT_NONE",), _END),
    (("rejectUnauthorized", G, ":", G, "false"), _END),
    (("NODE_TLS_REJECT_UNAUTHORIZED",), _END),
    (("InsecureSkipVerify", G, ":", G, "true"), _END),
    (("CURLOPT_SSL_VERIFYPEER", G, ",", G, "false"), _END),
    (("CURLOPT_SSL_VERIFYPEER", G, ",", G, "0"), _END),
    (("curl -k",), _END),
    (("curl -sk",), _END),
    (("curl --insecure",), _END),
    (("wget --no-check-certificate",), _END),
    (("StrictHostKeyChecking", Run("[ =]"), "no"), _END),
    alphabet=_EXPRESSION,
    left=r"(?<![A-Za-z0-9])",
)
SHELL: Final = _rule(
    "shell_injection",
    (("shell", G, "=", G, "True"), _END),
    (("os.system(",), _COMPUTED),
    (("os.popen(",), _COMPUTED),
    (("subprocess.getoutput(",), _COMPUTED),
    (("exec(`",), ""),
    (("execSync(`",), ""),
    (("child_process.exec(",), _COMPUTED),
    (("shell_exec(", G, "$"), ""),
    (("passthru(", G, "$"), ""),
    (("system(", G, "$"), ""),
    alphabet=_EXPRESSION,
)
EVAL: Final = _rule(
    "eval",
    (("eval(",), _COMPUTED),
    (("exec(",), _COMPUTED),
    (("new Function(",), _COMPUTED),
    alphabet=_EXPRESSION,
)
DESERIALISATION: Final = _rule(
    "unsafe_deserialisation",
    (("pickle.load(",), ""),
    (("pickle.loads(",), ""),
    (("dill.loads(",), ""),
    (("marshal.loads(",), ""),
    (("jsonpickle.decode(",), ""),
    (("yaml.unsafe_load(",), ""),
    (("yaml.load(", Run(r"[A-Za-z0-9_.]{0,40}"), ")"), ""),
    (("yaml.load(", Run(r"[A-Za-z0-9_.]{0,40}"), "())"), ""),
    (("unserialize(", G, "$"), ""),
    alphabet=_EXPRESSION,
)
_ARGUMENT: Final = Run(r"[A-Za-z0-9_.$ ]{0,24}")
WEAK_HASH: Final = _rule(
    "weak_password_hash",
    *[((f"{name}(", _ARGUMENT, word), "") for name in ("md5", "sha1") for word in ("passw", "Passw", "pwd")],
    alphabet=_EXPRESSION,
    left=r"(?<![A-Za-z0-9])",
)
#: A statement into which a value is put: by braces of a template, or by ending its string where a value belongs.
_SQL: Final = re.compile(
    r"(?<![A-Za-z0-9_])(?:SELECT|INSERT INTO|UPDATE|DELETE FROM) [A-Za-z0-9_ .,*=<>()'$-]{1,120}?"
    r"(?:\{[A-Za-z_]|(?:[=<>(',%]|LIKE) ?(?=[\"])|[=<>(,] ?' ?[+.] ?[A-Za-z_$])"
)
_STATEMENTS: Final = ("SELECT ", "INSERT INTO ", "UPDATE ", "DELETE FROM ")


def _find_sql(text: str, end: int) -> Iterator[tuple[int, int]]:
    for statement in _STATEMENTS:
        start = end - len(statement)
        match = _SQL.match(text, start, start + _CODE_CHARS) if start >= 0 else None
        if match is not None:
            yield match.span()


SQL: Final = Rule(
    id="code.sql_injection",
    placeholder=_PLACEHOLDER,
    triggers=tuple(statement.encode() for statement in _STATEMENTS),
    find=_find_sql,
    before_chars=_BEFORE_CHARS,
    shapes=(
        Shape(
            limit_chars=_CODE_CHARS,
            alphabet=_WORD + " .,*=<>()'$-{}+",
            opens="SIUD",
            opening=re.compile("(?<![A-Za-z0-9_])(?:" + "|".join(_begun([one]) for one in _STATEMENTS) + ")"),
        ),
    ),
)
CODE: Final[tuple[Rule, ...]] = (SHELL, EVAL, SQL, TLS, DESERIALISATION, WEAK_HASH)
