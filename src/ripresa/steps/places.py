"""Keeps paths that come from data within the folder that they are for."""

from __future__ import annotations

from pathlib import Path

from ..errors import StepError


def inside(root: Path, relative: str) -> Path:
    """The place that a relative path names within `root`, symbolic links followed.

    Raises `StepError(outside_workspace)` for one that leads out of it, also by a link.
    """
    home = root.resolve()
    if "\0" in relative:
        raise _outside(relative)
    place = (home / relative).resolve()
    if Path(relative).is_absolute() or not place.is_relative_to(home):
        raise _outside(relative)
    return place


def folder_inside(root: Path, relative: str) -> Path:
    """The same for a folder that must be there. Raises `StepError(outside_workspace)` also where there is none."""
    place = inside(root, relative)
    if not place.is_dir():
        named = f"{relative!r} in {root}" if relative and root.is_dir() else str(root)
        raise StepError(f"there is no folder {named}", code="outside_workspace", retryable=False)
    return place


def _outside(relative: str) -> StepError:
    message = f"{relative!r} does not stay inside its folder"
    return StepError(message, code="outside_workspace", retryable=False, hint="give a path relative to it, without ..")
