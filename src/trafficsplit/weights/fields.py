"""YAML read field by field, with the document, the path in it and the line for every refusal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from analysis.errors import InputError

F = TypeVar("F", bound="Fields")


class Fields:
    """A mapping of a manifest, from which fields are taken.

    `where` is the path in the document and `title` what that is, for messages. What is wrong raises
    `Error`.
    """

    Error: type[InputError] = InputError

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
        """The value of a field, `default` where it is missing. Raises LabError for another type."""
        self._left.pop(name, None)
        value = self._data.get(name)
        if value is None:
            return default
        # YAML's true is an int to Python, but not to Kubernetes.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.error(f"{value!r} is not what belongs here", name)
        return value

    def need(self, name: str, kind: type | tuple[type, ...] = str) -> Any:
        """The value of a field that must be there. Raises LabError."""
        value = self.take(name, kind)
        if value is None:
            raise self.error(f"{name} is missing")
        return value

    def fields(self, name: str) -> Self:
        """A mapping within this one; an empty one where it is missing. Raises LabError."""
        data = self.take(name, CommentedMap, CommentedMap())
        return self._inner(data, self._path(name), self._line_of(name))

    def each(self, name: str) -> Iterator[Self]:
        """The mappings of a list; nothing where it is missing. Raises LabError."""
        for index, item in enumerate(self.take(name, CommentedSeq, ())):
            path = f"{self._path(name)}[{index}]"
            if not isinstance(item, CommentedMap):
                raise self.error(f"[{index}]: {item!r} is not what belongs here", name)
            yield self._inner(item, path, self._line_of(name))

    def _inner(self, data: CommentedMap, where: str, line: int) -> Self:
        return type(self)(data, self._file, where, line, self.title)

    def strings(self, name: str) -> list[str]:
        """A list of strings; empty where it is missing. Raises LabError."""
        values = list(self.take(name, CommentedSeq, ()))
        for value in values:
            if not isinstance(value, str):
                raise self.error(f"{value!r} is not what belongs here", name)
        return [str(value) for value in values]

    def labels(self, name: str) -> dict[str, str]:
        """A mapping of strings to strings; empty where it is missing. Raises LabError."""
        data = self.take(name, CommentedMap, {})
        for key, value in data.items():
            if not isinstance(value, str):
                raise self.error(f"{key}: {value!r} is not a string", name)
        return {str(key): str(value) for key, value in data.items()}

    def only(self) -> tuple[str, str]:
        """The one field of a mapping that is a choice, with its string. Raises LabError."""
        if len(self._data) != 1:
            raise self.error("exactly one way to match belongs here")
        name = next(iter(self._data))
        return str(name), self.take(name, str, "")

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
        """Line and column, from 0, of a field's value; None where the field is missing."""
        return tuple(self._data.lc.value(name)) if name in self._data else None

    def names(self) -> list[str]:
        """The names of all fields."""
        return [str(name) for name in self._data]

    def error(self, message: str, name: str = "") -> InputError:
        """What to raise about a field, or about all of this mapping."""
        path = self._path(name) if name else self._where
        parts = [self._at(name), self.title, path, message]
        return self.Error(": ".join(part for part in parts if part))

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def _at(self, name: str) -> str:
        return f"{self._file}:{self._line_of(name) + 1}" if self._file else ""

    def _line_of(self, name: str) -> int:
        """The line of a field, from 0; that of the whole mapping where it is missing."""
        try:
            return int(self._data.lc.key(name)[0])
        except (KeyError, TypeError, AttributeError):
            return self._line


def document_of(data: Mapping[str, Any]) -> Fields:
    """What comes from an API and has neither a file nor lines, as fields."""
    return Fields(_commented(data), "")


def _commented(data: Any) -> Any:
    if isinstance(data, Mapping):
        return CommentedMap({key: _commented(value) for key, value in data.items()})
    if isinstance(data, list):
        return CommentedSeq([_commented(value) for value in data])
    return data


def documents(file: Path) -> list[Fields]:
    """The documents of a YAML file that are not empty. Raises InputError."""
    return documents_of(text_of(file), str(file))


def text_of(file: Path) -> str:
    """The text of a file, with its line ends as they are. Raises InputError."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"{file} cannot be read: {reason}") from None


def documents_of(text: str, file: str, fields: type[F] = Fields) -> list[F]:  # type: ignore[assignment]
    """The documents in a text that are not empty. Raises what `fields` raises."""
    refuse = fields.Error
    try:
        found = list(YAML(typ="rt").load_all(text))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise refuse(f"{file}:{line}: no YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise refuse(f"{file}: no YAML: {str(error).splitlines()[0]}") from None
    for document in found:
        if document is not None and not isinstance(document, CommentedMap):
            raise refuse(f"{file}: a document is no mapping: expected apiVersion, kind, metadata")
    return [fields(document, file) for document in found if document is not None]
