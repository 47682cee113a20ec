"""Expressions in documents: `${{ ... }}` holds one in CEL, compiled and checked when the document is read.

Law: only what stands in a document is ever compiled. What an expression gives is a value: it is never read as an
expression again, and what it looks at is data. This module alone knows the library behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from ...core.conditions import MISSING, Deciding, Facts
from ...errors import RipresaError
from ..encoding import decode, encode
from .near import meant
from .source import BadExpression, Position, is_list, is_object

ROOTS: Final = ("value", "input", "steps", "state", "session")
"""What an expression may begin with: what is decided about, the input of the list, results, state, session."""

OPEN: Final = "${{"
DEEPEST: Final = 100
"""How many keys an expression may name one below the other."""

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<text>[rRbB]{0,2}(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?u?)
    |(?P<sign>}}|.)""",
    re.VERBOSE | re.DOTALL,
)
_SHOWN: Final = 200
_AT: Final = re.compile(r"ERROR: <input>:(\d+):(\d+): (.*)")


@dataclass(frozen=True, slots=True)
class Token:
    """A word of an expression: its kind, its text, and where it begins."""

    kind: str
    text: str
    start: int


@dataclass(frozen=True, slots=True)
class Use:
    """What an expression looks at: `value`, a field of the state, the result of a step (`name`), and the keys below it.

    `start` and `end` are where it stands in the text, `stop` is where the keys begin.
    """

    root: str
    name: str
    start: int
    end: int
    keys: tuple[str | int, ...] = ()
    stop: int = 0


def position_in(text: str, start: int) -> Position:
    """Line and column of a place in a text."""
    before = text[:start]
    return before.count("\n") + 1, start - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression. `uses` is what it looks at, each once, in the order of the text."""

    text: str
    uses: tuple[Use, ...]
    start: int = field(default=0, compare=False)

    @property
    def path(self) -> Use | None:
        """What it is if it is nothing but a path, such as `steps.plan.output.title`."""
        only = self.uses[0] if len(self.uses) == 1 else None
        return only if only is not None and self.text[only.start : only.end] == self.text.strip() else None

    @property
    def kind(self) -> Any:
        """The type of what it gives, `Any` where that is not known."""
        return _kinds().get(_compiled(self.text).return_type().name(), Any)

    def value(self, given: Mapping[str, Any]) -> Any:
        """What it gives for plain values by root. Raises `RipresaError(expression_failed)`."""
        try:
            found = _compiled(self.text).eval(data=dict(given))
        except (RuntimeError, TypeError, ValueError, OverflowError) as error:
            raise _failed(self.text, str(error)) from error
        if found.type().name() == "ERROR":
            raise _failed(self.text, str(found.value()))
        return found.plain_value()


def _failed(text: str, why: str) -> RipresaError:
    return RipresaError(
        f"{brief(text.strip())!r} cannot be evaluated: {why}", code="expression_failed", op="expression"
    )


def brief(text: str) -> str:
    """A text, cut where it is long."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def compiled(text: str, start: int = 0) -> Expression:
    """Compile an expression. Raises `BadExpression`, `RipresaError(extra_missing)` if it takes CEL to understand it."""
    tokens = _tokens(text)
    if not tokens:
        raise BadExpression("the expression is empty")
    uses = tuple(_uses(text, tokens))
    found = Expression(text, uses, start)
    if found.path is None:
        _compiled(text)
    return found


def _tokens(text: str) -> list[Token]:
    found = [Token(str(match.lastgroup), match[0], match.start()) for match in _TOKEN.finditer(text)]
    return [token for token in found if token.kind != "space"]


def _uses(text: str, tokens: list[Token]) -> list[Use]:
    found: dict[tuple[str, str, tuple[str | int, ...]], Use] = {}
    for use in _occurrences(text, tokens):
        found.setdefault((use.root, use.name, use.keys), use)
    return list(found.values())


def _occurrences(text: str, tokens: list[Token]) -> Iterator[Use]:
    for index, token in enumerate(tokens):
        follows_dot = index > 0 and tokens[index - 1].text == "."
        called = index + 1 < len(tokens) and tokens[index + 1].text == "("
        if token.kind == "name" and token.text in ROOTS and not follows_dot and not called:
            yield _use(text, tokens, index)


def rewritten(text: str, written: Callable[[Use], str]) -> str:
    """An expression in which everything that it looks at is written in another way; keys stay as they are."""
    found, at = "", 0
    for use in _occurrences(text, _tokens(text)):
        found += text[at : use.start] + written(use)
        at = use.stop
    return found + text[at:]


@dataclass(frozen=True, slots=True)
class _Key:
    """A key below something, and where it ends."""

    key: str | int
    end: int


def _use(text: str, tokens: list[Token], index: int) -> Use:
    """What begins at a token, with its keys as far as they are written out."""
    root, at = tokens[index], position_in(text, tokens[index].start)
    keys = list(_keys(tokens, index + 1))
    if len(keys) > DEEPEST:
        raise BadExpression(f"{root.text} is looked at more than {DEEPEST} keys deep", at)
    stop = root.start + len(root.text)
    name = ""
    if root.text not in ("value", "input"):
        if not keys or not isinstance(keys[0].key, str):
            wanted = "steps.NAME.output" if root.text == "steps" else f"{root.text}.NAME"
            raise BadExpression(f"{root.text} is looked at by name: write {wanted}", at)
        name, stop = str(keys[0].key), keys[0].end
        keys = keys[1:]
    if root.text == "steps":
        if not keys or keys[0].key != "output":
            raise BadExpression(f"steps.{name} has only an output: write steps.{name}.output", at)
        stop = keys[0].end
        keys = keys[1:]
    if keys and text[keys[-1].end : keys[-1].end + 1] == "(":  # the last key is a method
        return Use(root.text, name, root.start, root.start, tuple(key.key for key in keys[:-1]), stop)
    return Use(root.text, name, root.start, keys[-1].end if keys else stop, tuple(key.key for key in keys), stop)


def _keys(tokens: list[Token], at: int) -> Iterator[_Key]:
    while at + 1 < len(tokens):
        if tokens[at].text == "." and tokens[at + 1].kind == "name":
            yield _Key(tokens[at + 1].text, tokens[at + 1].start + len(tokens[at + 1].text))
            at += 2
        elif tokens[at].text == "[" and at + 2 < len(tokens) and tokens[at + 2].text == "]":
            key = _literal(tokens[at + 1])
            if key is None:
                return
            yield _Key(key, tokens[at + 2].start + 1)
            at += 3
        else:
            return


def _literal(token: Token) -> str | int | None:
    if token.kind == "number" and token.text.isdecimal():
        return int(token.text)
    plain = token.kind == "text" and token.text[0] in "\"'" and "\\" not in token.text and token.text[:3] != '"""'
    return token.text[1:-1] if plain and token.text[:3] != "'''" else None


# --- texts with expressions in them


def has_expressions(data: Any) -> bool:
    """Whether there is an expression anywhere in plain data."""
    if isinstance(data, str):
        return OPEN in data.replace("$" + OPEN, "")
    if is_object(data):
        return any(map(has_expressions, data.values()))
    return is_list(data) and any(map(has_expressions, data))


def parts_of(text: str) -> list[str | Expression]:
    """A text taken apart into what stands there as it is and the expressions. `$${{` stands for `${{`."""
    found: list[str | Expression] = []
    plain, at = "", 0
    while at < len(text):
        if text.startswith("$" + OPEN, at):
            plain, at = plain + OPEN, at + 1 + len(OPEN)
        elif text.startswith(OPEN, at):
            end = _end(text, at + len(OPEN))
            if plain:
                found.append(plain)
            found.append(_placed(text, at + len(OPEN), end))
            plain, at = "", end + 2
        else:
            plain, at = plain + text[at], at + 1
    return [*found, plain] if plain or not found else found


def _placed(text: str, start: int, end: int) -> Expression:
    inside = text[start:end]
    lead = len(inside) - len(inside.lstrip())
    try:
        return compiled(inside.strip(), start + lead)
    except BadExpression as error:
        line, column = position_in(text, start + lead)
        below, beside = error.within
        raise BadExpression(error.message, (line + below - 1, beside + (column - 1 if below == 1 else 0))) from error


def _end(text: str, start: int) -> int:
    """Where the expression that begins at `start` ends: at the first `}}` outside of texts and braces."""
    depth = 0
    for match in _TOKEN.finditer(text, start):
        if match[0] == "{":
            depth += 1
        elif match[0] == "}":
            depth -= 1
        elif match[0] == "}}" and depth >= 2:
            depth -= 2
        elif match[0] == "}}":
            if text.startswith("}}", match.start() + depth):
                return match.start() + depth
            break
    raise BadExpression("}} is missing", position_in(text, start - len(OPEN)))


def only_expression(text: object) -> Expression | None:
    """The expression that a text is, if it is nothing else. Raises `BadExpression`."""
    parts = parts_of(text.strip()) if isinstance(text, str) else []
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Expression) else None


def rendered(value: Any) -> str:
    """A value inside a text: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else encode(value).decode()


# --- conditions


@dataclass(frozen=True, slots=True)
class Asked(Deciding):
    """An expression as a predicate. Its text is recorded with what it decided."""

    expression: Expression

    @property
    def __name__(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - recorded as that of functions is
        return self.expression.text

    @property
    def steps(self) -> tuple[str, ...]:
        """See `Deciding`."""
        return tuple(dict.fromkeys(use.name for use in self.expression.uses if use.root == "steps"))

    def holds(self, facts: Facts) -> bool:
        """See `Deciding`. Raises `RipresaError(expression_failed)` if it gives no yes or no."""
        found = evaluated(self.expression, facts)
        if not isinstance(found, bool):
            raise _failed(self.expression.text, f"it gives {found!r}, must give true or false")
        return found

    def __call__(self, value: Any, /) -> Any:
        """What it gives for a value alone."""
        return self.expression.value({"value": decode(encode(value))})


def evaluated(expression: Expression, facts: Facts) -> Any:
    """What an expression gives where these facts hold; what is not there is not there for it either."""
    found: dict[str, Any] = {"value": None, "input": None, "steps": {}, "state": {}, "session": {}}
    for use in expression.uses:
        match use.root:
            case "value" | "input":
                _put(found, use.root, facts.value())
            case "steps":
                output = facts.step(use.name)[1]
                found["steps"][use.name] = {} if output is MISSING else {"output": output}
            case "state":
                _put(found["state"], use.name, facts.state(use.name))
            case _:
                _put(found["session"], use.name, facts.session(use.name))
    return expression.value(found)


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    if value is not MISSING:
        into[name] = value


# --- the library


@lru_cache(maxsize=1)
def _environment() -> Any:
    try:
        cel = import_module("cel_expr_python.cel")
        texts = import_module("cel_expr_python.ext.ext_strings")
    except ImportError as error:
        raise RipresaError(
            "expressions need the extra 'documents'",
            code="extra_missing",
            op="document",
            hint="pip install 'ripresa[documents]'",
        ) from error
    variables = dict.fromkeys(ROOTS, cel.Type.DYN)
    return cel.NewEnv(variables=variables, extensions=[texts.ExtStrings()])


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Any:
    try:
        return _environment().compile(text)
    except RuntimeError as error:
        match = _AT.search(str(error))
        line, column, why = match.groups() if match else ("1", "1", str(error))
        raise BadExpression(f"{brief(text)!r}: {_in_words(why, text)}", (int(line), int(column))) from error


_OPERATORS: Final = {"and": "&&", "or": "||", "not": "!", "eq": "==", "is": "==", "ne": "!=", "=": "=="}
_FUNCTIONS: Final = (
    *("size", "has", "int", "double", "string", "bool", "duration", "timestamp", "type", "matches", "contains"),
    *("startsWith", "endsWith", "all", "exists", "exists_one", "map", "filter", "charAt", "indexOf", "lastIndexOf"),
    *("join", "lowerAscii", "upperAscii", "replace", "split", "substring", "trim", "format", "quote", "reverse"),
)
"""The functions that expressions have."""
_TOKENS: Final = re.compile(r"(mismatched|extraneous) input '(.*?)' expecting (.*)")


def _in_words(why: str, text: str) -> str:
    """What the library says is wrong with an expression, in words of people who write some."""
    if missing := re.search(r"missing ('.*?') at", why):
        return f"{missing[1]} is missing"
    if unread := re.search(r"token recognition error at: '(.*)'", why):
        token = unread[1].strip()
        return "a text does not end" if token[:1] in ("'", '"') else _not_there(token)
    if found := _TOKENS.search(why):
        if found[2] != "<EOF>":
            return _not_there(found[2])
        return f"{found[3]} is missing at its end" if found[3].startswith("'") else "it ends too early"
    if unknown := re.search(r"undeclared reference to '(.*?)'", why):
        return _unknown(unknown[1], text)
    return why


def _not_there(token: str) -> str:
    sign = _OPERATORS.get(token)
    return f"{token!r} is no operator: write {sign}" if sign else f"{token!r} cannot stand here"


def _unknown(name: str, text: str) -> str:
    if not re.search(rf"{re.escape(name)}\s*\(", text):
        return f"there is no {name}; {meant(name.partition('.')[0], ROOTS)}"
    return f"there is no function {name}; {meant(name, _FUNCTIONS)}"


@lru_cache(maxsize=1)
def _kinds() -> dict[str, Any]:
    return {"BOOL": bool, "INT": int, "UINT": int, "DOUBLE": float, "STRING": str}
