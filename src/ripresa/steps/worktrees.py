"""A folder for an agent to work in: a git worktree of its own, whose changes can be told as a diff."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import StepError
from .process import Bounds, Ended, Program, run_program, usual_environment

MOST: Final = 64 * 1024 * 1024
"""Bytes of a list of files."""

_SAFE: Final = ("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false")
"""Nothing that the repository names is run."""


async def _git(folder: Path, *args: str, most: int = MOST, of: tuple[str, ...] = ()) -> bytes:
    env = {**usual_environment(), "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    program = Program(("git", *_SAFE, *of, *args), folder, env)
    ended: Ended = await run_program(program, b"", Bounds(most))
    if ended.status != 0:
        said = ended.errors.decode("utf-8", "replace").strip()[-2000:]
        raise StepError(f"git {args[0]} in {folder.name!r}: {said}", code="process_failed", retryable=False)
    return ended.output


async def commit_of(repository: Path, name: str) -> str:
    """The commit that a name stands for. Raises `StepError(process_failed)` for none, or where there is no repository.

    A name that git could take for an option is none.
    """
    if not repository.is_dir():  # noqa: ASYNC240 - one look
        message = f"there is no folder {repository.name!r}"
        raise StepError(message, code="outside_workspace", retryable=False, hint="name a git repository")
    try:
        found = await _git(repository, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}")
    except StepError as error:
        error.hint = await _instead(repository, name)
        raise
    return found.decode().strip()


async def _instead(repository: Path, name: str) -> str:
    """What to do where a commit was not found."""
    try:
        await _git(repository, "rev-parse", "--git-dir")
    except StepError:
        return "run it where a git repository is, name one as workspace, or let the agent work in_place=True"
    return f"there is no commit {name!r} here: make a first one, or name another by at"


def _known(git: Path, place: Path) -> Path | None:
    """Where a repository, whose own folder is `git`, keeps what it knows of a checkout."""
    for each in git.glob("worktrees/*"):
        with suppress(OSError):
            if (each / (each / "gitdir").read_text(encoding="utf-8").strip()).parent.resolve() == place.resolve():
                return each
    return None


@dataclass(frozen=True, slots=True)
class Worktree:
    """A checkout of one commit of a repository at a place of its own.

    What stands in the place is the agent's to write, its `.git` too: it is never asked which repository it is of, or a
    configuration put there would have its commands run by us, outside of whatever the agent is confined to.
    """

    repository: Path
    place: Path
    base: str

    async def make(self) -> None:
        """Check it out, unless an earlier attempt has; what that left in it stays."""
        if (self.place / ".git").exists():
            if not await self._is_half_made():
                return
            await _git(self.repository, "worktree", "remove", "--force", "--force", str(self.place))
        self.place.parent.mkdir(parents=True, exist_ok=True)
        await _git(self.repository, "worktree", "prune")
        await _git(self.repository, "worktree", "add", "--detach", "--force", str(self.place), self.base)

    async def _is_half_made(self) -> bool:
        """Whether an earlier attempt ended while it was checked out: git keeps it locked until it has all its files."""
        folder = await self._folder()
        return folder is not None and (folder / "locked").is_file()

    async def _folder(self) -> Path | None:
        """Where the repository keeps what it knows of this checkout."""
        said = await _git(self.repository, "rev-parse", "--path-format=absolute", "--git-common-dir")
        return _known(Path(said.decode().strip()), self.place)

    async def _here(self, *args: str, most: int = MOST) -> bytes:
        folder = await self._folder()
        if folder is None:
            message = f"{self.place.name!r} is no worktree of {self.repository.name!r} any longer"
            raise StepError(message, code="outside_workspace", retryable=False)
        return await _git(self.place, *args, most=most, of=(f"--git-dir={folder}", f"--work-tree={self.place}"))

    async def changes(self, most: int) -> tuple[str, list[str]]:
        """What differs from its commit, committed or not, as a diff that git can apply, and the names of the files.

        Files that the repository ignores are not among them.
        """
        await self._here("add", "--all")
        names = await self._here("diff", "--cached", "--name-only", "-z", self.base)
        diff = await self._here("diff", "--cached", "--binary", "--no-ext-diff", "--no-textconv", self.base, most=most)
        files = [each.decode("utf-8", "replace") for each in names.split(b"\0") if each]
        return diff.decode("utf-8", "surrogateescape").encode("utf-8", "replace").decode(), files

    async def remove(self) -> None:
        """Take it away."""
        shutil.rmtree(self.place, ignore_errors=True)
        await _git(self.repository, "worktree", "prune")
