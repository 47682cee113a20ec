"""What steps that ask models were made of, as plain data that documents hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..authoring.document.recipe import Recipe
from ..authoring.document.write import retry_data
from ..authoring.options import refuse
from ..core.retry import Retry
from ..errors import RipresaError
from .gateway import DEFAULT, ModelEndpoint
from .recipes import changed, is_mapping, plain_config


def not_sayable(name: str, what: str, value: object) -> RipresaError:
    """The error that something of a step is nothing for documents."""
    return RipresaError(
        f"{name!r} can stand in no document: its {what} is {value!r}", code="not_exportable", op="export", where=name
    )


def asking_config(name: str, model: Any, fallback: Sequence[Any], memory: Any, **own: Any) -> dict[str, Any]:
    """What every step says that asks a model; what is empty is not said."""
    found = plain_config(name, {key: value for key, value in own.items() if value not in (None, "", False, (), [])})
    if model != DEFAULT:
        found["model"] = _model(name, model)
    if fallback:
        found["fallback"] = [_model(name, each) for each in fallback]
    if memory is not None:
        said = changed(memory)
        if "model" in said and not isinstance(said["model"], str):
            raise not_sayable(name, "memory's model", said["model"])
        found["memory"] = said or True
    return found


def asking_recipe(
    kind: str,
    plain: Any,
    config: Callable[[], dict[str, Any]],
    types: Mapping[str, tuple[Any, Any]],
    tools: Sequence[Any],
    toolbox: Any,
) -> Recipe:
    """How a document makes a step that asks a model. `types` are given with what is usual, which is not said."""
    found = [toolbox.find(each) if isinstance(each, str) and toolbox is not None else each for each in tools]
    named = {key: given for key, (given, usual) in types.items() if given is not usual}
    return Recipe(kind, lambda: plain, config, named, {"tools": found} if found else {})


def _model(name: str, model: Any) -> Any:
    if isinstance(model, ModelEndpoint):
        return {"name": model.name, **changed(model)}
    if not isinstance(model, str):
        raise not_sayable(name, "model", model)
    return model


def model_of(said: Any) -> Any:
    """A model as a document names it: by name, or a `ModelEndpoint` as an object. Raises `InvalidConfig`."""
    if not is_mapping(said):
        return said
    unknown = [key for key in said if key not in ("name", "base_url", "key_variable")]
    refuse(
        "model",
        f"a model has no {', '.join(unknown)}, but name, base_url, key_variable" if unknown else None,
        None if isinstance(said.get("name"), str) else "a model that is an object has a name",
    )
    return ModelEndpoint(**said)


def memory_of(said: Any) -> Any:
    """A memory as a document says it: true, its name, or an object of its options. Raises `InvalidConfig`."""
    from ..agents.memory import Memory

    if said is None or said is False:
        return None
    if said is True:
        return Memory()
    if isinstance(said, str):
        return Memory(said)
    known = ("name", "last", "tokens", "summary", "model")
    fine = is_mapping(said) and not [key for key in said if key not in known]
    refuse("memory", None if fine else f"memory is {said!r}, must be true, a name, or an object of {', '.join(known)}")
    named = isinstance(said.get("model", ""), str)
    refuse("memory", None if named else f"model of memory is {said['model']!r}, must name a model")
    return Memory(**said)


def server_said(server: Any) -> tuple[str, dict[str, Any]]:
    """How a document names an MCP server, with the tools it is bounded to, and how it declares it."""
    name: str = server.name
    said: Mapping[str, Any] = server.said
    found: dict[str, Any] = {}
    for key, value in said.items():
        if key in ("server", "sandbox") or value is None:
            raise not_sayable(name, key, value)
        found[key] = retry_data(value) if isinstance(value, Retry) else value
    patterns = server.bounded_to
    if len(patterns) > 2 or any("," in each for chosen in patterns[1:] for each in chosen) or () in patterns[1:]:
        raise not_sayable(name, "choice of tools", patterns)
    return (f"{name}/{','.join(patterns[1])}" if patterns[1:] else name), found
