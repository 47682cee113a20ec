"""What decides, as documents say it: expressions, conditions that are data, and functions by their targets."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...core.conditions import OPERATORS, Condition
from ..check import walk
from .cel import Asked, Expression, Use, only_expression, position_in
from .near import meant, nearest
from .source import Path, is_list, is_object

if TYPE_CHECKING:
    from .flow import DocumentFlow
    from .load import Loader

DECIDES: Final = ("value", "state", "session", "steps")
"""What an expression that decides may look at."""

JOINED: Final = ("and", "or", "not")
"""The conditions that are made of others."""


class Predicates:
    """Reads what decides in one document, and remembers which steps are looked at, to see later whether they exist."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._looked_at: list[tuple[str, Path, Expression | None, Use | None]] = []

    def condition(self, data: Any, path: Path) -> Any:
        """A predicate; one that never holds, and a note, in the place of what is none."""
        if isinstance(data, bool):
            return Condition.always() if data else Condition.never()
        if isinstance(data, str):
            return self.asked(data, path, DECIDES) or Condition.never()
        if is_object(data) and "function" in data and "op" not in data:
            return self._function_in(data, path) or Condition.never()
        return self.parsed(data, path) or Condition.never()

    def parsed(self, data: Any, path: Path) -> Condition | None:
        """A condition that stands there as data; None, and a note, if it is none."""
        op = data.get("op") if is_object(data) else None
        if op == "custom" and "function" in data:
            return self._custom(data, path)
        if op in JOINED and set(data) == {"op", "of"} and is_list(data["of"]):
            count = len(data["of"])
            if count == 1 or (count and op != "not"):
                return self._joined(op, data["of"], path)
        if isinstance(op, str) and op not in OPERATORS:
            message = f"is {op!r}; {meant(op, OPERATORS, 'must be one of')}"
            self._loader.notes.add((*path, "op"), message, code="invalid_condition")
            return None
        found = self._loader.tried(path, lambda: Condition.parse(data, self._loader.shelf.functions()))
        for name in () if found is None else found.steps:
            self._looked_at.append((name, path, None, None))
        return found

    def _joined(self, op: str, of: list[Any], path: Path) -> Condition | None:
        parts = [self.parsed(part, (*path, "of", index)) for index, part in enumerate(of)]
        fine = tuple(part for part in parts if part is not None)
        return Condition(op, (("of", fine),)) if len(fine) == len(parts) else None

    def _custom(self, data: Mapping[str, Any], path: Path) -> Condition | None:
        """A function of one's own under the name by which it is recorded."""
        given = {key: data[key] for key in data if key not in ("op", "function")}
        if not isinstance(data["function"], str) or set(given) - {"name"}:
            message = f"is {dict(data)!r}, must be an object of op, name and function: package.module:name"
            self._loader.notes.add(path, message, code="invalid_condition")
            return None
        fn = self._loader.function(data["function"], (*path, "function"))
        name = given.get("name", getattr(fn, "__name__", ""))
        return None if fn is None else self._loader.tried(path, lambda: Condition.custom(name, fn))

    def selector(self, data: Any, path: Path) -> Any:
        """What gives names."""
        if isinstance(data, str):
            return self.asked(data, path, ("value",))
        return self._function_in(data, path)

    def _function_in(self, data: Any, path: Path) -> Any:
        name = data.get("function") if is_object(data) else None
        if not isinstance(name, str) or len(data) > 1:
            self._loader.notes.add(path, f"is {data!r}, must be an object with function: package.module:name")
            return None
        return self._loader.function(name, (*path, "function"))

    # --- expressions

    def asked(self, text: str, path: Path, roots: tuple[str, ...]) -> Asked | None:
        """An expression that decides; it may look at these."""
        notes = self._loader.notes
        expression = self._loader.tried(path, lambda: only_expression(text))
        if expression is None:
            if not notes.problems or not self._is_noted(path):
                notes.add(path, f"is {text!r}, must be one ${{{{ expression }}}}", code="invalid_expression")
            return None
        for use in expression.uses:
            if use.root not in roots:
                message = f"{use.root} cannot be looked at here: there are {', '.join(roots)}"
                notes.add(path, message, code="invalid_expression", within=_within(text, expression, use))
            elif use.root == "steps":
                self._looked_at.append((use.name, path, expression, use))
        return Asked(expression)

    def _is_noted(self, path: Path) -> bool:
        place = self._loader.document.place(path).split(" ")[-1]
        return any(problem.where.split(" ")[-1] == place for problem in self._loader.notes.problems)

    def check(self, flow: DocumentFlow) -> None:
        """Note the steps that are looked at and are nowhere in the flow."""
        self.check_names({node.name for node in walk(flow.node)})

    def check_names(self, names: Collection[str]) -> None:
        """Note the steps that are looked at and have none of these names."""
        for name, path, expression, use in self._looked_at:
            if name in names or "/" in name:
                continue
            near = nearest(name, names)
            hint = f"; did you mean {near}?" if near else ""
            within = None if expression is None or use is None else _within(self._text_at(path), expression, use)
            self._loader.notes.add(path, f"there is no step {name!r}{hint}", code="unknown_step", within=within)

    def _text_at(self, path: Path) -> str:
        found = self._loader.document.data
        for part in path:
            found = found[part]
        return str(found)


def _within(text: str, expression: Expression, use: Use) -> tuple[int, int]:
    """Where in a text something stands that an expression looks at."""
    return position_in(text, expression.start + use.start)
