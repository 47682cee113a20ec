"""`query`: what a run answers, from its journal, whether it is driven or not."""

from __future__ import annotations

import asyncio
from contextlib import redirect_stdout
from sys import stderr
from typing import Any, NamedTuple

from pydantic_core import from_json

from ..authoring.flow import Runnable
from ..errors import RipresaError
from ..runtime.querying import ask, names
from .exits import COMPLETED
from .inputs import read_input
from .places import Place
from .running import code_of, head_of
from .telling import print_json, print_value


class Asked(NamedTuple):
    """What a run is asked; without a name which queries there are, `about` is text as for an input."""

    run: str
    name: str = ""
    about: str = ""


def query(place: Place, asked: Asked, target: str, *, as_json: bool) -> int:
    """Print the answer to a query, or without a name those that there are.

    Raises `RipresaError(unknown_query, query_failed, no_state)`, `RunNotFound`, and what the code of the run raises.
    """
    run, name = asked.run, asked.name
    about = read_input(asked.about, "ABOUT") if asked.about else None
    head = asyncio.run(head_of(place, run))
    found: Runnable[..., Any] | RipresaError
    try:
        found = code_of(head, target)
    except RipresaError as error:  # some answers need no code
        found = error

    async def code() -> Runnable[..., Any]:
        if isinstance(found, RipresaError):
            raise found
        return found

    async def work() -> Any:
        async with place.app() as app:
            if not name:
                return await names(app.engine, run, code)
            return from_json(await ask(app.engine, run, code, name, about))

    with redirect_stdout(stderr):  # what user code prints goes beside the answer
        answer = asyncio.run(work())
    if as_json:
        print_json(answer)
    elif not name:
        print("\n".join(answer))
    else:
        print_value(answer)
    return COMPLETED
