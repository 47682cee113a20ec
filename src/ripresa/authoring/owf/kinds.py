"""The kinds of tasks, as documents write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from ..document.source import Path, is_list, is_object
from .calls import call, run
from .composites import Do, For, Fork, Wait
from .durations import Length
from .jq import Plain, Template
from .leaves import Case, Emit, Raise, Set, Switch
from .listening import Correlation, Each, Filter, Listen, Strategy
from .reading import Place, Reader
from .scope import WORKING
from .tasks import Body, DataFlow
from .trying import Again, Catch, Try

EVENT: Final = ("id", "source", "type", "time", "subject", "datacontenttype", "dataschema", "data")
ERROR: Final = ("type", "status", "title", "detail", "instance")


def _set(place: Place) -> Body:
    data = place.data["set"]
    if not isinstance(data, str) and not is_object(data):
        place.reader.notes.add(place.at("set"), f"is {data!r}, must be an object or an expression")
    return Set(place.template(data, "set"))


def _do(place: Place) -> Body:
    return Do(place.block(place.data["do"], "do"))


def _raise(place: Place) -> Body:
    error: Any = place.object("raise", "error").get("error", {})
    return Raise(error_of(place.reader, error, place.at("raise", "error"), place.names), place.reference)


def error_of(reader: Reader, data: Any, path: Path, names: frozenset[str]) -> Template:
    """An error, or the name of one; `names` are the variables around it."""
    if isinstance(data, str):
        data, path = reader.reused("errors", data, path)
    return reader.template(reader.object(data, path, ERROR, "type", "status"), path, WORKING | names)


def _switch(place: Place) -> Body:
    reader, cases = place.reader, list[Case]()
    for name, data, path, _ in reader.named(place.data["switch"], place.at("switch"), ""):
        found = reader.object(data, path, ("when", "then"), "then")
        when = reader.whole(found.get("when"), (*path, "when"), WORKING | place.names)
        cases.append(Case(name, when, reader.directive(found.get("then", "continue"), (*path, "then"))))
    if sum(case.when is None for case in cases) > 1:
        reader.notes.add(place.at("switch"), "there are two cases without a condition")
    return Switch(tuple(cases))


def _emit(place: Place) -> Body:
    reader = place.reader
    event = reader.object(place.object("emit", "event").get("event", {}), place.at("emit", "event"), ("with",), "with")
    path = place.at("emit", "event", "with")
    found = reader.object(event.get("with", {}), path, None)
    reader.keys({name: None for name in found if name in EVENT}, path, EVENT, "source", "type")
    return Emit(place.template(found, "emit", "event", "with"), reader.world.performers["event"])


def _wait(place: Place) -> Body:
    return Wait(place.reader.length(place.data["wait"], place.at("wait"), WORKING | place.names))


def _for(place: Place) -> Body:
    reader = place.reader
    found = reader.object(place.data["for"], place.at("for"), ("each", "in", "at"), "in")
    each = reader.text(found.get("each", "item"), place.at("for", "each"))
    at = reader.text(found.get("at", "index"), place.at("for", "at"))
    names = (each, at)
    inside = WORKING | place.names | set(names)
    items = place.whole(found.get("in"), "for", "in") or Plain([])
    condition = reader.whole(place.data.get("while"), place.at("while"), inside)
    if "do" not in place.data:
        reader.notes.add(place.path, "lacks do")
    return For(each, at, items, condition, place.block(place.data.get("do", []), "do", more=names))


def _fork(place: Place) -> Body:
    reader = place.reader
    found = reader.object(place.data["fork"], place.at("fork"), ("branches", "compete"), "branches")
    branches = place.block(found.get("branches", []), "fork", "branches").tasks
    compete = found.get("compete", False)
    if not isinstance(compete, bool):
        reader.notes.add(place.at("fork", "compete"), f"is {compete!r}, must be true or false")
    return Fork(branches, compete is True)


def _try(place: Place) -> Body:
    reader = place.reader
    if "catch" not in place.data:
        reader.notes.add(place.path, "lacks catch")
    path = place.at("catch")
    known = ("errors", "as", "when", "exceptWhen", "retry", "do", "then")
    data = reader.object(place.data.get("catch", {}), path, known)
    name = reader.text(data.get("as", "error"), (*path, "as"))
    errors = reader.object(data.get("errors", {}), (*path, "errors"), ("with",))
    wanted = reader.object(errors.get("with", {}), (*path, "errors", "with"), ERROR)
    inside = WORKING | place.names | {name}
    catch = Catch(
        reader.template(wanted, (*path, "errors", "with"), inside),
        name,
        reader.whole(data.get("when"), (*path, "when"), inside),
        reader.whole(data.get("exceptWhen"), (*path, "exceptWhen"), inside),
        again_of(reader, data["retry"], (*path, "retry"), inside) if "retry" in data else None,
        place.block(data["do"], "catch", "do", more=(name,)) if "do" in data else None,
        reader.directive(data["then"], (*path, "then")) if "then" in data else None,
    )
    return Try(place.block(place.data["try"], "try"), catch)


def again_of(reader: Reader, data: Any, path: Path, names: frozenset[str]) -> Again:
    """A policy of retries, or the name of one; its expressions may look at `names`."""
    if isinstance(data, str):
        data, path = reader.reused("retries", data, path)
    found = reader.object(data, path, ("when", "exceptWhen", "delay", "backoff", "limit", "jitter"))
    limit = reader.object(found.get("limit", {}), (*path, "limit"), ("attempt", "duration"))
    attempt = reader.object(limit.get("attempt", {}), (*path, "limit", "attempt"), ("count", "duration"))
    backoff = reader.object(found.get("backoff", {}), (*path, "backoff"), ("constant", "exponential", "linear"))
    jitter = reader.object(found.get("jitter", {}), (*path, "jitter"), ("from", "to"))

    def length(within: Mapping[str, Any], name: str, *parts: str) -> Length:
        return reader.length(within[name], (*path, *parts, name), names) if name in within else 0

    low, high = length(jitter, "from", "jitter"), length(jitter, "to", "jitter")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        reader.notes.add((*path, "jitter"), "begins after its end")
    for name, terms in backoff.items():
        reader.keys(reader.object(terms, (*path, "backoff", name)), (*path, "backoff", name), ())
    if len(backoff) > 1:
        reader.notes.add((*path, "backoff"), "must have one of constant, exponential, linear")
    return Again(
        length(found, "delay"),
        next(iter(backoff), "constant"),
        low,
        high,
        _count(reader, attempt.get("count"), (*path, "limit", "attempt", "count"), names),
        length(attempt, "duration", "limit", "attempt"),
        length(limit, "duration", "limit"),
        reader.whole(found.get("when"), (*path, "when"), names),
        reader.whole(found.get("exceptWhen"), (*path, "exceptWhen"), names),
    )


def _count(reader: Reader, data: Any, path: Path, names: frozenset[str]) -> int | Template | None:
    """How often tasks are tried again: a number, or what gives one."""
    template = reader.template(data, path, names)
    if not isinstance(template, Plain):
        return template
    if data is not None and (type(data) is not int or data < 0):
        reader.notes.add(path, f"is {data!r}, must be a whole number from 0")
        return 0
    return None if data is None else int(data)


def _listen(place: Place) -> Body:
    reader = place.reader
    found = reader.object(place.data["listen"], place.at("listen"), ("to", "read"), "to")
    read = reader.choice(found.get("read", "data"), place.at("listen", "read"), ("data", "envelope", "raw"))
    strategy = strategy_of(place, found.get("to", {}), place.at("listen", "to"))
    return Listen(strategy, read, _each(place) if "foreach" in place.data else None)


def _each(place: Place) -> Each:
    reader, path = place.reader, place.at("foreach")
    data = reader.object(place.data["foreach"], path, ("item", "at", "do", "output", "export"))
    item = reader.text(data.get("item", "item"), (*path, "item"))
    names = (item, reader.text(data.get("at", "index"), (*path, "at")))
    block = place.block(data["do"], "foreach", "do", more=names) if "do" in data else None
    flow: DataFlow = reader.leaving(data, path, place.names | set(names))
    return Each(*names, block, flow)


def strategy_of(place: Place, data: Any, path: Path) -> Strategy:
    """Which events are waited for."""
    reader = place.reader
    found = reader.object(data, path, ("one", "any", "all", "until"))
    modes = [each for each in ("one", "any", "all") if each in found]
    if len(modes) != 1:
        reader.notes.add(path, "must have one, any or all")
        return Strategy("one", ())
    mode = modes[0]
    filters: Any = [found[mode]] if mode == "one" else found[mode]
    if not is_list(filters) or (mode == "all" and not filters):
        reader.notes.add((*path, mode), "must be a list of filters")
        filters = []
    places: list[Path] = [(*path, mode)] if mode == "one" else [(*path, mode, index) for index in range(len(filters))]
    until: Template | Strategy | None = None
    if "until" in found and mode != "any":
        reader.notes.add((*path, "until"), f"is for any, {mode} is over by itself", key=True)
    if is_object(found.get("until")):
        until = strategy_of(place, found["until"], (*path, "until"))
    elif "until" in found:
        until = reader.whole(found["until"], (*path, "until"), WORKING | place.names)
    return Strategy(mode, tuple(_filter(place, *each) for each in zip(filters, places, strict=True)), until)


def _filter(place: Place, data: Any, path: Path) -> Filter:
    reader, names = place.reader, WORKING | place.names
    found = reader.object(data, path, ("with", "correlate"), "with")
    wanted = reader.object(found.get("with", {}), (*path, "with"))
    attributes = {name: reader.template(value, (*path, "with", name), names) for name, value in wanted.items()}
    correlations: list[Correlation] = []
    for name, each in reader.object(found.get("correlate", {}), (*path, "correlate")).items():
        at = (*path, "correlate", name)
        parts = reader.object(each, at, ("from", "expect"), "from")
        source = reader.whole(parts.get("from"), (*at, "from"), names) or Plain(None)
        expected = reader.template(parts["expect"], (*at, "expect"), names) if "expect" in parts else None
        correlations.append(Correlation(name, source, expected))
    return Filter(attributes, tuple(correlations))


KINDS: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Place], Body]]]] = {
    "set": ((), _set),
    "switch": ((), _switch),
    "for": (("do", "while"), _for),
    "do": ((), _do),
    "fork": ((), _fork),
    "try": (("catch",), _try),
    "raise": ((), _raise),
    "emit": ((), _emit),
    "listen": (("foreach",), _listen),
    "wait": ((), _wait),
    "call": (("with",), call),
    "run": ((), run),
}
"""What kind a task is by its key, with the keys that it has beside, and what reads it."""
