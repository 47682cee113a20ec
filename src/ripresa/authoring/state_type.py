"""The class of a typed state: its fields, their types and reducers, what they begin with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Generic, TypeVar, cast, get_args, get_origin

from typing_extensions import is_typeddict

from ..core.definition import type_name
from ..core.events import Write
from ..core.merge import CUSTOM, SET
from ..core.nodes.node import Node
from ..core.nodes.stateful import Stateful
from ..core.shared import ERROR, FieldShape, Shape
from ..errors import InvalidConfig, InvalidValue
from .encoding import decode, encode
from .fit import bare, hints_of
from .options import refuse
from .reducers import Conflict, Conflicts, Custom, Reducer
from .whole_state import require_valid, rules_of

S = TypeVar("S")

VERSION = "__state_version__"
"""The attribute of a state's class that says its version, 1 without it."""


@dataclasses.dataclass(frozen=True, slots=True)
class StateField:
    """A field: the annotation that values are checked by, its reducer, and what branches may do to it."""

    name: str
    kind: Any
    reducer: Reducer | None = None
    conflict: str = ERROR

    @property
    def operation(self) -> str:
        """What the journal calls a write by its reducer."""
        return SET if self.reducer is None else CUSTOM if isinstance(self.reducer, Custom) else self.reducer.name

    @property
    def shape(self) -> FieldShape:
        """The field as the core knows it."""
        reducer = "" if self.reducer is None else self.reducer.name
        return FieldShape(
            self.name, type_name(bare(self.kind)), reducer, self.conflict, isinstance(self.reducer, Custom)
        )


class StateType(Generic[S]):
    """A state's class, looked at once. Raises `InvalidConfig` that names everything that is wrong with it."""

    def __init__(self, kind: type[S], conflicts: str = ERROR) -> None:
        self.kind = kind
        self.name = kind.__name__
        self.version = getattr(kind, VERSION, 1)
        self.has_items = is_typeddict(kind)
        self.rules = rules_of(kind)
        """The validators of the class as a whole: they are asked about what is written, and about what is read."""
        self.fields = {name: _field(name, found, conflicts) for name, found in _annotations(kind).items()}
        refuse("state", *map(_complaint, self.fields.values()), where=self.name)

    @cached_property
    def limited(self) -> frozenset[str]:
        """The fields that reducers write to and whose types do not let all values through."""
        fields = self.fields.items()
        return frozenset(name for name, each in fields if each.reducer and get_origin(each.kind) is Annotated)

    @property
    def is_judged(self) -> bool:
        """Whether what branches wrote, each of it valid, may be invalid together."""
        return bool(self.rules or self.limited)

    @property
    def shape(self) -> Shape:
        """The class as the core knows it."""
        return Shape(self.name, self.version, tuple(field.shape for field in self.fields.values()))

    def around(self, body: Node[Any]) -> Stateful:
        """The scope in which the state is shared."""
        return Stateful(body.name, body, shape=self.shape, code=self)

    def field(self, name: str, where: str) -> StateField:
        """The field of this name. Raises `AttributeError` that says what there is."""
        found = self.fields.get(name)
        if found is None:
            raise AttributeError(f"{where}: {self.name} has no field {name!r}; it has {', '.join(self.fields)}")
        return found

    def encode(self, field: StateField, value: object, kind: Any, where: str) -> bytes:
        """A value of a field, or an operand, as JSON text. Raises `InvalidValue(invalid_field)`."""
        return encode(value, kind, where=f"{where}: {self.name}.{field.name}", code="invalid_field")

    def initial(self, given: object = None) -> list[tuple[str, bytes]]:
        """What the fields begin with: those of a given instance or mapping, else their defaults. Others are not set.

        Raises `InvalidValue(invalid_field)`.
        """
        found = {**_defaults(self.kind), **_given(self, given)}
        wrong = [name for name in found if name not in self.fields]
        if wrong:
            raise InvalidValue(f"{self.name} has no field {', '.join(wrong)}", code="invalid_field", where=self.name)
        texts = {
            name: self.encode(field, found[name], field.kind, "start")
            for name, field in self.fields.items()
            if name in found
        }
        if self.rules:
            self.require_valid(texts, "start")
        return list(texts.items())

    def require_valid(self, texts: Mapping[str, bytes], where: str, written: Iterable[str] = ()) -> None:
        """Raise `InvalidValue(invalid_field)` if the fields together do not pass the validators of the whole class.

        As long as a field that has no default was not set, nothing can be said of the whole.
        """
        if any(name not in texts for name in self._needed):
            return
        values = {
            name: decode(text, self.fields[name].kind, where=f"{where}: {self.name}.{name}", code="invalid_field")
            for name, text in texts.items()
        }
        require_valid(self.kind, values, where, written)

    def require_joined(self, texts: Mapping[str, bytes], where: str, writes: Iterable[Write]) -> None:
        """Raise `InvalidValue(invalid_field)` that names the writers if what they wrote is not valid together."""
        writers: dict[str, dict[str, None]] = {}
        for write in writes:
            by = writers.setdefault(write.field, {})
            if write.by:
                by[write.by] = None
        told = {name: f"{name} (by {', '.join(by)})" if by else name for name, by in writers.items()}
        self.require_limits(texts, where, told)
        if self.rules:
            self.require_valid(texts, where, told.values())

    def require_limits(self, texts: Mapping[str, bytes], where: str, written: Mapping[str, str]) -> None:
        """Raise `InvalidValue(invalid_field)` if what reducers made of a field is nothing that its type lets through.

        `written` says of fields how they are told.
        """
        for name in self.limited & written.keys():
            place = f"{where}: {self.name}.{name}"
            try:
                decode(texts[name], self.fields[name].kind, where=place, code="invalid_field")
            except InvalidValue as error:
                why = f"{self.name}.{name}: {error.message} after {written[name]} was written"
                raise InvalidValue(why, code="invalid_field", where=place) from error

    @cached_property
    def _needed(self) -> tuple[str, ...]:
        return tuple(name for name in self.fields if name not in _defaults(self.kind))


def state_type(kind: Any, conflicts: Conflict = ERROR) -> StateType[Any]:
    """What a class says of the state that it declares. Raises `InvalidConfig`."""
    if not isinstance(kind, type) or not (dataclasses.is_dataclass(kind) or _model(kind) or is_typeddict(kind)):  # pyright: ignore[reportUnknownArgumentType]
        raise InvalidConfig(
            f"state is {kind!r}, must be a pydantic model, a dataclass or a TypedDict",
            op="state",
            hint="the class itself, not an instance",
        )
    return _state_type(kind, conflicts)  # pyright: ignore[reportUnknownArgumentType]


@lru_cache(maxsize=256)
def _state_type(kind: Any, conflicts: str) -> StateType[Any]:
    return StateType(kind, conflicts)


def _model(kind: type) -> bool:
    return hasattr(kind, "model_fields")


def _annotations(kind: Any) -> dict[str, Any]:
    if _model(kind):
        return {name: _model_annotation(info) for name, info in kind.model_fields.items()}
    hints = hints_of(kind)
    names = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else list(hints)
    return {name: hints[name] for name in names}


def _model_annotation(info: Any) -> Any:
    kind = info.annotation
    for mark in info.metadata:
        kind = Annotated[kind, mark]
    return kind


def _field(name: str, annotation: Any, conflicts: str) -> StateField:
    marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    kind = get_args(annotation)[0] if marks else annotation
    reducers = [mark for mark in marks if isinstance(mark, Reducer)]
    policies = [mark.policy for mark in marks if isinstance(mark, Conflicts)]
    for mark in marks:
        if not isinstance(mark, Reducer | Conflicts):
            kind = Annotated[kind, mark]
    return StateField(name, kind, reducers[0] if reducers else None, policies[0] if policies else conflicts)


def _complaint(field: StateField) -> str | None:
    complaint = None if field.reducer is None else field.reducer.complaint(field.kind)
    return f"{field.name} {complaint}" if complaint else None


def _defaults(kind: Any) -> dict[str, Any]:
    if _model(kind):
        return {name: info.get_default(call_default_factory=True, validated_data={}) for name, info in _optional(kind)}
    if not dataclasses.is_dataclass(kind):
        return {}
    found: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def _optional(kind: Any) -> list[tuple[str, Any]]:
    return [(name, info) for name, info in kind.model_fields.items() if not info.is_required()]


def _given(state: StateType[Any], given: object) -> dict[str, Any]:
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(cast("Mapping[str, Any]", given))
    if not isinstance(given, state.kind):
        raise InvalidValue(
            f"is given {given!r}, must be a {state.name} or its fields by name", code="invalid_field", where=state.name
        )
    return {name: getattr(given, name) for name in state.fields if hasattr(given, name)}
