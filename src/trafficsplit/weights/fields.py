"""YAML read field by field, with the document, the path in it and the line for every refusal."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import ConstructorError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.scalarint import ScalarInt

from trafficsplit.errors import InputError
from trafficsplit.text import one_line

DEEPEST = 100  # levels of a document
MOST_VALUES = 1_000_000  # of a document, each alias counted as what it stands for
PIPED = "trafficsplit … --manifest -"
HELM = f"helm template … | {PIPED}"
TEMPLATE = re.compile(r"\$\{?\w+")  # a variable that envsubst would replace
WITHIN_ITSELF = "an alias stands for something that contains it"
LONGEST_SHOWN = 60  # characters of a value in a message


class Fields:
    """A mapping of a manifest, from which fields are taken.

    `where` is the path in the document, as `spec.http[0]`, and `title` names the document, both for
    messages. A value of a wrong type raises InputError. A reader that has taken all the fields that
    it understands can refuse what is `left`.
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
            raise self.error(_why_not(value, kind), name)
        if _has_leading_zero(value):
            raise self.error(
                f"0{value} begins with a zero, which Kubernetes takes for octal: write it without",
                name,
            )
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
        return list(map(str, values))

    def labels(self, name: str) -> dict[str, str]:
        """Return a mapping of strings to strings; an empty one where it is missing."""
        data = self.take(name, CommentedMap, {})
        labels = {}
        for key, value in data.items():
            if not isinstance(value, str):
                raise self.error(f"{key}: {shown(value)} is not a string", name)
            labels[str(key)] = str(value)
        return labels

    def only(self) -> tuple[str, str]:
        """Return the name and the string of the only field of a mapping that is a choice."""
        if len(self._data) != 1:
            raise self.error("exactly one way to match belongs here")
        name = str(next(iter(self._data)))
        return name, self.text(name)

    def ignore(self, *names: str) -> None:
        """Take fields whose values make no difference."""
        for name in names:
            self._left.pop(name, None)

    @property
    def left(self) -> list[str]:
        """The names of the fields that have not been taken."""
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
        """Return line and column, from 0, of a field's value; None where the field is not here."""
        try:
            line, column = self._data.lc.value(name)
        except (KeyError, TypeError, AttributeError, ValueError):
            return None
        return int(line), int(column)

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return list(map(str, self._data))

    def error(self, message: str, name: str = "") -> InputError:
        """Return the exception to raise about a field, or about all of this mapping."""
        parts = [self._at(name), self.title, self._path(name), message]
        return InputError(": ".join(filter(None, parts)))

    def _path(self, name: str) -> str:
        return one_line(".".join(filter(None, (self._where, name))))

    def _at(self, name: str) -> str:
        return f"{self._file}:{self._line_of(name) + 1}" if self._file else ""

    def _line_of(self, name: str) -> int:
        """Return the line of a field, from 0; that of the whole mapping where it is missing."""
        try:
            return int(self._data.lc.key(name)[0])
        except (KeyError, TypeError, AttributeError):
            return self._line


def _why_not(value: object, kind: type | tuple[type, ...]) -> str:
    """Return why a value is not of the kind that belongs somewhere, and the way out."""
    text = str(value)
    if isinstance(value, str) and "{{" in text:
        return f"{shown(value)} is a Helm template's: {HELM}"
    if isinstance(value, str) and TEMPLATE.search(text):
        return f"{shown(value)} is a template's variable: envsubst < FILE | {PIPED}"
    if isinstance(value, str) and kind is int and text.strip().isdigit():
        return f"{shown(value)} is a string: a whole number belongs here, without quotes"
    return f"{shown(value)} is not what belongs here"


def shown(value: object) -> str:
    """Return a value as one line of a message, cut where it is long."""
    return one_line(repr(value), LONGEST_SHOWN)


def document_of(data: Mapping[str, Any]) -> Fields:
    """Return an object of an API, which has neither a file nor lines, as fields."""
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


def documents_of_files(files: Iterable[Path]) -> list[Fields]:
    """Return the documents of YAML files that are not empty. Raises InputError."""
    result = []
    for file in files:
        result += documents(file)
    return result


def documents_of_directory(files: Iterable[Path]) -> tuple[list[Fields], dict[str, str]]:
    """Return the documents of a directory's YAML files, and why a file was passed over, by name.

    A directory has files of other tools too: patches, templates, values. Raises InputError where
    all are passed over.
    """
    result: list[Fields] = []
    passed_over: dict[str, str] = {}
    for file in files:
        try:
            result += documents(file)
        except InputError as error:
            passed_over[str(file)] = str(error).removeprefix(str(file)).lstrip(":0123456789 ")
            last = error
    if passed_over and not result:
        raise last
    return result, passed_over


def text_of(file: Path) -> str:
    """Return the text of a file, with its line ends as they are. Raises InputError."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{file} cannot be read: {reason}") from None


def documents_of(text: str, file: str) -> list[Fields]:
    """Return the documents in a text that are not empty. Raises InputError."""
    result = []
    for document in _parse(text, file):
        if document is None:
            continue
        if not isinstance(document, CommentedMap):
            raise InputError(
                f"{file}: a document is no mapping (a JSON patch?): expected apiVersion, kind, …"
            )
        _Check(file).node(document, 1)
        result.append(Fields(document, file))
    return result


def _has_leading_zero(value: object) -> bool:
    """Return whether a number was written with zeros before it, which YAML 1.1 reads as octal."""
    if not isinstance(value, ScalarInt):
        return False
    return (getattr(value, "_width", None) or 0) > len(str(abs(value)))


def _parse(text: str, file: str) -> list[object]:
    """Return all documents in a text, None for an empty one. Raises InputError."""
    yaml = YAML(typ="rt")
    yaml.Constructor = _Constructor
    try:
        return list(yaml.load_all(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        why = f"no YAML: {error.problem or error.context}"
        if "{{" in text:
            why = f"this is a Helm template: {HELM}"
        raise InputError(f"{file}:{line}: {why}") from None
    except RecursionError:
        raise InputError(f"{file}: more than {DEEPEST} levels") from None
    except MemoryError:
        raise
    except Exception as error:  # odd texts raise whatever the parser runs into
        raise InputError(f"{file}: no YAML: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


class _Constructor(RoundTripConstructor):
    """Makes values of YAML's nodes; each error has the line of its node."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Return the value of a node. Raises ConstructorError, also for a node within itself."""
        if node in self.recursive_objects:  # the parser itself would put None here
            raise ConstructorError(None, None, WITHIN_ITSELF, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (MarkedYAMLError, RecursionError, MemoryError):
            raise
        except Exception as error:  # tags raise what their values raise: !!int x
            raise ConstructorError(None, None, _first_line(error), node.start_mark) from None


class _Check:
    """Refuses what YAML can hold and no manifest can: odd keys, aliases within themselves, .inf."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._above: list[int] = []
        self._values = 0

    def node(self, node: object, line: int) -> None:
        """Check the node in a line, and all that it contains. Raises InputError."""
        self._values += 1
        if self._values > MOST_VALUES:
            raise self._error(line, f"with its aliases it has more than {MOST_VALUES:,} values")
        if isinstance(node, float) and not math.isfinite(node):
            raise self._error(line, f"{node} is no number that a manifest can have")
        if isinstance(node, CommentedMap | CommentedSeq):
            self._container(node, (node.lc.line or 0) + 1)

    def _container(self, node: CommentedMap | CommentedSeq, line: int) -> None:
        if id(node) in self._above:
            raise self._error(line, WITHIN_ITSELF)
        if len(self._above) > DEEPEST:
            raise self._error(line, f"more than {DEEPEST} levels")
        self._above.append(id(node))
        for key, child in self._children(node, line):
            self.node(child, _line_of_child(node, key, line))
        self._above.pop()

    def _children(
        self, node: CommentedMap | CommentedSeq, line: int
    ) -> Iterable[tuple[str | int, object]]:
        """Return the values in a mapping or a list, by key or index."""
        if isinstance(node, CommentedSeq):
            return enumerate(node)
        for key in node:
            if not isinstance(key, str):
                raise self._error(line, _no_string(key))
        return list(node.items())

    def _error(self, line: int, message: str) -> InputError:
        return InputError(f"{self._file}:{line}: {message}")


def _no_string(key: object) -> str:
    """Return that a key is no string; one of braces is that of a template."""
    if isinstance(key, Mapping):
        return "a mapping as a key is no string: is this a template, as of Helm's? Render it first"
    return f"the key {shown(key)} is no string"


def _line_of_child(node: CommentedMap | CommentedSeq, key: str | int, line: int) -> int:
    """Return the line of the value at a key or an index; `line` where the value is merged in."""
    try:
        return int(node.lc.data[key][0]) + 1
    except (KeyError, TypeError, AttributeError):
        return line


def plain(node: object) -> object:
    """Return a document as plain dicts and lists; merged keys are among the others."""
    if isinstance(node, Mapping):
        return {key: plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [plain(value) for value in node]
    return node
