"""The kinds of steps: from the config of each to the function that makes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import isclass
from typing import TYPE_CHECKING, Any, Final, cast

from ...messages import Signal
from ..choice import Cases, branch, choose
from ..flow import Flow, Runnable, as_links, build_cleanup, saga
from ..loops import fold, for_range, repeat
from ..patterns import Spreading, best_effort, delay, first_of, first_success, map_each, n_of, parallel
from ..patterns import fallback_on as fallback
from ..routing import router
from ..serving import wait_for_update
from ..speculation import speculate
from ..waits import approval, approved, wait_for
from . import graphs
from .around import updated
from .flow import as_whole, built_as, passing
from .settings import taken_state
from .source import is_object
from .streams import stream_of

if TYPE_CHECKING:
    from .load import Config, Loader

Make = Callable[["Loader", "Config", "str | None"], Any]
"""Makes a link of the config of a step; None, and a note, if it cannot. The name is the step's id, if it has one."""


def _named(name: str | None, **options: Any) -> dict[str, Any]:
    return {key: value for key, value in {**options, "name": name}.items() if value is not None}


def _call(loader: Loader, config: Config, name: str | None) -> Any:
    given, path = config.get("step"), config.at("step")
    link = loader.made_of(given, path, name) if is_object(given) else loader.callee(given, path)
    link = loader.renamed(link, name)
    return Spreading(link) if config.get("spread", False) else link


def _subworkflow(loader: Loader, config: Config, name: str | None) -> Any:
    target = config.get("workflow")
    found = loader.target(target, config.at("workflow"))
    if found is None:
        return None
    if not isinstance(found, Runnable):
        loader.notes.add(config.at("workflow"), f"{target} is {found!r}, which is no workflow", code="invalid_config")
        return None
    return loader.renamed(found, name)


def _pass(loader: Loader, config: Config, name: str | None) -> Any:
    return passing(name or "pass")


def _sequence(loader: Loader, config: Config, name: str | None) -> Any:
    shape = graphs.Shape(name or "sequence")
    shape.state, shape.conflicts = taken_state(loader)
    return loader.listed(graphs.items_of(config.get("steps"), config.at("steps")), shape, config)


def _graph(loader: Loader, config: Config, name: str | None) -> Any:
    shape = graphs.Shape(name or "graph", **config.options("concurrency", "keep_going"))
    if "input" in config:
        shape.given = loader.type(config.get("input"), config.at("input"))
    shape.state, shape.conflicts = taken_state(loader)
    return graphs.by_needs(loader, config, shape)


def _parallel(loader: Loader, config: Config, name: str | None) -> Any:
    links = loader.links(config.get("branches"), config.at("branches"))
    join = config.get("join", "all")
    options = config.options("concurrency", "on_error")
    if join != "all":
        for key in options:
            loader.notes.add(config.at(key), f"{key} goes with join: all", key=True)
        make: Any = {"first": first_of, "first_success": first_success}.get(join) or partial(n_of, join)
        return make(*links, **_named(name))
    if options.get("on_error") == "best_effort":
        return best_effort(*links, **_named(name, concurrency=options.get("concurrency")))
    return cast("Any", parallel)(*links, **_named(name, **options))


def _map(loader: Loader, config: Config, name: str | None) -> Any:
    link = loader.link(config.get("step"), config.at("step"))
    return map_each(link, **_named(name, **config.options("concurrency", "on_error")))


def _branch(loader: Loader, config: Config, name: str | None) -> Any:
    when = loader.predicates.condition(config.get("when"), config.at("when"))
    then = loader.link(config.get("then"), config.at("then"))
    otherwise = loader.link(config.get("otherwise"), config.at("otherwise")) if "otherwise" in config else passing()
    return branch(when, then, otherwise, **_named(name))


def _cases(loader: Loader, config: Config, name: str) -> Cases[Any, Any] | None:
    found: list[tuple[type, Any]] = []
    for index, data in enumerate(config.get("cases")):
        path = (*config.at("cases"), index)
        if not is_object(data) or set(data) != {"kind", "step"}:
            loader.notes.add(path, f"is {data!r}, must have kind and step")
            continue
        kind = loader.type(data["kind"], (*path, "kind"))
        if kind is not None and not isclass(kind):
            loader.notes.add((*path, "kind"), f"is {kind!r}, must be a class", code="invalid_config")
            kind = None
        if kind is not None:
            (link,) = as_links((loader.link(data["step"], (*path, "step")),), "case")
            found.append((kind, link))
    return Cases(tuple(found), name=name) if len(found) == len(config.get("cases")) else None


def _case(loader: Loader, config: Config, name: str | None) -> Any:
    return _cases(loader, config, name or "case")


def _choose(loader: Loader, config: Config, name: str | None) -> Any:
    select = loader.predicates.selector(config.get("select"), config.at("select"))
    links = loader.links(config.get("branches"), config.at("branches"))
    if select is None:
        return None
    return cast("Any", choose)(select, *links, **_named(name, **config.options("concurrency", "on_error")))


def _end(loader: Loader, config: Config, key: str) -> Any:
    return loader.predicates.condition(config.get(key), config.at(key)) if key in config else None


def _repeat(loader: Loader, config: Config, name: str | None) -> Any:
    link = loader.link(config.get("step"), config.at("step"))
    until, while_ = (_end(loader, config, key) for key in ("until", "while"))
    return cast("Any", repeat)(link, **_named(name, until=until, while_=while_, at_most=config.get("at_most")))


def _fold(loader: Loader, config: Config, name: str | None) -> Any:
    link = loader.link(config.get("step"), config.at("step"))
    options = _named(name, until=_end(loader, config, "until"), with_index=config.get("with_index"))
    return cast("Any", fold)(link, config.get("start"), **options)


def _range(loader: Loader, config: Config, name: str | None) -> Any:
    link = loader.link(config.get("step"), config.at("step"))
    numbers = (config.get("from", 0), config.get("to"), config.get("by", 1))
    return for_range(link, *numbers, **_named(name, until=_end(loader, config, "until")))


def _router(loader: Loader, config: Config, name: str | None) -> Any:
    until = loader.type(config.get("until"), config.at("until"))
    if ("branches" in config) == ("cases" in config):
        loader.notes.add(config.path, "a router has either branches or cases")
        return None
    parts: Any
    if "cases" in config:
        cases = _cases(loader, config, "case")
        parts = None if cases is None else [cases]
    else:
        parts = loader.links(config.get("branches"), config.at("branches"))
    if until is None or parts is None:
        return None
    made = router(until=until, at_most=config.get("at_most"), legal=config.get("legal"), **_named(name))
    return cast("Any", made)(*parts)


def _fallback(loader: Loader, config: Config, name: str | None) -> Any:
    links = loader.links(config.get("branches"), config.at("branches"))
    return fallback(tuple(links), tuple(config.get("on", ())), name or "fallback")


def _wrap(loader: Loader, config: Config, name: str | None) -> Any:
    """What stands in it, as one thing: the state that stands beside it is around it, and not its own."""
    own, loader.own_state = loader.own_state, None
    link = loader.link(config.get("step"), config.at("step"))
    loader.own_state = own
    return as_whole(link) if name is None else as_whole(link).named(name)


def _update(loader: Loader, config: Config, name: str | None) -> Any:
    update, link = updated(loader, config)
    return None if update is None else wait_for_update(update, link, **_named(name, timeout=config.get("timeout")))


def _saga(loader: Loader, config: Config, name: str | None) -> Any:
    return saga(loader.link(config.get("step"), config.at("step")), **_named(name))


def _cleanup(loader: Loader, config: Config, name: str | None) -> Any:
    body = loader.link(config.get("step"), config.at("step"))
    handlers = as_links(tuple(loader.links(config.get("handlers"), config.at("handlers"))), "cleanup")
    build = partial(build_cleanup, handlers, body.name, partial(built_as, body))
    return Flow[Any, Any](build, name=body.name if name is None else name)


def _speculate(loader: Loader, config: Config, name: str | None) -> Any:
    link = loader.link(config.get("step"), config.at("step"))
    return speculate(link, after=config.get("after"), **_named(name, copies=config.get("copies")))


def _delay(loader: Loader, config: Config, name: str | None) -> Any:
    return delay(config.get("length"), **_named(name))


def _wait(loader: Loader, config: Config, name: str | None) -> Any:
    kind = loader.type(config.get("value"), config.at("value")) if "value" in config else Any
    signal: Any = Signal(config.get("signal"), kind)
    return wait_for(signal, **_named(name, timeout=config.get("timeout")))


_PEOPLE: Final = ("quorum", "assignees", "remind", "escalate", "escalate_to", "timeout", "expiry")


def _approval(loader: Loader, config: Config, name: str | None) -> Any:
    form = loader.type(config.get("form"), config.at("form")) if "form" in config else None
    return cast("Any", approval)(config.get("question"), **_named(name, form=form, **config.options(*_PEOPLE)))


def _approved(loader: Loader, config: Config, name: str | None) -> Any:
    arms = [loader.link(config.get(key), config.at(key)) for key in ("then", "otherwise")]
    return cast("Any", approved)(config.get("question"), *arms, **_named(name, **config.options(*_PEOPLE)))


MAKERS: Final[dict[str, Make]] = {
    "call": _call,
    "pass": _pass,
    "sequence": _sequence,
    "graph": _graph,
    "parallel": _parallel,
    "map": _map,
    "branch": _branch,
    "case": _case,
    "choose": _choose,
    "repeat": _repeat,
    "fold": _fold,
    "range": _range,
    "router": _router,
    "fallback": _fallback,
    "saga": _saga,
    "wrap": _wrap,
    "cleanup": _cleanup,
    "speculate": _speculate,
    "delay": _delay,
    "wait": _wait,
    "update": _update,
    "approval": _approval,
    "approved": _approved,
    "subworkflow": _subworkflow,
    "stream": stream_of,
}
"""Those that stand anywhere; `set` and `first` are for graphs."""
