"""Asks models from within a step: one that answers, of those that may; what it used is accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from ..authoring.options import refuse
from ..context import StepContext, current
from ..core.durations import Duration, seconds
from ..errors import ModelError, StepTimeout
from .conversation import Model, ModelAnswer, ModelRequest
from .gateway import DEFAULT, Gateway, ModelEndpoint, Named

FALLS_BACK: Final = (
    "model_rate_limited",
    "model_quota_exceeded",
    "model_unavailable",
    "context_too_long",
    "answer_filtered",
    "invalid_model_answer",
)
"""Codes after which another model is asked. What is wrong with the configuration is never passed over."""

_BYTES_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Voice:
    """Who is asked, and how: `models` in this order until one answers, each within `patience` seconds."""

    models: tuple[Named, ...] = (DEFAULT,)
    temperature: float | None = None
    max_tokens: int | None = None
    stream: bool = False
    patience: float | None = None

    def problems(self) -> list[str | None]:
        """What is wrong with it."""
        return [
            None if self.models and all(map(is_model, self.models)) else f"model is {self.models!r}, must name models",
            _no_number(self.temperature),
            None
            if self.max_tokens is None or (type(self.max_tokens) is int and self.max_tokens >= 1)
            else f"max_tokens is {self.max_tokens!r}, must be a whole number from 1",
            None if self.patience is None or self.patience > 0 else "patience is 0, must be a length of time above 0",
        ]


def voice_of(
    model: Named,
    fallback: Sequence[Named],
    temperature: float | None,
    max_tokens: int | None,
    stream: bool,
    patience: Duration | None = None,
) -> Voice:
    """Who is asked, from the options of a step. Raises `InvalidConfig` for a fallback that is no list of models."""
    fine = isinstance(fallback, list | tuple)
    refuse("llm", None if fine else f"fallback is {fallback!r}, must be a list of models")
    wait = None if patience is None else seconds(patience, "patience")
    return Voice((model, *fallback), temperature, max_tokens, stream, wait)


def bad_memory(value: object) -> str | None:
    """What is wrong with what should remember conversations, or nothing."""
    fine = value is None or (hasattr(value, "recall") and hasattr(value, "keep"))
    return None if fine else f"memory is {value!r}, must be a Memory"


def is_model(value: object) -> bool:
    """Whether something names a model or is one."""
    return value != "" if isinstance(value, str) else isinstance(value, ModelEndpoint) or hasattr(value, "answer")


def name_of(model: Named) -> str:
    """The name of a model, for requests and interactions."""
    if isinstance(model, str):
        return model
    return model.name if isinstance(model, ModelEndpoint) else str(getattr(model, "name", type(model).__name__))


def _no_number(value: object) -> str | None:
    fine = value is None or (type(value) in (int, float) and 0 <= value <= 2)  # type: ignore[operator]
    return None if fine else f"temperature is {value!r}, must be a number from 0 to 2"


async def ask(voice: Voice, request: ModelRequest) -> ModelAnswer:
    """The answer of the first of several models that gives one.

    Raises what the last one raised, or at once what another model cannot mend.
    """
    context = current()
    known = context.models
    gateway = known if isinstance(known, Gateway) else Gateway(known)
    asked = replace(request, temperature=voice.temperature, max_tokens=voice.max_tokens, stream=voice.stream)
    try:
        return await _first(context, gateway, voice, asked)
    finally:
        if gateway is not known:
            await gateway.close()


async def _first(context: StepContext, gateway: Gateway, voice: Voice, request: ModelRequest) -> ModelAnswer:
    *others, last = voice.models
    for number, model in enumerate(others):
        try:
            return await _within(_share(context, voice, number), context, gateway.find(model), named(request, model))
        except ModelError as error:
            if error.code not in FALLS_BACK:
                raise
        except StepTimeout:
            pass
    return await _within(voice.patience, context, gateway.find(last), named(request, last))


def named(request: ModelRequest, model: Named) -> ModelRequest:
    """The same request, to this model."""
    return replace(request, model=name_of(model))


def _share(context: StepContext, voice: Voice, number: int) -> float | None:
    """How many seconds a model has that others follow: its patience, or an equal share of what the attempt has left."""
    if voice.patience is not None or context.deadline is None:
        return voice.patience
    left = (context.deadline - datetime.now(UTC)).total_seconds()
    return left / (len(voice.models) - number) if left > 0 else None


async def _within(limit: float | None, context: StepContext, model: Model, request: ModelRequest) -> ModelAnswer:
    """The answer of one model. Raises `StepTimeout` where it takes longer."""
    asking = asyncio.timeout(limit)
    try:
        async with asking:
            return await _one(context, model, request)
    except TimeoutError:
        if not asking.expired():
            raise
        raise StepTimeout(f"{request.model} did not answer within {limit:g} s", op="llm") from None


async def _one(context: StepContext, model: Model, request: ModelRequest) -> ModelAnswer:
    expected, most = _expected(request), request.max_tokens
    price = model.price(request, expected, most or 0)
    if most is not None:
        await context.ensure(tokens=expected + most, cost=price)
    else:
        await context.ensure(cost=None if price is None else 0.0)
    answer = await model.answer(request, context.write)
    context.usage(tokens=answer.tokens, cost=answer.cost)
    if answer.finish == "content_filter" and not answer.text and not answer.calls:
        raise ModelError(f"{request.model} withheld its answer", code="answer_filtered")
    return answer


def _expected(request: ModelRequest) -> int:
    """About how many tokens a request has."""
    texts: list[Any] = [request.system, *(message.text for message in request.messages)]
    return sum(len(text.encode()) for text in texts) // _BYTES_PER_TOKEN + 1
