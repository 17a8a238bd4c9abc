"""Reads the files of a policy directory, each bounded, into named entries. Knows names, not meanings."""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway.policy.problem import Mark, Problems, nearest, secret_at
from gateway.policy.tree import Broken, Mapping, Node, Scalar, parse

MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # about 15,000 keys; more belong in several files
MAX_FILES: Final = 256  # a file per tenant for every tenant count that one directory should hold
ROOT: Final = "policy.yaml"
#: One file `<name>.yaml`, and for those of `_SPREAD` also a directory `<name>/*.yaml`.
SECTIONS: Final = (
    "tenants",
    "keys",
    "issuers",
    "introspectors",
    "certificates",
    "backends",
    "models",
    "prices",
    "advisers",
)
_SPREAD: Final = frozenset({"tenants", "keys", "issuers", "introspectors", "certificates"})


@dataclass(slots=True)
class Section:
    """The entries of one kind. Not `whole` when a file was unreadable: a missing name then proves nothing."""

    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    whole: bool = True


def read_directory(directory: Path, problems: Problems) -> dict[str, Section]:
    """Every section of the policy in `directory`; the root file stands under "policy"."""
    sections = {name: Section() for name in ("policy", *SECTIONS)}
    if not directory.is_dir():
        problems.add(Mark(str(directory), 1, 1), (), "no such directory", "give the directory of policy.yaml")
        for section in sections.values():
            section.whole = False
        return sections
    for name, files in _list(directory, problems).items():
        for file in files:
            _read_into(sections[name], directory / file, file, problems)
    return sections


def _list(directory: Path, problems: Problems) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in ("policy", *SECTIONS)}
    known = [f"{name}.yaml" for name in found]
    for name in list_names(directory):
        stem, _, suffix = name.rpartition(".")
        if suffix in {"yaml", "yml"}:
            if name in known:
                found[stem].append(name)
            else:
                # A file that nobody reads is a rule that nobody enforces.
                problems.add(Mark(name, 1, 1), (), "not a file of a policy", nearest(name, known))
    for name in sorted(_SPREAD):
        for entry in list_names(directory / name):
            if entry.endswith(".yaml"):
                found[name].append(f"{name}/{entry}")
            elif entry.endswith(".yml"):
                problems.add(Mark(f"{name}/{entry}", 1, 1), (), "not read", "rename it to end in .yaml")
    total = sum(map(len, found.values()))
    if total > MAX_FILES:
        problems.add(Mark(str(directory), 1, 1), (), f"{total} files, at most {MAX_FILES} are read", "merge some")
        return {name: files[:1] for name, files in found.items()}
    return found


def list_names(directory: Path) -> list[str]:
    """Sorted names; hidden ones are not ours (Kubernetes keeps `..data`, editors keep swap files)."""
    try:
        return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _read_into(section: Section, path: Path, file: str, problems: Problems) -> None:
    section.files.append(file)
    before = len(problems)
    text = read_text(path, file, problems)
    if text is None:
        section.whole = False
        return
    node = parse(text, file, problems)
    if len(problems) == before:
        _refuse_secrets_in_comments(text, file, problems)
    if isinstance(node, Mapping):
        for name, (key, value) in node.entries.items():
            first = section.entries.get(name)
            if first is None:
                section.entries[name] = (key, value)
                continue
            where = f"{first[0].mark.file}:{first[0].mark.line}"
            problems.add(key.mark, (name,), "defined a second time", f"the first one is at {where}")
    elif isinstance(node, Scalar) and node.is_null:
        return  # an empty file, or one of comments only, holds no entries
    else:
        section.whole = False
        if not isinstance(node, Broken):
            problems.add(node.mark, (), "expected `name: value` lines at the top of the file")


def read_text(path: Path, file: str, problems: Problems) -> str | None:
    """The file's text, or None with the reason on the list."""
    mark = Mark(file, 1, 1)
    try:
        # O_NONBLOCK: opening a FIFO would wait for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                problems.add(mark, (), "not a regular file")
                return None
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        problems.add(mark, (), f"cannot be read: {error.strerror}")
        return None
    if len(data) > MAX_FILE_BYTES:
        problems.add(mark, (), f"larger than {MAX_FILE_BYTES // 1024 // 1024} MiB", "split it")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        mark = Mark(file, data.count(b"\n", 0, error.start) + 1, error.start - start + 1)
        problems.add(mark, (), f"not UTF-8: byte 0x{data[error.start]:02x}", "save the file as UTF-8")
        return None


def _refuse_secrets_in_comments(text: str, file: str, problems: Problems) -> None:
    """A secret in a comment is not policy, but it is as public as the file."""
    at = secret_at(text)
    if at >= 0:
        mark = Mark(file, text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))
        problems.add(mark, (), "a comment holds what looks like a live key or secret", "remove and revoke it")
