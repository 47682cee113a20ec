"""Conditions as data: what may be asked about a value, the run's state, its session and its steps, without code.

Law: pure, total over what `Facts` can say, and never evaluated text. A condition can be written as plain data and read
back. What is not there is `MISSING`, which equals nothing; false, 0, "" and null are values like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

from ..errors import InvalidConfig


class Missing:
    """What stands for a value that is not there."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = Missing()


class Facts(Protocol):
    """Where a condition looks things up; plain data, or `MISSING`."""

    def value(self) -> Any:
        """What is being decided about."""
        ...

    def state(self, name: str) -> Any:
        """A field of the run's state as the place of the decision sees it."""
        ...

    def session(self, name: str) -> Any:
        """A value of the run's session."""
        ...

    def step(self, name: str) -> tuple[str, Any]:
        """How a step ended last (`completed`, `failed`, `cancelled`; empty: it has not), and what it returned."""
        ...


@dataclass(frozen=True, slots=True)
class ValueOnly:
    """The facts where there is no run: the value, and nothing else."""

    given: Any

    def value(self) -> Any:
        """See `Facts`."""
        return self.given

    def state(self, name: str) -> Any:
        """See `Facts`."""
        return MISSING

    def session(self, name: str) -> Any:
        """See `Facts`."""
        return MISSING

    def step(self, name: str) -> tuple[str, Any]:
        """See `Facts`."""
        return "", MISSING


class Deciding(ABC):
    """What decides by facts: a condition, or an expression of a document. It stands wherever a predicate does."""

    __slots__ = ()

    @property
    @abstractmethod
    def steps(self) -> tuple[str, ...]:
        """The steps whose ends it asks about, each once."""

    @abstractmethod
    def holds(self, facts: Facts) -> bool:
        """Whether it holds."""

    @abstractmethod
    def __call__(self, value: Any, /) -> Any:
        """What it says of a value alone."""


@dataclass(frozen=True, slots=True)
class Operator:
    """What a condition of one kind needs: the names of its arguments, and how it reads."""

    arguments: tuple[str, ...]
    text: str


OPERATORS: Final[Mapping[str, Operator]] = {
    "always": Operator((), "always"),
    "never": Operator((), "never"),
    "equals": Operator(("at", "to"), "{at} is {to!r}"),
    "contains": Operator(("at", "item"), "{at} contains {item!r}"),
    "exists": Operator(("at",), "{at} is there"),
    "label": Operator(("at", "labels"), "{at} is one of {labels}"),
    "succeeded": Operator(("step",), "{step} succeeded"),
    "failed": Operator(("step",), "{step} failed"),
    "and": Operator(("of",), ""),
    "or": Operator(("of",), ""),
    "not": Operator(("of",), ""),
    "custom": Operator(("name",), "{name}"),
}
"""Every kind of condition."""

PLACES: Final = ("value", "state", "session", "output")
"""What the first part of a path may be; `output` is followed by the name of a step."""

Custom = Callable[[Any], object]


@dataclass(frozen=True, slots=True)
class Condition(Deciding):
    """A condition that is data: made by the functions of this class, combined with `&`, `|` and `~`.

    It stands wherever a predicate does: `branch(Condition.equals("value.kind", "spam"), drop, answer)`. A path names
    what it looks at: `value` (what is decided about), `state.FIELD`, `session.NAME` or `output.STEP`, and fields and
    indices below it, separated by dots. What is not there equals nothing and contains nothing. `plain` writes it as
    data, `Condition.parse` reads it; its text is recorded with the decision.
    """

    op: str
    arguments: tuple[tuple[str, Any], ...] = ()
    custom_fn: Custom | None = field(default=None, compare=False, repr=False)

    # --- made of

    @staticmethod
    def always() -> Condition:
        """Holds."""
        return Condition("always")

    @staticmethod
    def never() -> Condition:
        """Does not hold."""
        return Condition("never")

    @staticmethod
    def equals(at: str, to: object) -> Condition:
        """What is at the path is this plain value; `1`, `1.0` and `True` are three different ones."""
        return _made("equals", at=_path(at), to=_frozen(to))

    @staticmethod
    def contains(at: str, item: object) -> Condition:
        """The list at the path has this item, the text this part, the object this key."""
        return _made("contains", at=_path(at), item=_frozen(item))

    @staticmethod
    def exists(at: str) -> Condition:
        """There is something at the path, be it false, 0, empty or null."""
        return _made("exists", at=_path(at))

    @staticmethod
    def label(*labels: str, at: str = "value") -> Condition:
        """The text at the path, such as the answer of a classifier, is one of these, whatever its case."""
        return _made("label", at=_path(at), labels=_labels(labels))

    @staticmethod
    def succeeded(step: str) -> Condition:
        """The step of this name, or at this path, has ended last with a result."""
        return _made("succeeded", step=_step(step))

    @staticmethod
    def failed(step: str) -> Condition:
        """The step of this name, or at this path, has ended last with a failure that was its last attempt."""
        return _made("failed", step=_step(step))

    @staticmethod
    def custom(name: str, fn: Custom) -> Condition:
        """What a function says about the value; in data it is this name (see `parse`)."""
        return Condition("custom", (("name", _named(name, fn)),), fn)

    def __and__(self, other: Condition) -> Condition:
        return _joined("and", self, other)

    def __or__(self, other: Condition) -> Condition:
        return _joined("or", self, other)

    def __invert__(self) -> Condition:
        return Condition("not", (("of", (self,)),))

    # --- asked

    def __call__(self, value: Any, /) -> bool:
        """Whether it holds for a value alone: there is no state, session or step."""
        return self.holds(ValueOnly(value))

    def holds(self, facts: Facts) -> bool:
        """Whether it holds."""
        given = dict(self.arguments)
        match self.op:
            case "always" | "never":
                return self.op == "always"
            case "and":
                return all(part.holds(facts) for part in self.parts)
            case "or":
                return any(part.holds(facts) for part in self.parts)
            case "not":
                return not self.parts[0].holds(facts)
            case "custom":
                assert self.custom_fn is not None
                return bool(self.custom_fn(facts.value()))
            case "succeeded" | "failed":
                return facts.step(given["step"])[0] == ("completed" if self.op == "succeeded" else "failed")
            case _:
                return _compared(self.op, _at(given["at"], facts), given)

    @property
    def parts(self) -> tuple[Condition, ...]:
        """The conditions that it is made of."""
        found: tuple[Condition, ...] = dict(self.arguments).get("of", ())
        return found

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps whose ends it asks about, each once."""
        given = dict(self.arguments)
        own = (given["step"],) if "step" in given else _output_of(given.get("at", ""))
        return tuple(dict.fromkeys((*own, *(step for part in self.parts for step in part.steps))))

    # --- as data and text

    def plain(self) -> dict[str, Any]:
        """As plain data: `{"op": "equals", "at": "value.kind", "to": "spam"}`."""
        return {"op": self.op} | {
            name: [part.plain() for part in self.parts] if name == "of" else _thawed(value)
            for name, value in self.arguments
        }

    @staticmethod
    def parse(data: object, custom: Mapping[str, Custom] | None = None) -> Condition:
        """The condition that plain data stands for; `custom` are the functions that it may name.

        Raises `InvalidConfig(invalid_condition)` that says what is wrong with it.
        """
        if not isinstance(data, Mapping):
            raise _bad(f"{data!r} is no condition: it must be an object with an op")
        given = dict(cast("Mapping[str, Any]", data))
        op = given.pop("op", None)
        known = OPERATORS.get(op) if isinstance(op, str) else None
        if known is None or not isinstance(op, str):
            raise _bad(f"op is {op!r}, must be one of {', '.join(OPERATORS)}")
        if set(given) != set(known.arguments):
            raise _bad(
                f"{op!r} takes {', '.join(known.arguments) or 'nothing'}, is given {', '.join(given) or 'nothing'}"
            )
        return _parsed(op, given, custom or {})

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - of the instance
        """The text, which is recorded with a decision."""
        return str(self)

    def __str__(self) -> str:
        if self.op == "not":
            return f"not ({self.parts[0]})"
        if self.op in ("and", "or"):
            return f" {self.op} ".join(f"({part})" if part.parts else str(part) for part in self.parts)
        return OPERATORS[self.op].text.format(**{name: _thawed(value) for name, value in self.arguments})


def _made(op: str, **arguments: Any) -> Condition:
    return Condition(op, tuple(arguments.items()))


def _joined(op: str, *conditions: Condition) -> Condition:
    """Parts of the same kind are taken apart, so that a & b & c is one condition of three."""
    parts = tuple(part for item in conditions for part in (item.parts if item.op == op else (item,)))
    return Condition(op, (("of", parts),))


def _parsed(op: str, given: dict[str, Any], custom: Mapping[str, Custom]) -> Condition:
    if op in ("and", "or", "not"):
        parts: Any = given["of"]
        count = _length(parts)
        if count == 0 or (op == "not" and count != 1):
            raise _bad(f"{op!r} takes a list of {'one condition' if op == 'not' else 'conditions'}, not {parts!r}")
        return Condition(op, (("of", tuple(Condition.parse(part, custom) for part in parts)),))
    if op == "custom":
        if given["name"] not in custom:
            raise _bad(f"there is no condition named {given['name']!r}; there are {', '.join(custom) or 'none'}")
        return Condition.custom(given["name"], custom[given["name"]])
    if op == "label":
        return _made("label", at=_path(given["at"]), labels=_labels(given["labels"]))
    made: Condition = getattr(Condition, op)(**given)
    return made


def _bad(message: str) -> InvalidConfig:
    return InvalidConfig(message, code="invalid_condition", op="condition")


def _path(at: object) -> str:
    parts = at.split(".") if isinstance(at, str) else []
    if not parts or parts[0] not in PLACES or not all(parts) or (len(parts) == 1 and parts != ["value"]):
        raise _bad(f"at is {at!r}, must be value, or begin with value., state.FIELD, session.NAME or output.STEP")
    return ".".join(parts)


def _labels(labels: Any) -> tuple[str, ...]:
    if not _length(labels) or not all(isinstance(label, str) for label in labels):
        raise _bad(f"labels are {labels!r}, must be texts")
    return tuple(labels)


def _length(items: object) -> int:
    """How many items a list or tuple has; 0 for anything else."""
    return len(items) if isinstance(items, list | tuple) else 0  # pyright: ignore[reportUnknownArgumentType]


def _named(name: object, fn: object) -> str:
    if not isinstance(name, str) or not name or not callable(fn):
        raise _bad(f"a custom condition needs a name and a function, not {name!r} and {fn!r}")
    return name


def _step(step: object) -> str:
    if not isinstance(step, str) or not step:
        raise _bad(f"step is {step!r}, must be the name or path of a step")
    return step


def _output_of(at: str) -> tuple[str, ...]:
    place, _, rest = at.partition(".")
    return (rest.partition(".")[0],) if place == "output" else ()


# --- looking things up


def _at(path: str, facts: Facts) -> Any:
    """What is at a path, `MISSING` if nothing is."""
    place, *rest = path.split(".")
    match place:
        case "value":
            found = facts.value()
        case "state":
            found = facts.state(rest.pop(0))
        case "session":
            found = facts.session(rest.pop(0))
        case _:
            found = facts.step(rest.pop(0))[1]
    for part in rest:
        found = _below(found, part)
    return found


def found_at(path: str, value: Any) -> Any:
    """What is at a path (`value.x`) of a plain value, `MISSING` if nothing is."""
    return _at(_path(path), ValueOnly(value))


def _below(found: Any, part: str) -> Any:
    if isinstance(found, Mapping):
        return cast("Mapping[str, Any]", found).get(part, MISSING)
    if isinstance(found, list | tuple) and part.isdecimal():
        items = cast("list[Any]", found)
        return items[int(part)] if int(part) < len(items) else MISSING
    return MISSING


def _compared(op: str, found: Any, given: dict[str, Any]) -> bool:
    if op == "exists":
        return found is not MISSING
    if op == "equals":
        return _same(found, given["to"])
    if op == "label":
        return isinstance(found, str) and found.strip().casefold() in [label.casefold() for label in given["labels"]]
    item = given["item"]
    if isinstance(found, str):
        return isinstance(item, str) and item in found
    if isinstance(found, Mapping):
        return isinstance(item, str) and item in found
    return isinstance(found, list | tuple) and any(_same(part, item) for part in cast("list[Any]", found))


def _same(found: Any, wanted: Any) -> bool:
    """Whether two plain values are the same, down to their types: JSON tells true from 1, and we tell 1 from 1.0."""
    return found is not MISSING and _frozen(found) == _frozen(wanted) and _kinds(found) == _kinds(wanted)


def _kinds(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _kinds(item) for key, item in sorted(cast("Mapping[str, Any]", value).items())}
    if isinstance(value, Object):
        return {key: _kinds(item) for key, item in value.items}
    if isinstance(value, list | tuple):
        return [_kinds(item) for item in cast("list[Any]", value)]
    kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType]
    return kind


@dataclass(frozen=True, slots=True)
class Object:
    """A JSON object inside a condition, which does not change: its members, sorted by key."""

    items: tuple[tuple[str, Any], ...]


def _frozen(value: Any) -> Any:
    """A plain value that nothing can change any more. Raises `InvalidConfig` for anything that is not plain."""
    if isinstance(value, Object) or value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        members: Mapping[Any, Any] = value  # pyright: ignore[reportUnknownVariableType]
        if all(isinstance(key, str) for key in members):
            return Object(tuple((key, _frozen(members[key])) for key in sorted(members)))
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in cast("list[Any]", value))
    raise _bad(f"{value!r} is no plain value (text, number, true, false, null, a list or an object of them)")


def _thawed(value: Any) -> Any:
    if isinstance(value, Object):
        return {key: _thawed(item) for key, item in value.items}
    return [*map(_thawed, value)] if isinstance(value, tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
