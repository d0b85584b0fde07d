"""YAML read field by field, with the document, the path in it and the line for every refusal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError

from trafficsplit.errors import InputError
from trafficsplit.text import one_line

DEEPEST = 100  # levels of a document
LONGEST_SHOWN = 60  # characters of a value in a message


class Fields:
    """A mapping of a manifest, from which fields are taken.

    `where` is the path in the document and `title` what that is, for messages. All that is wrong
    raises InputError. A reader that has taken all that it understands may ask what is `left`.
    """

    def __init__(
        self, data: CommentedMap, file: str, where: str = "", line: int = 0, title: str = ""
    ) -> None:
        self._data = data
        self._line = line if data.lc.line is None else data.lc.line
        self._left = dict.fromkeys(data)
        self._file = file
        self._where = where
        self.title = title

    def take(self, name: str, kind: type | tuple[type, ...] = str, default: Any = None) -> Any:
        """Return the value of a field, `default` where it is missing."""
        self._left.pop(name, None)
        value = self._data.get(name)
        if value is None:
            return default
        # YAML's true is an int to Python, but not to Kubernetes.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"{shown(value)} is not what belongs here", name)
        return value

    def text(self, name: str, default: str = "") -> str:
        """Return a field that is a string, `default` where it is missing."""
        return str(self.take(name, str, default))

    def need(self, name: str, kind: type | tuple[type, ...] = str) -> Any:
        """Return the value of a field that must be there."""
        value = self.take(name, kind)
        if value is None:
            raise self.error(f"{name} is missing")
        return value

    def fields(self, name: str) -> Fields:
        """Return a mapping within this one; an empty one where it is missing."""
        data = self.take(name, CommentedMap, CommentedMap())
        return Fields(data, self._file, self._path(name), self._line_of(name), self.title)

    def each(self, name: str) -> Iterator[Fields]:
        """Yield the mappings of a list; none where it is missing."""
        for index, item in enumerate(self.take(name, CommentedSeq, ())):
            path = f"{self._path(name)}[{index}]"
            if not isinstance(item, CommentedMap):
                raise self.error(f"[{index}]: {shown(item)} is not what belongs here", name)
            yield Fields(item, self._file, path, self._line_of(name), self.title)

    def strings(self, name: str) -> list[str]:
        """Return a list of strings; an empty one where it is missing."""
        values = list(self.take(name, CommentedSeq, ()))
        for value in values:
            if not isinstance(value, str):
                raise self.error(f"{shown(value)} is not what belongs here", name)
        return [str(value) for value in values]

    def labels(self, name: str) -> dict[str, str]:
        """Return a mapping of strings to strings; an empty one where it is missing."""
        data = self.take(name, CommentedMap, {})
        for key, value in data.items():
            if not isinstance(value, str):
                raise self.error(f"{key}: {shown(value)} is not a string", name)
        return {str(key): str(value) for key, value in data.items()}

    def only(self) -> tuple[str, str]:
        """Return the one field of a mapping that is a choice, with its string."""
        if len(self._data) != 1:
            raise self.error("exactly one way to match belongs here")
        name = str(next(iter(self._data)))
        return name, self.text(name)

    def ignore(self, *names: str) -> None:
        """Take fields that mean nothing here."""
        for name in names:
            self._left.pop(name, None)

    @property
    def left(self) -> list[str]:
        """The names of the fields that nobody has taken."""
        return list(self._left)

    def __contains__(self, name: object) -> bool:
        return name in self._data

    @property
    def where(self) -> str:
        """Its path in the document, as `spec.http[0].route[1]`."""
        return self._where

    @property
    def file(self) -> str:
        """The file it is from."""
        return self._file

    @property
    def data(self) -> CommentedMap:
        """What was read."""
        return self._data

    def position(self, name: str) -> tuple[int, int] | None:
        """Return line and column, from 0, of a field's value; None where it does not stand here."""
        try:
            line, column = self._data.lc.value(name)
        except (KeyError, TypeError, AttributeError, ValueError):
            return None
        return int(line), int(column)

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return [str(name) for name in self._data]

    def error(self, message: str, name: str = "") -> InputError:
        """Return what to raise about a field, or about all of this mapping."""
        path = self._path(name) if name else self._where
        parts = [self._at(name), self.title, path, message]
        return InputError(": ".join(part for part in parts if part))

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _at(self, name: str) -> str:
        return f"{self._file}:{self._line_of(name) + 1}" if self._file else ""

    def _line_of(self, name: str) -> int:
        """Return the line of a field, from 0; that of the whole mapping where it is missing."""
        try:
            return int(self._data.lc.key(name)[0])
        except (KeyError, TypeError, AttributeError):
            return self._line


def shown(value: object) -> str:
    """Return a value for a message: one line, and not all of a large one."""
    return one_line(repr(value), LONGEST_SHOWN)


def document_of(data: Mapping[str, Any]) -> Fields:
    """Return what comes from an API, and has neither a file nor lines, as fields."""
    return Fields(_commented(data), "")


def _commented(data: Any) -> Any:
    if isinstance(data, Mapping):
        return CommentedMap({key: _commented(value) for key, value in data.items()})
    if isinstance(data, list):
        return CommentedSeq([_commented(value) for value in data])
    return data


def documents(file: Path) -> list[Fields]:
    """Return the documents of a YAML file that are not empty. Raises InputError."""
    return documents_of(text_of(file), str(file))


def text_of(file: Path) -> str:
    """Return the text of a file, with its line ends as they are. Raises InputError."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{file} cannot be read: {reason}") from None


def documents_of(text: str, file: str) -> list[Fields]:
    """Return the documents in a text that are not empty. Raises InputError."""
    try:
        found = list(YAML(typ="rt").load_all(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise InputError(f"{file}:{line}: no YAML: {error.problem or error.context}") from None
    except MemoryError:
        raise
    except Exception as error:  # odd merges and tags raise whatever the parser runs into
        raise InputError(f"{file}: no YAML: {_first_line(error)}") from None
    for document in found:
        if document is None:
            continue
        if not isinstance(document, CommentedMap):
            raise InputError(f"{file}: a document is no mapping: expected apiVersion, kind, …")
        _check(document, file, [])
    return [Fields(document, file) for document in found if document is not None]


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _check(node: Any, file: str, above: list[int]) -> None:
    """Refuse what YAML can hold and no manifest can: odd keys, aliases within themselves, .inf."""
    if isinstance(node, float) and not math.isfinite(node):
        raise InputError(f"{file}: {node} is no number that a manifest can have")
    if not isinstance(node, CommentedMap | CommentedSeq):
        return
    line = (node.lc.line or 0) + 1
    if id(node) in above:
        raise InputError(f"{file}:{line}: an alias stands for something that contains it")
    if len(above) > DEEPEST:
        raise InputError(f"{file}:{line}: more than {DEEPEST} levels")
    above.append(id(node))
    if isinstance(node, CommentedMap):
        for key in node:
            if not isinstance(key, str):
                raise InputError(f"{file}:{line}: the key {shown(key)} is no string")
        children = list(node.values())
    else:
        children = list(node)
    for child in children:
        _check(child, file, above)
    above.pop()


def plain(node: Any) -> Any:
    """Return a document as plain dicts and lists, with what is merged into it."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return node
