"""What a document may say: the keys of each kind of step and what may stand there, as one table.

The reader checks by it, and the published JSON Schema is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ...core.durations import seconds
from ...errors import InvalidConfig


@dataclass(frozen=True, slots=True)
class Key:
    """What may stand under a key: the sort of it (see `SORTS`), for `choice` which words, and what it is for."""

    sort: str
    about: str
    required: bool = False
    choices: tuple[str, ...] = ()


SORTS: Final = {
    "step": "a step, a list of steps, or the target of one",
    "steps": "a list of steps",
    "graph": "a list of steps",
    "cases": "a list of objects with kind and step",
    "stages": "a list of objects such as {map: target} or {batch: 100}",
    "condition": "a ${{ expression }}, a condition as an object, {function: package.module:name}, true or false",
    "selector": "a ${{ expression }} or {function: package.module:name} that gives names",
    "text": "a text",
    "type": "a type: string, integer, list[string], package.module:Class",
    "target": "a target: package.module:name or a registered name",
    "callee": "a target, a registered name, or {type: ..., config: ...} of a type that makes a step of its config",
    "count": "a whole number from 1",
    "integer": "a whole number",
    "flag": "true or false",
    "length": 'a length of time: 30, "5 minutes"',
    "names": "a list of texts",
    "targets": "a list of targets",
    "hooks": "a list of targets, or {only: a list of targets} in the place of those that a step has already",
    "functions": "an object of targets of functions by name",
    "updates": "a list of objects with update, value, answer, step",
    "queries": "a list of objects with query, about, answer, function",
    "object": "an object",
    "table": "an object of lists of names",
    "join": "all, first, first_success, or how many must succeed",
    "choice": "one of the words",
    "any": "any value",
    "retry": "a number of attempts, or an object of attempts, wait, backoff, max_wait, jitter, on, never",
    "cache": "true, false, how long, or an object of ttl, version, key",
    "rules": "a list of rules",
    "plain": "a text, which may be empty",
    "servers": "an object of MCP servers by name: objects with command or url",
    "knowledge": "an object of knowledge by name: objects with path and size, or vectors",
    "state": "the target of a class, or an object of fields: types, or objects of type, start, by, conflicts",
}
"""Every sort of thing that may stand under a key, in words."""

FAILING: Final = ("fail_fast", "fail_slow", "best_effort")
_UPDATE: Final = {
    "update": Key("text", "the name of the update", required=True),
    "value": Key("type", "the type of its value", required=True),
    "answer": Key("type", "the type of the answer", required=True),
    "step": Key("step", "what makes the answer of the value", required=True),
}
_MOST: Final = Key("count", "at most so many at a time")
_LINK: Final = Key("step", "what is run", required=True)
_PEOPLE: Final = {
    "form": Key("type", "what people fill in"),
    "quorum": Key("count", "how many must grant it"),
    "assignees": Key("names", "who may answer: people, and roles as role:NAME"),
    "remind": Key("length", "how often those who are asked are reminded"),
    "escalate": Key("length", "after how long others may answer too"),
    "escalate_to": Key("names", "who those others are"),
    "timeout": Key("length", "how long an answer may take"),
    "expiry": Key("choice", "what it means that nobody answered in time", choices=("fail", "reject", "approve")),
}

SKIPPING: Final = ("fail", "skip")
_ROOM: Final = {
    "buffer": Key("count", "how many items wait before a stage"),
    "overflow": Key(
        "choice", "what happens to more of them", choices=("block", "drop_oldest", "drop_newest", "reject")
    ),
}
_FAILS: Final = Key("choice", "what a failing item means", choices=SKIPPING)

STAGES: Final[Mapping[str, Mapping[str, Key]]] = {
    "map": {
        "map": Key("step", "a function, step or flow that makes something of each item", required=True),
        "concurrency": _MOST,
        "on_error": _FAILS,
        **_ROOM,
    },
    "filter": {
        "filter": Key("target", "a function or step that says yes or no", required=True),
        "on_error": _FAILS,
        **_ROOM,
    },
    "flat_map": {
        "flat_map": Key("target", "a function or step that gives several", required=True),
        "on_error": _FAILS,
        **_ROOM,
    },
    "batch": {
        "batch": Key("count", "so many items as a list", required=True),
        "within": Key("length", "how long one is open"),
        **_ROOM,
    },
    "window": {
        "window": Key("count", "the last so many items", required=True),
        "every": Key("count", "after how many more"),
        **_ROOM,
    },
    "time_window": {
        "time_window": Key("length", "the items of so long a time", required=True),
        "at": Key("target", "a function that gives the time of an item", required=True),
        "every": Key("length", "how often one begins"),
        "lateness": Key("length", "how long one is open after its end"),
        "late": Key("choice", "what a late item means", choices=SKIPPING),
        **_ROOM,
    },
}
"""The stages of a stream, by the key that says which it is."""

KINDS: Final[Mapping[str, Mapping[str, Key]]] = {
    "call": {
        "step": Key("callee", "the step, flow or workflow, a function of your own, or what makes one", required=True),
        "arguments": Key("object", "named arguments, with expressions"),
        "spread": Key("flag", "give the items of a list as the first arguments"),
    },
    "pass": {},
    "sequence": {"steps": Key("steps", "one after another, each given what the one before returned", required=True)},
    "graph": {
        "input": Key("type", "the type of what it is given"),
        "steps": Key("graph", "each begins when those it needs have ended", required=True),
        "returns": Key("any", "what it returns, with expressions"),
        "concurrency": _MOST,
        "keep_going": Key("flag", "a failure stops only what depends on it"),
    },
    "parallel": {
        "branches": Key("steps", "side by side, all given the same", required=True),
        "join": Key("join", "when there is enough"),
        "concurrency": _MOST,
        "on_error": Key("choice", "what a failing branch means", choices=FAILING),
    },
    "map": {
        "step": Key("step", "what is run for every item of a list", required=True),
        "concurrency": _MOST,
        "on_error": Key("choice", "what a failing item means", choices=FAILING),
    },
    "branch": {
        "when": Key("condition", "what decides", required=True),
        "then": Key("step", "what is run if it holds", required=True),
        "otherwise": Key("step", "what is run if it does not; without it the value is passed on"),
    },
    "case": {"cases": Key("cases", "what is run for values of which class", required=True)},
    "choose": {
        "select": Key("selector", "what names those that run", required=True),
        "branches": Key("steps", "those it may name", required=True),
        "concurrency": _MOST,
        "on_error": Key("choice", "what a failing one means", choices=FAILING[:2]),
    },
    "repeat": {
        "step": _LINK,
        "until": Key("condition", "asked after each time; ends the loop when it holds"),
        "while": Key("condition", "asked before each time; ends the loop when it does not hold"),
        "at_most": Key("count", "how many times at most", required=True),
    },
    "fold": {
        "step": Key("step", "given the accumulator and an item", required=True),
        "start": Key("any", "the first accumulator"),
        "with_index": Key("flag", "give the index as a third argument"),
        "until": Key("condition", "asked about each accumulator; ends the loop when it holds"),
    },
    "range": {
        "step": Key("step", "given the accumulator and a number", required=True),
        "from": Key("integer", "the first number, 0 without a word"),
        "to": Key("integer", "the number before which it ends", required=True),
        "by": Key("integer", "from one number to the next, 1 without a word"),
        "until": Key("condition", "asked about each accumulator; ends the loop when it holds"),
    },
    "router": {
        "until": Key("type", "the type of what ends it", required=True),
        "at_most": Key("count", "how many may run, one after another", required=True),
        "branches": Key("steps", "the first begins; each returns the result or a handoff"),
        "cases": Key("cases", "the type of a result picks the next"),
        "legal": Key("table", "which may follow which"),
    },
    "fallback": {
        "branches": Key("steps", "the next is tried when the one before failed", required=True),
        "on": Key("names", "the names of exceptions that count; any without a word"),
    },
    "wrap": {"step": Key("step", "what stands in what stands beside this: rules in a state, for one", required=True)},
    "saga": {"step": Key("step", "undone, last first, if it fails", required=True)},
    "cleanup": {
        "step": _LINK,
        "handlers": Key("steps", "run, last first, if it fails or is cancelled", required=True),
    },
    "speculate": {
        "step": _LINK,
        "after": Key("length", "after how long it is begun again", required=True),
        "copies": Key("count", "how many may run at a time"),
    },
    "delay": {"length": Key("length", "how long to wait, at least", required=True)},
    "wait": {
        "signal": Key("text", "the name of the signal", required=True),
        "value": Key("type", "the type of its value"),
        "timeout": Key("length", "how long it may take to come"),
    },
    "update": {**_UPDATE, "timeout": Key("length", "how long it may take to come")},
    "approval": {"question": Key("text", "what people are asked", required=True), **_PEOPLE},
    "approved": {
        "question": Key("text", "what people are asked", required=True),
        "then": Key("step", "what is run if they grant it", required=True),
        "otherwise": Key("step", "what is run if they do not", required=True),
        **{name: key for name, key in _PEOPLE.items() if name != "form"},
    },
    "subworkflow": {"workflow": Key("target", "a durable function, or the file of a document", required=True)},
    "stream": {
        "source": Key("target", "the function that gives items", required=True),
        "stages": Key("stages", "what is done to each item, one after another"),
        "into": Key("step", "a function, step or flow that takes each item"),
        "fold": Key("target", "a function that puts each item into a result"),
        "start": Key("any", "the first result of a fold"),
        "every": Key("count", "after how many items it is recorded how far it is"),
        "durable": Key("flag", "whether it goes on in the middle"),
        "on_error": Key("choice", "what a failing item means for the sink", choices=SKIPPING),
        "dead_letters": Key("step", "what is given the items that were skipped"),
        "hooks": Key("functions", "functions that are told what it does: start, item, backpressure, end, error"),
        "retry": Key("retry", "how often the stream goes on by itself"),
        **_ROOM,
        "on_restart": Key("choice", "how a source without positions goes on", choices=("fail", "skip", "live")),
        "at_most": Key("count", "the number of items after which it ends"),
        "within": Key("length", "how long it may take items"),
    },
    "set": {
        "field": Key("text", "a field of the state", required=True),
        "value": Key("any", "what is written, with expressions"),
        "by": Key("text", "the reducer that it is written by"),
    },
    "first": {"of": Key("names", "the result of the first of these that was not skipped", required=True)},
}
"""The kinds of steps, with what their `config` may say. `set` and `first` stand in graphs only."""

IN_GRAPHS: Final = ("set", "first")

STEP: Final[Mapping[str, Key]] = {
    "id": Key("text", "its name: in paths, and for needs and expressions"),
    "type": Key("text", "the kind of step, or the name of a registered type", required=True),
    "description": Key("text", "for people"),
    "config": Key("object", "what the type needs"),
    "with": Key("any", "what it is given, with expressions, instead of what the one before returned"),
    "needs": Key("names", "the steps that it waits for"),
    "when": Key("condition", "it is run only if this holds"),
    "unless": Key("condition", "it is not run if this holds"),
    "retry": Key("retry", "how often it is tried again, and when"),
    "timeout": Key("length", "how long one attempt may take"),
    "effect": Key(
        "choice",
        "what it does to the world",
        choices=("pure", "read", "idempotent", "reversible", "irreversible"),
    ),
    "executor": Key("text", "auto, process, or the name of an executor of the app"),
    "concurrency": _MOST,
    "cache": Key("cache", "keep results for all runs"),
    "pool": Key("target", "the pool of which each attempt holds a member"),
    "hooks": Key("hooks", "hooks that stand at it"),
    "updates": Key("updates", "updates that it answers as long as it goes on, if it is made of steps"),
    "queries": Key("queries", "queries that are answered by functions, if it is made of steps"),
    "undo": Key("step", "what undoes it"),
    "rules": Key("rules", "what its result must keep, if it is made of steps"),
    "state": Key("state", "a typed state of its own, if it is made of steps: the target of a class, or its fields"),
    "conflicts": Key("choice", "what replacing one field side by side means", choices=("error", "last_write")),
}
"""What every step may say."""

ATTEMPTS: Final = ("retry", "timeout", "effect", "executor", "concurrency", "cache", "pool")
"""Of these, what is about attempts: for steps, not for what is made of steps."""

_REDUCERS: Final = ("append", "extend", "add", "union", "merge", "min", "max")

ROOT: Final[Mapping[str, Key]] = {
    "id": Key("text", "the name of the workflow, by which its runs are found", required=True),
    "name": Key("text", "a title for people"),
    "version": Key("text", "what unfinished runs are recognised by"),
    "description": Key("text", "for people"),
    "types": Key("object", "names for step types: targets by name"),
    "servers": Key("servers", "MCP servers by name, whose tools its steps may use"),
    "knowledge": Key("knowledge", "passages that are found by meaning, by name: for its steps, and as tools"),
    "input": Key("type", "the type of its input"),
    "steps": Key("steps", "what it does: one after another, or by needs"),
    "type": Key("text", "the kind of step that the whole is, instead of steps"),
    "config": Key("object", "what that type needs"),
    "returns": Key("any", "what it returns, with expressions"),
    "state": Key("state", "its typed state: the target of a class, or its fields"),
    "conflicts": Key("choice", "what replacing one field side by side means", choices=("error", "last_write")),
    "concurrency": _MOST,
    "keep_going": Key("flag", "a failure stops only what depends on it"),
    "timeout": Key("length", "how long a run may take"),
    "limits": Key("object", "what a run may use: steps, tokens, money, ..."),
    "hooks": Key("targets", "hooks that stand at everything in it"),
    "rules": Key("rules", "what its result must keep"),
    "updates": Key("updates", "updates that its runs answer"),
    "queries": Key("queries", "queries that its runs answer by functions"),
}
"""What the document itself may say."""


SERVER: Final[Mapping[str, Key]] = {
    "command": Key("names", "the program and its arguments, which speaks by its standard input and output"),
    "cwd": Key("text", "the folder where it runs"),
    "env": Key("object", "variables of its environment: texts, or objects such as {secret: env:NAME}"),
    "pass_env": Key("names", "variables of our environment that it is given"),
    "grace": Key("length", "how long it has to end by itself"),
    "url": Key("text", "where it is reached by HTTP, in the place of a command"),
    "headers": Key("object", "headers of each request: texts, or objects such as {secret: env:NAME}"),
    "auth": Key("any", "env:NAME, the reference of a token, or {bearer}, {oauth2: {...}}, {oidc: {...}}"),
    "allow_hosts": Key("names", "what the URL may lead to beside the public internet"),
    "allow": Key("names", "patterns of the tools that may be used"),
    "deny": Key("names", "patterns of those that may not"),
    "prefix": Key("plain", "what stands before the names of its tools; without a word its own name and _"),
    "trust": Key("flag", "believe what it says of the effects of its tools"),
    "effects": Key("object", "the effects of its tools by patterns: {read_*: read}"),
    "permission": Key("text", "what an agent needs for its tools"),
    "approval": Key("text", "what people are asked before each call of a tool that does more than read"),
    "timeout": Key("length", "how long one call may take"),
    "retry": Key("retry", "how often a call is tried again that may be repeated"),
    "patience": Key("length", "how long it may take until it can be used"),
    "questions": Key("flag", "people answer what it asks in the middle of a call"),
    "sampling": Key("text", "the model that it may ask"),
    "roots": Key("names", "the folders that it is told to work in"),
}
"""What a document may say of an MCP server."""

KNOWLEDGE: Final[Mapping[str, Key]] = {
    "path": Key("text", "the SQLite file where its vectors are kept, with size"),
    "size": Key("count", "how many numbers a vector has"),
    "vectors": Key("target", "a store of vectors of your own, instead of a file"),
    "embedder": Key("text", "an embedding model, or the target of an async function that gives vectors", required=True),
    "limit": Key("count", "how many passages are found"),
    "retry": Key("retry", "how often its steps are tried"),
}
"""What a document may say of knowledge."""

QUERY: Final[Mapping[str, Key]] = {
    "query": Key("text", "the name of the query", required=True),
    "about": Key("type", "the type of what it is asked about, if it is asked about something"),
    "answer": Key("type", "the type of the answer", required=True),
    "function": Key("target", "a plain function that is given the run, and what it is asked about", required=True),
}
"""What a document may say of a query."""

UPDATE: Final[Mapping[str, Key]] = _UPDATE
"""What a document may say of an update."""

FIELD: Final[Mapping[str, Key]] = {
    "type": Key("type", "the type of its values", required=True),
    "start": Key("any", "what it begins with"),
    "by": Key("choice", "the reducer that it is written by", choices=_REDUCERS),
    "conflicts": Key("choice", "what replacing it side by side means", choices=("error", "last_write")),
}
"""What a field of a state may say that the document declares."""


def complaint(key: Key, value: Any) -> str | None:
    """What is wrong with a value under a key, as far as can be seen from it alone."""
    fine = _FINE.get(key.sort)
    if key.sort == "choice":
        return None if value in key.choices else f"is {value!r}, must be one of {', '.join(key.choices)}"
    if fine is None or fine(value):
        return None
    return f"is {value!r}, must be {SORTS[key.sort]}"


def is_count(value: object) -> bool:
    """Whether it is a whole number from 1."""
    return type(value) is int and value >= 1


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) and name for name in value)  # pyright: ignore[reportUnknownVariableType]


def _is_length(value: Any) -> bool:
    try:
        return seconds(value) >= 0
    except InvalidConfig:
        return False


def _is_link(value: object) -> bool:
    return isinstance(value, str | Mapping) or _is_list(value)


def _is_list(value: object) -> bool:
    return isinstance(value, list) and bool(value)  # pyright: ignore[reportUnknownArgumentType]


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_names_or_none, value.values()))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]


def _is_names_or_none(value: object) -> bool:
    return value == [] or _is_names(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_join(value: object) -> bool:
    return value in ("all", "first", "first_success") or is_count(value)


def _is_kind(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)


_FINE: Final[dict[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("steps", "cases", "rules", "stages", "updates", "queries"), _is_list),
    "hooks": lambda value: _is_names(value) or (isinstance(value, Mapping) and _is_names(value.get("only"))),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    "functions": lambda value: isinstance(value, Mapping) and all(map(_is_text, value.values())),  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    "graph": _is_kind(list),
    **dict.fromkeys(("text", "type", "target"), _is_text),
    **dict.fromkeys(("targets", "names"), _is_names),
    "step": _is_link,
    "plain": _is_kind(str),
    **dict.fromkeys(("servers", "knowledge"), _is_kind(Mapping)),
    "state": lambda value: _is_text(value) or (isinstance(value, Mapping) and bool(value)),  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    "callee": lambda value: _is_text(value) or isinstance(value, Mapping),
    "count": is_count,
    "integer": _is_kind(int),
    "flag": _is_kind(bool),
    "length": _is_length,
    "object": _is_kind(Mapping),
    "table": _is_table,
    "join": _is_join,
    "retry": _is_kind(int, Mapping),
}
