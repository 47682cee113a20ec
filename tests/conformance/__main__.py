"""`make conformance`: the features and examples of the Open Workflow Specification, played against loopback servers.

They are read from `OWS_HOME`, without it from `../shared/ows` beside the project. Nothing is skipped: what is not
understood fails. Where there is nothing to read and nobody said where, that is told, and it is no failure.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable
from pathlib import Path

from ripresa import RipresaError, Surroundings

from . import examples
from .features import scenarios_of
from .hosts import hosts
from .playing import Unlike, play

BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "ows"


def main() -> int:
    """Play everything; 1 if something fails, 2 if there is nothing where it was said to be."""
    said = os.environ.get("OWS_HOME", "")
    home = Path(said) if said else BESIDE
    features, documents = sorted((home / "ctk").glob("*.feature")), sorted((home / "examples").glob("*.yaml"))
    if not features:
        print(f"conformance: there are no features in {'OWS_HOME' if said else '../shared/ows'}; none was played")
        return 2 if said else 0
    return asyncio.run(_played(features, documents))


async def _played(features: list[Path], documents: list[Path]) -> int:
    async with hosts() as (server, stand_ins):
        surroundings = Surroundings(stand_ins=stand_ins, allow=())
        scenarios = [each for path in features for each in scenarios_of(path)]
        played = [await _told(f"{each.file}: {each.name}", play(each, surroundings)) for each in scenarios]
        asked = lambda: [each.path for each in server.asked]  # noqa: E731
        run = [await _told(f"examples/{path.name}", examples.run(path, surroundings, asked)) for path in documents]
    print(f"conformance: {_counted('scenarios', played)}; {_counted('examples', run)}; none skipped")
    return 0 if all((*played, *run)) else 1


async def _told(name: str, playing: Awaitable[None]) -> bool:
    try:
        await playing
    except (Unlike, RipresaError, ValueError, TimeoutError) as error:
        print(f"FAILED  {name}: {error}")
        return False
    print(f"passed  {name}")
    return True


def _counted(what: str, results: list[bool]) -> str:
    return f"{sum(results)} of {len(results)} {what} passed"


if __name__ == "__main__":
    sys.exit(main())
