"""When a document says that its runs begin by themselves: what is wrong with that. Nothing begins by it here yet."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from ...errors import RipresaError

if TYPE_CHECKING:
    from .reading import Reader

_FIELDS: Final = "minute, hour, day of month, month and day of week"
_ANY: Final = datetime(2000, 1, 1)


def check_schedule(reader: Reader, said: Mapping[str, Any]) -> None:
    """Note what is wrong with a schedule that is not by events."""
    if "every" in said:
        before = len(reader.notes.problems)
        length = reader.duration(said["every"], ("schedule", "every"))
        if not length and len(reader.notes.problems) == before:
            reader.notes.add(("schedule", "every"), "must be longer than nothing")
    if "after" in said:
        reader.duration(said["after"], ("schedule", "after"))
    if "cron" in said:
        path = ("schedule", "cron")
        try:
            wrong = _bad_cron(said["cron"])
        except RipresaError as error:
            reader.notes.take(path, error)
            return
        if wrong:
            reader.notes.add(path, wrong)


def _bad_cron(text: object) -> str | None:
    """What is wrong with a cron expression, or None. Raises `RipresaError(extra_missing)`."""
    if not isinstance(text, str):
        return f"is {text!r}, must be a cron expression, such as '0 9 * * mon-fri'"
    try:
        library = import_module("cronsim")
    except ImportError as error:
        message = "cron expressions need the extra 'owf'"
        hint = "pip install 'ripresa[owf]'"
        raise RipresaError(message, code="extra_missing", op="document", hint=hint) from error
    try:
        library.CronSim(text, _ANY)
    except library.CronSimError as error:
        return f"is {text!r}, must be a cron expression of {_FIELDS}: {str(error).lower()}"
    return None
