"""What a durable function exposes to queries: whether it fits, and what it is asked about."""

from __future__ import annotations

import inspect
from typing import Any

from ..authoring.encoding import decode
from ..errors import InvalidValue
from ..messages import Query, QueryWith


def bad_query(query: object, answer: object) -> str:
    """What is wrong with a query or what answers it; "" if nothing is."""
    if not isinstance(query, Query | QueryWith):
        return f"query is {query!r}, must be a Query or a QueryWith"
    name = str(query.name)
    if not callable(answer):
        return f"query {name!r} is answered by {answer!r}, must be a function"
    about = (None,) if isinstance(query, QueryWith) else ()
    try:
        inspect.signature(answer).bind(*about)
    except ValueError:  # of built-in code that says nothing of its parameters
        return ""
    except TypeError:
        takes = "what it is asked about, as its one argument" if about else "no argument"
        return f"what answers query {name!r} does not fit: it is given {takes}"
    return ""


def about_of(query: Query[Any] | QueryWith[Any, Any], text: bytes | None) -> tuple[Any, ...]:
    """What a query is asked about. Raises `InvalidValue`."""
    if isinstance(query, QueryWith) and text is not None:
        return (decode(text, query.type, where=query.name, code="invalid_input"),)
    if isinstance(query, QueryWith) or text is not None:
        takes = "about something" if text is None else "about nothing"
        raise InvalidValue(f"query {query.name!r} is asked {takes}", code="invalid_input", op="query", where=query.name)
    return ()
