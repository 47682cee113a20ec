"""What a document says about steps and about itself beside what they do: attempts, undo, hooks, limits, rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ...core.durations import seconds
from ...core.limits import Limits
from ...core.retry import Retry
from ..cache import Cache
from ..hooks import Hook
from ..pool import Pool
from ..rules import Rule
from ..state_type import StateType, state_type
from ..undo import Taken, undone_by
from .around import answering, asked
from .flow import Terms, as_flow, described, is_flow, is_step
from .near import meant, nearest
from .shapes import ATTEMPTS
from .source import is_object
from .state import declared_state

if TYPE_CHECKING:
    from .load import Config, Loader
    from .source import Path

T = TypeVar("T")

RULES = {
    "required_output": ("at",),
    "required_file": ("path",),
    "quality_check": ("check", "at_least"),
    "custom": ("check",),
}
"""The kinds of rules, with what each is about; `name` and `severity` may stand beside it."""


def dressed(loader: Loader, made: Any, item: Config) -> Any:
    """A link with the options that stand beside it."""
    given = [name for name in ATTEMPTS if name in item]
    if given and not is_step(made):
        for name in given:
            loader.notes.add(item.at(name), f"{name} is for steps, not for what is made of steps", key=True)
    elif given:
        made = loader.keyed(item.path, given, lambda: made.with_(**_attempts(loader, item))) or made
    made = _hooked(loader, _kept(loader, _answering(loader, made, item), item), item)
    made = _undoable(loader, made, item)
    return described(made, item.get("description")) if "description" in item else made


def _hooked(loader: Loader, made: Any, item: Config) -> Any:
    """A link with the hooks that stand beside it."""
    if "hooks" not in item:
        return made
    hooks, alone = _hooks(loader, item), is_object(item.get("hooks"))
    if is_step(made):
        return made.with_(hooks=hooks if alone else (*made.options.hooks, *hooks))
    if alone:
        loader.notes.add(item.at("hooks"), "only is for steps, not for what is made of steps", key=True)
    return made.with_hooks(*hooks) if hooks else made


def _answering(loader: Loader, made: Any, item: Config) -> Any:
    """A link with the updates and queries that stand beside it, if it can have some."""
    for key in ("updates", "queries"):
        if key in item and not is_flow(made):
            loader.notes.add(item.at(key), f"{key} is for what is made of steps, not for steps", key=True)
            return made
    return asked(loader, answering(loader, made, item), item)


def _undoable(loader: Loader, made: Any, item: Config) -> Any:
    """A link with what undoes it."""
    if "undo" not in item:
        return made
    before = len(loader.notes.problems)
    undo = loader.link(item.get("undo"), item.at("undo"))
    if len(loader.notes.problems) > before:
        return made
    undone = loader.tried(item.at("undo"), lambda: undone_by(made, undo))
    if undone is None:
        return made
    return as_flow(undone) if isinstance(undone, Taken) else undone


def _kept(loader: Loader, made: Any, item: Config) -> Any:
    """A link with the rules that stand beside it."""
    if "rules" not in item:
        return made
    rules = rules_in(loader, item)
    if is_step(made):
        loader.notes.add(item.at("rules"), "rules is for what is made of steps, not for steps", key=True)
        return made
    return loader.tried(item.at("rules"), lambda: made.with_rules(*rules)) or made if rules else made


def _attempts(loader: Loader, item: Config) -> dict[str, Any]:
    found = item.options("timeout", "effect", "executor", "concurrency")
    if "retry" in item:
        retry = item.get("retry")
        found["retry"] = _parts(loader, retry, RETRY, item.at("retry"), Retry) if is_object(retry) else retry
    if "cache" in item:
        found["cache"] = _cache(loader, item)
    if "pool" in item:
        found["pool"] = _pool(loader, item)
    return found


def retry_from(data: Any) -> Any:
    """A retry policy. Raises `InvalidConfig`."""
    return Retry(**_known(data, "retry", RETRY)) if is_object(data) else data


RETRY = ("attempts", "wait", "backoff", "max_wait", "jitter", "on", "never")
LIMITS = tuple(each.name for each in fields(Limits))
CACHE = ("ttl", "version", "key")


def _known(data: Any, what: str, keys: tuple[str, ...]) -> dict[str, Any]:
    from ..options import refuse

    unknown = [key for key in data if key not in keys]
    refuse(
        what,
        f"{what} has {', '.join(map(repr, unknown))}, may have {', '.join(keys)}" if unknown else None,
    )
    return dict(data)


def _parts(
    loader: Loader, data: Mapping[str, Any], keys: Collection[str], path: Path, make: Callable[..., T]
) -> T | None:
    """What is made of an object with these keys; None, and a note at each that is wrong, if it cannot be."""
    for key in data:
        if key not in keys:
            loader.notes.add((*path, key), f"is no key here; {meant(key, keys)}", "invalid_config", key=True)
    return loader.keyed(path, data.keys(), lambda: make(**{key: data[key] for key in data if key in keys}))


def _cache(loader: Loader, item: Config) -> Any:
    """How long results are kept."""
    data, path = item.get("cache"), item.at("cache")
    if not is_object(data):
        return data
    key = {"key": loader.function(str(data["key"]), (*path, "key"))} if "key" in data else {}
    return _parts(loader, {**data, **key}, CACHE, path, Cache)


def _pool(loader: Loader, item: Config) -> Any:
    """A pool: what a target leads to, or the name of one of the app's."""
    name = item.get("pool")
    if ":" not in name:
        return name
    found = loader.target(name, item.at("pool"))
    if found is not None and not isinstance(found, Pool):
        loader.notes.add(item.at("pool"), f"{name} is {found!r}, which is no pool", code="invalid_config")
        return None
    return cast("Any", found)


def _hooks(loader: Loader, item: Config) -> tuple[Hook, ...]:
    found: list[Hook] = []
    said, path = item.get("hooks", []), item.at("hooks")
    if is_object(said):
        said, path = said["only"], (*path, "only")
    for index, name in enumerate(said):
        hook = loader.target(name, (*path, index))
        if isinstance(hook, Hook):
            found.append(hook)
        elif hook is not None:
            loader.notes.add((*path, index), f"{name} is {hook!r}, which is no hook", code="invalid_config")
    return tuple(found)


# --- the whole document


def terms_of(loader: Loader, config: Config) -> Terms:
    """What a document says about itself."""
    timeout = config.get("timeout")
    if timeout is not None and seconds(timeout) == 0:
        loader.notes.add(config.at("timeout"), "is 0, must be a length of time above 0")
    given = loader.type(config.get("input"), config.at("input")) if "input" in config else Any
    limits = config.get("limits")
    return Terms(
        config.get("name", ""),
        config.get("description", ""),
        given,
        None if timeout is None else seconds(timeout),
        None if limits is None else _parts(loader, limits, LIMITS, config.at("limits"), Limits),
        _hooks(loader, config),
        tuple(rules_in(loader, config)),
    )


def state_of(loader: Loader, config: Config) -> StateType[Any] | None:
    """The typed state that a document names."""
    if "state" not in config:
        return None
    said, path = config.get("state"), config.at("state")
    kind = declared_state(loader, said, path) if is_object(said) else loader.type(said, path)
    if kind is None:
        return None
    if not isinstance(kind, type):
        loader.notes.add(config.at("state"), f"is {kind!r}, must be a class", code="invalid_config")
        return None
    return loader.tried(config.at("state"), lambda: state_type(kind, config.get("conflicts", "error")))


def with_state(loader: Loader, item: Config, make: Callable[[], Any]) -> Any:
    """What is made where a step declares a typed state of its own, which is seen below it instead of that around it."""
    kind = state_of(loader, item)
    if kind is None:
        return None
    own, around = (kind, item.get("conflicts", "error")), loader.state
    loader.state, loader.own_state = kind, own
    try:
        made = make()
    finally:
        taken, loader.state, loader.own_state = loader.own_state is not own, around, None
    if made is None or taken:
        return made
    if not is_flow(made):
        loader.notes.add(item.at("state"), "state is for what is made of steps, not for steps", key=True)
        return made
    return loader.tried(item.path, lambda: made.with_state(kind.kind, conflicts=own[1]))


def taken_state(loader: Loader) -> tuple[StateType[Any] | None, Any]:
    """The state that the step declares which is being made, and its conflicts: whoever takes it gives it its body."""
    found = loader.own_state or (None, "error")
    loader.own_state = None
    return found


def rules_in(loader: Loader, config: Config) -> list[Rule]:
    """The rules that a document or a step names."""
    found: list[Rule] = []
    for index, data in enumerate(config.get("rules", [])):
        rule = _rule(loader, data, (*config.at("rules"), index))
        if rule is not None:
            found.append(rule)
    return found


def _rule(loader: Loader, data: Any, path: Path) -> Rule | None:
    if isinstance(data, str):
        rule = loader.target(data, path)
        if rule is not None and not isinstance(rule, Rule):
            loader.notes.add(path, f"{data} is {rule!r}, which is no rule", code="invalid_config")
            return None
        return rule
    given = dict(data) if is_object(data) else {}
    kind = given.pop("rule", None)
    about = RULES.get(kind) if isinstance(kind, str) else None
    if about is None:
        near = nearest(kind, RULES) if isinstance(kind, str) else None
        hint = f"; did you mean {near}?" if near else ""
        message = f"is {data!r}, must be the target of a rule, or have rule: {', '.join(RULES)}{hint}"
        loader.notes.add(path, message)
        return None
    unknown = [key for key in given if key not in (*about, "name", "severity")]
    missing = [key for key in about if key not in given and key != "at"]
    if unknown or missing:
        loader.notes.add(path, f"{kind} takes {', '.join((*about, 'name', 'severity'))}")
        return None
    if "check" in given:
        given["check"] = loader.function(str(given["check"]), (*path, "check"))
        if given["check"] is None:
            return None
    if is_object(given.get("path")):
        given["path"] = loader.function(str(given["path"].get("function")), (*path, "path", "function"))
        if given["path"] is None:
            return None
    return loader.tried(path, lambda: _made(str(kind), given))


def _made(kind: str, given: dict[str, Any]) -> Rule:
    options = {key: given[key] for key in ("severity", "name") if key in given}
    match kind:
        case "required_output":
            return Rule.required_output(given.get("at", ""), **options)
        case "required_file":
            return Rule.required_file(given["path"], **options)
        case "quality_check":
            name = options.pop("name", "quality_check")
            return Rule.quality_check(name, given["check"], at_least=given["at_least"], **options)
        case _:
            return Rule.custom(options.pop("name", "custom"), given["check"], **options)
