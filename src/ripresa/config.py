"""All settings as one tree of frozen values, from keywords, the environment, a file, a preset and defaults.

Law: what is nearer to the call wins: keyword > environment > file > preset > default, field by field. Every bad field
is named at once with `invalid_config`, with where it came from.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeAlias

from .authoring.flow import Runnable
from .authoring.switches import features_in, to_true
from .context import switching_off
from .core.durations import seconds
from .core.events import Recorded
from .core.limits import NONE, Limits
from .errors import InvalidConfig, RipresaError

Tree: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppConfig:
    """The app itself; see `App`. `store` is an address, empty for the default; `patience` is in seconds."""

    store: str = ""
    durability: str = "full"
    max_concurrency: int | None = None
    threads: int | None = None
    processes: int | None = None
    patience: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """Runs of one kind of definition: how long they may take (seconds) and how many attempts they make at a time."""

    timeout: float | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilityConfig:
    """Whether listeners are told about events, and the level at which each event is logged (`off`: it is not)."""

    enabled: bool = True
    log: str = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Which patterns may be used: starting what contains another one raises `invalid_state`, as does writing it.

    Where something is written is looked at within `Config.in_force`.
    """

    chains: bool = True
    graphs: bool = True
    workflows: bool = True
    parallel: bool = True
    maps: bool = True
    branches: bool = True
    loops: bool = True
    fallbacks: bool = True
    routers: bool = True
    streams: bool = True
    waits: bool = True
    state: bool = True
    sessions: bool = True
    sagas: bool = True
    approvals: bool = True
    hooks: bool = True
    speculation: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The tree. `load` makes one from everything that says something; the defaults are those of an `App` without it."""

    app: AppConfig = field(default_factory=AppConfig)
    chains: RunConfig = field(default_factory=RunConfig)
    graphs: RunConfig = field(default_factory=RunConfig)
    workflows: RunConfig = field(default_factory=RunConfig)
    observability: ObservabilityConfig = field(default_factory=ObservabilityConfig)
    features: Features = field(default_factory=Features)
    limits: Limits = NONE
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    """What `model=` of llm steps and agents means, by name: another name, or `provider:model`."""

    @classmethod
    def load(
        cls,
        source: Tree | str | os.PathLike[str] | None = None,
        *,
        preset: str = "",
        env: Mapping[str, str] | None = None,
        **keywords: Mapping[str, Any],
    ) -> Config:
        """Put a tree together from `keywords` (sections by name), the environment, `source` and a preset.

        `source` is a dict or the path of a TOML or YAML file; without one, the file that `RIPRESA_CONFIG` names. The
        preset is named here, by `RIPRESA_PRESET`, or as `preset` in the source. Raises `InvalidConfig` that names every
        bad field, `RipresaError(extra_missing)` for YAML without the extra `documents`.
        """
        env = os.environ if env is None else env
        source = env.get("RIPRESA_CONFIG") or None if source is None else source
        found, place = ({}, "") if source is None else _read(source)
        named = preset or env.get("RIPRESA_PRESET", "") or found.pop("preset", "")
        found.pop("preset", None)
        if named and named not in PRESETS:
            raise InvalidConfig(f"preset is {named!r}, must be one of {', '.join(PRESETS)}", op="Config")
        layers = ((PRESETS.get(named, {}), f"preset {named}"), (found, place), (_environment(env), "environment"))
        return _built([*layers, (keywords, "keyword")])

    def in_force(self) -> AbstractContextManager[None]:
        """Let what is written in here go by the features: a factory of one that is off raises `invalid_state`.

        `with config.in_force(): import flows`. It holds for the code in the block and the tasks that it starts, and
        for nobody else.
        """
        return switching_off(self.off)

    @property
    def off(self) -> frozenset[str]:
        """The features that are switched off, by name."""
        return _switched_off(self.features)


@lru_cache(maxsize=16)
def _switched_off(features: Features) -> frozenset[str]:
    """The features that are off, by name."""
    return frozenset(each.name for each in fields(features) if not getattr(features, each.name))


PRESETS: Final[dict[str, Tree]] = {
    "fast": {"app": {"durability": "normal", "patience": 1}},
    "robust": {
        "app": {"durability": "full", "patience": 30},
        "chains": {"timeout": "1 day"},
        "graphs": {"timeout": "1 day"},
        "limits": {"iterations": 10_000},
    },
}

SECTIONS: Final[dict[str, type[Any]]] = {
    "app": AppConfig,
    "chains": RunConfig,
    "graphs": RunConfig,
    "workflows": RunConfig,
    "observability": ObservabilityConfig,
    "features": Features,
    "limits": Limits,
}

MODELS: Final = "models"
"""The section whose options are named by whoever writes it."""

CHOICES: Final = {
    "durability": ("full", "normal"),
    "log": ("off", "debug", "info", "warning"),
}

_FLAGS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


def _read(source: Tree | str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    if isinstance(source, Mapping):
        return dict(source), "dict"
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidConfig(f"{path} cannot be read: {error.strerror}", op="Config", where=str(path)) from error
    return _parsed(path, text), str(path)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    if path.suffix in (".yaml", ".yml"):
        found = _yaml(path, text)
    elif path.suffix == ".toml":
        try:
            found = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise InvalidConfig(f"{path} is no TOML: {error}", op="Config", where=str(path)) from error
        if path.name == "pyproject.toml":
            found = found.get("tool", {}).get("ripresa", {})
    else:
        raise InvalidConfig(f"{path} is neither .toml nor .yaml", op="Config", where=str(path))
    if not isinstance(found, dict):
        raise InvalidConfig(f"{path} holds no sections", op="Config", where=str(path))
    return found  # pyright: ignore[reportUnknownVariableType]


def _yaml(path: Path, text: str) -> Any:
    try:
        ruamel = import_module("ruamel.yaml")
    except ImportError as error:
        raise RipresaError(
            f"{path} is YAML, which needs the extra 'documents'",
            code="extra_missing",
            op="Config",
            where=str(path),
            hint="pip install 'ripresa[documents]', or write TOML",
        ) from error
    try:
        return ruamel.YAML(typ="safe", pure=True).load(text) or {}
    except ruamel.error.YAMLError as error:
        raise InvalidConfig(f"{path} is no YAML: {error}", op="Config", where=str(path)) from error


def _environment(env: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What variables say: `RIPRESA_<SECTION>_<FIELD>`, and `RIPRESA_STORE`."""
    found: dict[str, dict[str, Any]] = {}
    for name, text in env.items():
        section, _, option = name.removeprefix("RIPRESA_").lower().partition("_")
        if name.startswith("RIPRESA_") and option and (section in SECTIONS or section == MODELS):
            found.setdefault(section, {})[option] = text
    if env.get("RIPRESA_STORE"):
        found.setdefault("app", {}).setdefault("store", env["RIPRESA_STORE"])
    return found


def _built(layers: list[tuple[Mapping[str, Any], str]]) -> Config:
    """The tree that layers make, the later ones over the earlier."""
    values: dict[str, dict[str, Any]] = {section: {} for section in (*SECTIONS, MODELS)}
    bad: list[str] = []
    for tree, place in layers:
        for section, options in tree.items():
            if section not in values:
                bad.append(f"{section} ({place}) is no section, must be one of {', '.join(values)}")
            elif not isinstance(options, Mapping):
                bad.append(f"{section} ({place}) is {options!r}, must hold options")
            elif section == MODELS:
                values[section].update(_models(options, place, bad))  # pyright: ignore[reportUnknownArgumentType]
            else:
                values[section].update(_values(section, options, place, bad))  # pyright: ignore[reportUnknownArgumentType]
    sections: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        try:
            sections[section] = kind(**values[section])
        except InvalidConfig as error:
            bad.append(f"{section}: {error.message}")
    if bad:
        raise InvalidConfig("; ".join(bad), op="Config")
    return Config(**sections, models=values[MODELS])


def _models(options: Mapping[Any, Any], place: str, bad: list[str]) -> Iterator[tuple[str, str]]:
    for name, model in options.items():
        if isinstance(model, str) and model.strip():
            yield str(name), model
        else:
            bad.append(f"{MODELS}.{name} ({place}) is {model!r}, must be the name of a model")


def _values(section: str, options: Mapping[Any, Any], place: str, bad: list[str]) -> Iterator[tuple[str, Any]]:
    kinds = {each.name: str(each.type) for each in fields(SECTIONS[section])}
    for name, raw in options.items():
        if name not in kinds:
            bad.append(f"{section}.{name} ({place}) is no option, must be one of {', '.join(kinds)}")
            continue
        value, wanted = _converted(name, kinds[name], raw, text=place == "environment")
        if wanted:
            bad.append(f"{section}.{name} ({place}) is {raw!r}, must be {wanted}")
        else:
            yield name, value


def _converted(name: str, kind: str, raw: Any, *, text: bool) -> tuple[Any, str]:
    """The value of an option, or what it must be."""
    if name in CHOICES:
        return raw, "" if raw in CHOICES[name] else f"one of {', '.join(CHOICES[name])}"
    if "None" in kind and (raw is None or (text and raw == "")):
        return None, ""
    if name in ("timeout", "patience", "wall_time"):
        try:
            return seconds(float(raw) if text and raw.replace(".", "", 1).isdigit() else raw, name), ""
        except InvalidConfig:
            return raw, 'a length of time such as 30 or "5 minutes"'
    if kind == "bool":
        value = _FLAGS.get(raw.lower()) if text else raw
        return value, "" if isinstance(value, bool) else "true or false"
    if kind.startswith("int"):
        value = int(raw) if text and raw.isdigit() else raw
        least = 0 if name in LEAST_NONE else 1
        return value, "" if type(value) is int and value >= least else f"a whole number from {least}"
    if kind.startswith("float"):
        try:
            value = float(raw) if text else raw
        except ValueError:
            value = raw
        return value, "" if type(value) in (int, float) and value >= 0 else "a number from 0"
    return raw, "" if isinstance(raw, str) else "text"


LEAST_NONE: Final = frozenset({"steps", "operations", "iterations", "tokens", "storage", "state_size", "unpriced"})
"""Whole numbers that may be 0: nothing of this."""


# --- what the tree decides


def configured(source: Config | Tree | str | os.PathLike[str] | None, keywords: Mapping[str, Any]) -> Config:
    """The settings of an app: a tree as it is, or one that is loaded; keywords of the app go before both."""
    if not isinstance(source, Config):
        return Config.load(source, app=keywords)
    kept = {each.name: getattr(source.app, each.name) for each in fields(AppConfig)}
    return replace(source, app=_built([({"app": {**kept, **keywords}}, "keyword")]).app)


def allowed(config: Config, runnable: Runnable[..., Any], *, in_session: bool, hooked: bool = False) -> RunConfig:
    """The usual settings of a run of this kind. Raises `RipresaError(invalid_state)` for what is switched off."""
    kind = _kind(runnable)
    if config.off:
        used = {*features_in(runnable.definition.root)}
        used |= {name for name, here in (("sessions", in_session), ("hooks", hooked)) if here}
        off = (used | ({"chains"} if kind == "chain" else set[str]())) & config.off
        if off:
            raise RipresaError(
                f"{runnable.name!r} uses {', '.join(sorted(off))}, which this app has switched off",
                code="invalid_state",
                op="start",
                where=runnable.name,
                hint=to_true(off),
            )
    return {"chain": config.chains, "graph": config.graphs, "workflow": config.workflows}.get(kind, _USUAL)


_USUAL: Final = RunConfig()


def _kind(runnable: Runnable[..., Any]) -> str:
    from .authoring.registry import kind_of
    from .authoring.single import Single

    return "step" if isinstance(runnable, Single) else kind_of(runnable)


def log_listener(level: str) -> tuple[Callable[[Recorded], None], ...]:
    """A listener that logs each event with its fields at this level; none for `off`."""
    if level == "off":
        return ()
    import logging

    log, number = logging.getLogger("ripresa.events"), logging.getLevelNamesMapping()[level.upper()]

    def listen(recorded: Recorded) -> None:
        where = {"run": recorded.run, "seq": recorded.seq, "path": getattr(recorded.event, "path", "")}
        log.log(number, type(recorded.event).__name__, extra=where)

    return (listen,)
