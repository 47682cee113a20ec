"""Checks what an app is given from outside, all of it together, before anything is begun with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from ..authoring.hooks import Hook, Hooks
from ..authoring.pool import Pool
from ..core.complaints import Complaints
from ..core.durations import seconds
from ..errors import InvalidConfig
from ..ports import WEBHOOK, Store
from ..stores.address import SCHEMES
from .cancellation import CancelToken
from .family import PARENT
from .outbox import KINDS, Announce, Sender

if TYPE_CHECKING:
    from ..config import Config
    from ..steps.webhooks import Endpoint

OWN: Final = ("auto", "process")
"""Names of executors that are always there."""


@dataclass(frozen=True, slots=True)
class Given:
    """What an app is given beside its settings: `lengths` of time by option, and what it may use."""

    store: str | os.PathLike[str] | Store | None
    stores: Mapping[str, Any]
    executors: Mapping[str, Any]
    senders: Mapping[str, Any]
    models: Any
    pools: tuple[Any, ...]
    lengths: Mapping[str, Any]

    def checked(
        self, configure: Callable[[], Config], hooks: Iterable[Hook]
    ) -> tuple[str | Store | None, Config, Hooks]:
        """The store, the settings and the hooks. Raises `InvalidConfig` that names every option that cannot be."""
        bad = Complaints()
        store = bad.read(store_of, self.store)
        bad.read(check_providers, self.stores, self.executors, self.senders)
        if self.models != {}:
            bad.read(check_models, self.models)
        for name, length in self.lengths.items():
            if length is not None or name == "near":
                bad.read(seconds, length, name)
        bad.extend(f"pools has {pool!r}, must have Pools" for pool in self.pools if not isinstance(pool, Pool))
        config, known = bad.read(configure), bad.read(Hooks, hooks)
        bad.refuse("App")
        return store, config, known


def store_of(given: str | os.PathLike[str] | Store | None) -> str | Store | None:
    """The address of a store, or the store itself. Raises `InvalidConfig` for what is neither."""
    if isinstance(given, os.PathLike):
        return f"sqlite:{os.fspath(given)}"
    if given is None or isinstance(given, str) or hasattr(given, "url"):
        return given
    raise InvalidConfig(f"store is {given!r}, must be an address, a path or a Store", op="App")


def check_providers(stores: Mapping[str, Any], executors: Mapping[str, Any], senders: Mapping[str, Any]) -> None:
    """Refuse what would stand in for something of Ripresa's own, and what cannot do what it is for."""
    bad = [f"stores has {name!r}, which is a store of Ripresa's own" for name in stores if name in SCHEMES]
    bad += [f"executors has {name!r}, which is one of Ripresa's own" for name in executors if name in OWN]
    bad += [f"senders has {kind!r}, which is one of Ripresa's own" for kind in senders if kind in KINDS]
    bad += [
        f"stores has {make!r} for {name!r}, must be a function of an address"
        for name, make in stores.items()
        if not callable(make)
    ]
    bad += [
        f"executors has {made!r} for {name!r}, which cannot perform"
        for name, made in executors.items()
        if not hasattr(made, "perform")
    ]
    bad += [
        f"senders has {send!r} for {kind!r}, must be an async function of what is sent"
        for kind, send in senders.items()
        if not callable(send)
    ]
    if bad:
        raise InvalidConfig("; ".join(bad), op="App")


def check_models(models: object) -> None:
    """Refuse models that are not given by name, and names that stand for what is no model."""
    from ..steps.asking import is_model

    if not isinstance(models, Mapping):
        raise InvalidConfig(f"models is {models!r}, must be a mapping of names to models", op="App")
    named = cast("Mapping[object, object]", models)
    bad = [f"models has {made!r} for {name!r}, which is no model" for name, made in named.items() if not is_model(made)]
    if bad:
        raise InvalidConfig("; ".join(bad), op="App", hint="give a name, a ModelEndpoint or a Model")


def outlets(
    senders: Mapping[str, Sender], webhooks: Iterable[Endpoint]
) -> tuple[Mapping[str, Sender], Announce | None]:
    """The senders of an app with that of its webhooks, and what announces events to those."""
    endpoints = tuple(webhooks)
    if not endpoints:
        return dict(senders), None
    from ..steps.webhooks import Webhooks

    if WEBHOOK in senders:
        raise InvalidConfig(f"senders has {WEBHOOK!r}, and there are webhooks", op="App", hint="leave one of them out")
    found = Webhooks(endpoints)
    return {**senders, WEBHOOK: found.deliver}, found.announce if found.announces else None


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """The tags of a run. Raises `InvalidConfig` unless they are printable texts."""
    given: Any = tags
    fine = not isinstance(given, str | bytes) and isinstance(given, Iterable)
    found = tuple(cast("Iterable[Any]", given)) if fine else ()
    if not fine or not all(isinstance(tag, str) and tag and tag.isprintable() for tag in found):
        raise InvalidConfig(f"tags is {tags!r}, must be a list of printable texts", op="start")
    own = [tag for tag in found if tag.startswith(PARENT)]
    if own:
        raise InvalidConfig(f"tags has {own[0]!r}; what begins with {PARENT!r} is Ripresa's own", op="start")
    return found


def check_names(target: object, session: object, by: object) -> None:
    """Refuse texts of a run that are none; None stands for a target or a session that was not given."""
    bad = [
        f"{name} is {value!r}, must be a text"
        for name, value in (("target", target), ("session", session), ("by", by))
        if not isinstance(value, str) and (value is not None or name == "by")
    ]
    if bad:
        raise InvalidConfig("; ".join(bad), op="start")


def check_token(cancel: object) -> None:
    """Refuse what is no token where one may be given."""
    if cancel is not None and not isinstance(cancel, CancelToken):
        raise InvalidConfig(f"cancel is {cancel!r}, must be a CancelToken", op="start")
