"""What stands in `use` and is used by no task: it is read as well, so that what is wrong with it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalogs import catalog_of
from .extensions import extensions
from .kinds import again_of, error_of
from .proof import authentication
from .reading import Place
from .tasks import Body, Task

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from .reading import Reader


class _Any(frozenset[str]):
    """The names of all variables: nobody knows which there will be where something is used."""

    def __contains__(self, name: object) -> bool:
        return True

    def __or__(self, other: AbstractSet[object]) -> _Any:
        return self

    __ror__ = __or__


def check_unused(reader: Reader) -> None:
    """Note what is wrong with parts of `use` that no task refers to."""
    use, anything = reader.use, _Any()
    for name in reader.unused("functions"):
        reader.function(name, f"/use/functions/{name}", ("use", "functions", name))
    for name in reader.unused("errors"):
        error_of(reader, use["errors"][name], ("use", "errors", name), anything)
    for name in reader.unused("retries"):
        again_of(reader, use["retries"][name], ("use", "retries", name), anything)
    for name in reader.unused("timeouts"):
        reader.timeout(use["timeouts"][name], ("use", "timeouts", name), anything)
    for name in reader.unused("authentications"):
        authentication(reader, use["authentications"][name], ("use", "authentications", name), anything)
    for name, data in reader.object(use.get("catalogs", {}), ("use", "catalogs")).items():
        path = ("use", "catalogs", name)
        catalog_of(Place(reader, data, path, "", anything), data, path)
    for extension in extensions(reader):
        extension.around(Task("-", "", {}, reader.document, Body()))
