"""Results of steps that other runs may use: found before an attempt begins, kept after it has returned.

Law: a cached result is a value like any other: decoded by the step's annotation, recorded as the step's own outcome.
What cannot be kept concerns nobody but the next caller.
"""

from __future__ import annotations

import logging
from hashlib import sha256
from typing import TYPE_CHECKING

from ..authoring.cache import Cache, cached_name
from ..core.definition import canonical
from ..core.events import StepReused
from ..core.values import Value
from ..errors import RipresaError, StoreError
from ..ports import CachedResult

if TYPE_CHECKING:
    from .attempts import Running

_log = logging.getLogger("ripresa")


def key_of(running: Running, cache: Cache) -> str:
    """What the result of an attempt is found by: function, version, arguments. Raises what the step's `key` raises."""
    step = running.step
    args, kwargs = running.bound.binding.arguments(running.input, running.driver.values)
    if cache.key is None:
        about = step.parameters.encode(args, kwargs, where=running.path).decode()
    else:
        about = cache.key(*args, **kwargs)
        if not isinstance(about, str):
            message = f"the key of step {step.name!r} is {about!r}, must be a text"
            raise RipresaError(message, code="invalid_config", where=running.path)
    return sha256(canonical([cached_name(step.fn), cache.version, cache.key is not None, about])).hexdigest()


def find(running: Running, key: str) -> StepReused | None:
    """The fact that an attempt need not run, if its result is known and good."""
    driver = running.driver
    now = driver.clock.now()
    text = driver.engine.store.find_result(key, now)
    if text is None:
        return None
    return StepReused(now, running.path, running.number, driver.keeper.keep(text), cached=True)


async def keep(running: Running, cache: Cache, key: str, output: Value) -> None:
    """Keep what an attempt returned for others."""
    driver = running.driver
    expires_at = driver.clock.now() + cache.ttl if cache.ttl else 0
    result = CachedResult(key, cached_name(running.step.fn), driver.values.text(output), expires_at)
    try:
        await driver.engine.store.keep_result(result)
    except StoreError as error:  # the step has done its work nevertheless
        _log.warning("a result was not cached", extra={"step": running.step.name, "code": error.code})
