"""Files that a call sends: what they hold comes with the request, or from the folder that the step is allowed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..errors import InvalidValue
from .places import inside
from .secret import is_line


@dataclass(frozen=True, slots=True)
class Upload:
    """A file in a form: its `content` (text, or base64 of what is none), or the file at `path`.

    `path` is relative to the `folder` of the step, and stays within it. `name` is what the service is told that the
    file is called; without one that of the path, or of the field.
    """

    field: str
    content: str = ""
    is_base64: bool = False
    path: str = ""
    name: str = ""
    media_type: str = ""

    @staticmethod
    def of(field: str, content: bytes, *, name: str = "", media_type: str = "") -> Upload:
        """A file of these bytes."""
        return Upload(field, base64.b64encode(content).decode(), is_base64=True, name=name, media_type=media_type)


def opened(
    uploads: Iterable[Upload], folder: str, stack: ExitStack
) -> list[tuple[str, tuple[str, IO[bytes] | bytes, str]]]:
    """The files as the client takes them; those that are open are closed with the stack.

    Raises `InvalidValue(invalid_input)`, `StepError(outside_workspace)`.
    """
    return [(each.field, (_name(each), _content(each, folder, stack), _media(each))) for each in uploads]


def _name(upload: Upload) -> str:
    return upload.name or Path(upload.path).name or upload.field


def _media(upload: Upload) -> str:
    if not is_line(upload.media_type):
        raise InvalidValue(f"the type {upload.media_type!r} is no line of plain ASCII", op="http", where=upload.field)
    return upload.media_type or "application/octet-stream"


def _content(upload: Upload, folder: str, stack: ExitStack) -> IO[bytes] | bytes:
    if not upload.path:
        return _decoded(upload) if upload.is_base64 else upload.content.encode()
    if upload.content:
        raise InvalidValue("a file has either content or a path", op="http", where=upload.field)
    if not folder:
        raise InvalidValue("this step sends no files of a path: it has no folder", op="http", where=upload.field)
    place = inside(Path(folder), upload.path)
    if not place.is_file():
        raise InvalidValue(f"there is no file {upload.path!r} in the folder", op="http", where=upload.field)
    return stack.enter_context(place.open("rb"))


def _decoded(upload: Upload) -> bytes:
    try:
        return base64.b64decode(upload.content, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidValue("the content is no base64", op="http", where=upload.field) from None
