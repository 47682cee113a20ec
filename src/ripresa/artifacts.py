"""Result files of runs and sessions, with their versions: listed, read whole or piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from .errors import RipresaError, StoreError
from .ports import ArtifactHead, Store
from .runtime.functions import moment


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version of a result file: by which run and step it was saved, its type, size in bytes and SHA-256 in hex."""

    name: str
    version: int
    run: str
    step: str
    media_type: str
    size: int
    digest: str
    at: datetime
    session: str = ""


class Artifacts:
    """The artifacts of a store: of a session, whose runs add versions to the same names, or those that a run saved."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, *, run: str = "", session: str = "") -> tuple[Artifact, ...]:
        """The newest version of each artifact of a session, or of those that a run saved, by name."""
        heads = await self._heads(run, session, "")
        return tuple(_artifact(head) for head in {head.name: head for head in heads}.values())

    async def versions(self, name: str, *, run: str = "", session: str = "") -> tuple[Artifact, ...]:
        """All versions of an artifact, oldest first."""
        return tuple(map(_artifact, await self._heads(run, session, name)))

    async def get(self, name: str, *, run: str = "", session: str = "", version: int | None = None) -> bytes:
        """The content of an artifact, of its newest version if none is named, whole in memory.

        Raises `RipresaError(artifact_not_found)`.
        """
        return b"".join(self._pieces(await self._head(run, session, name, version)))

    async def save(
        self, name: str, path: str | Path, *, run: str = "", session: str = "", version: int | None = None
    ) -> Artifact:
        """Write the content of an artifact to a file, piece by piece."""
        head = await self._head(run, session, name, version)
        with open(path, "wb") as file:  # noqa: ASYNC230 - the pieces come from a database on the same disk
            for piece in self._pieces(head):
                file.write(piece)
        return _artifact(head)

    def _pieces(self, head: ArtifactHead) -> Iterator[bytes]:
        whole = sha256()
        for digest in json.loads(head.content):
            piece = self._store.blob(digest)
            whole.update(piece)
            yield piece
        if whole.hexdigest() != head.digest:
            message = f"version {head.version} of {head.name!r} has another content than was saved"
            raise StoreError(message, code="store_corrupt", op="artifacts")

    async def _head(self, run: str, session: str, name: str, version: int | None) -> ArtifactHead:
        heads = await self._heads(run, session, name)
        found = [head for head in heads if version in (None, head.version)]
        if not found:
            wanted = "" if version is None else f"version {version} of "
            raise RipresaError(
                f"there is no {wanted}artifact {name!r} of {run or session!r}",
                code="artifact_not_found",
                op="artifacts",
                hint="ripresa artifacts lists those that there are",
            )
        return found[-1]

    async def _heads(self, run: str, session: str, name: str) -> Sequence[ArtifactHead]:
        if bool(run) == bool(session):
            raise RipresaError("give the id of a run or of a session", code="usage", op="artifacts")
        return await self._store.list_artifacts(f"session:{session}" if session else "", run, name)


def _artifact(head: ArtifactHead) -> Artifact:
    kind, _, id = head.scope.partition(":")
    at, session = moment(head.created_at), id if kind == "session" else ""
    return Artifact(head.name, head.version, head.run, head.path, head.media_type, head.size, head.digest, at, session)
