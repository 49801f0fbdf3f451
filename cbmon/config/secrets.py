"""Secrets that do not show: values, and files that are read when they are used.

Rule: nothing but :meth:`Secret.reveal` gives the text; a file is read again at each use, so that a
rotated credential needs no reload.
"""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Any, Final, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from cbmon.config.words import kind
from cbmon.errors import ConfigurationError

HIDDEN: Final = "<secret>"
MAX_SECRET_BYTES: Final = 64 * 1024


class SecretError(ConfigurationError):
    """A secret cannot be read now; the message names the file, never the content."""


class Secret:
    """A text that shows as ``<secret>`` wherever it is printed, logged or dumped."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself, for the one call that needs it."""
        return self._text

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __deepcopy__(self, memo: dict[int, object]) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _secret,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _hide, return_schema=core_schema.str_schema(), when_used="always"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "password", "writeOnly": True}


class SecretFile:
    """A file that holds a secret; ``path`` is absolute once it came out of a configuration."""

    __slots__ = ("path",)

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Secret:
        """What the file holds now, without one trailing line break.

        SecretError names the file when it is missing, unreadable, empty, larger than 64 KiB or
        not UTF-8 text.
        """
        try:
            with self.path.open("rb") as file:
                data = file.read(MAX_SECRET_BYTES + 1)
        except OSError as error:
            raise SecretError(f"cannot read secret file {self.path}: {error.strerror}") from error
        return Secret(_decoded(self.path, data))

    def warning(self) -> str | None:
        """What is odd about the file now: it is missing, or everybody may read it."""
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            return f"the secret file {self.path} is not there; it is read at each use"
        except OSError as error:
            return f"the secret file {self.path} cannot be looked at: {error.strerror}"
        if mode & 0o004:
            return f"the secret file {self.path} can be read by everybody; chmod o-r"
        return None

    def __repr__(self) -> str:
        return f"SecretFile({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretFile) and other.path == self.path

    def __hash__(self) -> int:
        return hash((SecretFile, self.path))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            _secret_file,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _path_of, info_arg=True, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "format": "path", "minLength": 1}


def secret_from(value: Secret | None, file: SecretFile | None) -> Secret | None:
    """The secret of a pair of options such as ``password`` and ``password_file``, or None.

    Call it at each use, not once: the file is read anew. SecretError when that fails.
    """
    return value if file is None else file.read()


def _decoded(path: Path, data: bytes) -> str:
    if len(data) > MAX_SECRET_BYTES:
        raise SecretError(f"secret file {path} is larger than 64 KiB")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise SecretError(f"secret file {path} is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or "\0" in text:
        raise SecretError(f"secret file {path} is empty or holds NUL bytes")
    return text


def _secret(value: object) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and value:
        return Secret(str(value))
    if value == "":
        raise PydanticCustomError("cbmon", "the secret is empty")
    if isinstance(value, int | float):
        raise PydanticCustomError("cbmon", "expected text, got a number or true/false; quote it")
    raise PydanticCustomError("cbmon", "expected text, got {got}", {"got": kind(value)})


def _secret_file(value: object, info: core_schema.ValidationInfo) -> SecretFile:
    if isinstance(value, SecretFile):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise PydanticCustomError("cbmon", "expected a path, got {got}", {"got": kind(value)})
    file = SecretFile(resolved(value, info))
    seen = (info.context or {}).get("secret_files")
    if seen is not None:
        seen.append(file)
    return file


def resolved(path: str, info: core_schema.ValidationInfo) -> Path:
    """The path, relative to the directory of the configuration file that names it."""
    directory = (info.context or {}).get("directory")
    return Path(path) if directory is None else Path(directory, path)


def _hide(_: Secret) -> str:
    return HIDDEN


def portable(path: Path, info: core_schema.SerializationInfo) -> str:
    """The path, relative to the directory in the context if it lies below it."""
    directory = (info.context or {}).get("directory")
    if directory is not None and path.is_relative_to(directory):
        return str(path.relative_to(directory))
    return str(path)


def _path_of(file: SecretFile, info: core_schema.SerializationInfo) -> str:
    return portable(file.path, info)
