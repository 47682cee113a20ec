"""What the validators of a whole model say of a typed state, whose fields are kept one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import ValidationError

from ..errors import InvalidValue


def rules_of(kind: Any) -> tuple[str, ...]:
    """The names of the validators that a pydantic model, or a dataclass of pydantic's, has for itself as a whole."""
    found: Any = getattr(kind, "__pydantic_decorators__", None)
    return () if found is None else tuple(found.model_validators)


def require_valid(kind: Any, values: Mapping[str, Any], where: str, written: Iterable[str] = ()) -> None:
    """Raise `InvalidValue(invalid_field)` that names the rule, if these fields together are no valid `kind`."""
    try:
        kind.__pydantic_validator__.validate_python(dict(values), by_name=True)
    except ValidationError as error:
        names = ", ".join(dict.fromkeys(written))
        after = f" after {names} {'were' if ', ' in names else 'was'} written" if names else ""
        problems = "; ".join(_told(item) for item in error.errors(include_url=False))
        raise InvalidValue(
            f"{kind.__name__} as a whole is not valid{after}: {problems}",
            code="invalid_field",
            where=f"{where}: {kind.__name__}",
        ) from error


def _told(problem: Any) -> str:
    """A problem with what it is about: the field, or the validator that says so."""
    about = ".".join(map(str, problem["loc"])) or _rule(problem.get("ctx", {}).get("error"))
    return f"{about}: {problem['msg']}" if about else problem["msg"]


def _rule(error: Any) -> str:
    """The name of the function that raised this."""
    trace = getattr(error, "__traceback__", None)
    return trace.tb_frame.f_code.co_name if trace is not None else ""
