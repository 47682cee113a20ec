"""Models of providers, asked by pydantic-ai's clients: one request at a time, retried by nobody but the engine.

Law: what a provider says never leaves with a key in it, and everything that goes wrong has a code that says whether
trying again may help.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock
from typing import Any, Final

from ..errors import ModelError, RipresaError
from .conversation import Message, ModelAnswer, ModelRequest, ToolCall, ToolSpec, Write
from .gateway import BASE_URL, KEY, PROVIDERS, ModelEndpoint

LONGEST_WAIT: Final = 3600.0
"""Seconds that a server may ask to wait; when it asks for more, the next try is not made."""

_SECRET: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD")
_SHORTEST_SECRET: Final = 6


class ProviderModel:
    """A model of a provider; its client is made when it is first asked."""

    def __init__(self, endpoint: ModelEndpoint, address: str, key: str) -> None:
        self._endpoint = endpoint
        self._address = address
        self._key = key
        self._model: Any = None
        self.provider, self.name = named_model(endpoint, address)

    async def answer(self, request: ModelRequest, write: Write) -> ModelAnswer:
        """See `Model`."""
        if self._model is None:  # the import takes more than a second: others go on meanwhile
            await asyncio.to_thread(load_clients)
        exceptions = imported("pydantic_ai.exceptions")
        model = self._client()
        messages = said_to(request)
        parameters, settings = _parameters(request), _settings(request)
        direct = imported("pydantic_ai.direct")
        options = {"model_settings": settings, "model_request_parameters": parameters}
        try:
            if request.stream:
                response = await _streamed(direct.model_request_stream(model, messages, **options), write)
            else:
                response = await direct.model_request(model, messages, **options)
        except (exceptions.AgentRunError, exceptions.UserError) as error:
            raise coded(error, f"{self.provider}:{self.name}", self._key) from None
        return self.read(response, request)

    def read(self, response: Any, request: ModelRequest) -> ModelAnswer:
        """The answer in a response."""
        messages = imported("pydantic_ai.messages")
        calls = [part for part in response.parts if isinstance(part, messages.ToolCallPart)]
        texts = [part.content for part in response.parts if isinstance(part, messages.TextPart)]
        raw = ""
        if len(calls) + len(texts) < len(response.parts):
            raw = messages.ModelMessagesTypeAdapter.dump_json([response]).decode()
        usage = response.usage
        return ModelAnswer(
            "".join(texts),
            tuple(ToolCall(part.tool_call_id, part.tool_name, _arguments(part)) for part in calls),
            response.finish_reason or "stop",
            f"{self.provider}:{response.model_name or self.name}",
            usage.input_tokens,
            usage.output_tokens,
            self.price(request, usage.input_tokens, usage.output_tokens),
            raw,
        )

    def price(self, request: ModelRequest, input_tokens: int, output_tokens: int) -> float | None:
        """See `Model`."""
        return price_of(self.provider, self.name, input_tokens, output_tokens)

    async def close(self) -> None:
        """Close its connections."""
        model, self._model = self._model, None
        client = getattr(model, "client", None)
        if client is not None and hasattr(client, "close"):
            await client.close()

    # --- the client

    def _client(self) -> Any:
        if self._model is None:
            self._model = self._openai() if self.provider in ("openai", "openai-chat") else self._other()
        return self._model

    def _openai(self) -> Any:
        """OpenAI's chat completions, at OpenAI or at any server that speaks them."""
        client = openai_client(self._endpoint, self._address, self._key)
        models, providers = imported("pydantic_ai.models.openai"), imported("pydantic_ai.providers.openai")
        return models.OpenAIChatModel(self.name, provider=providers.OpenAIProvider(openai_client=client))

    def _other(self) -> Any:
        infer = imported("pydantic_ai.models").infer_model
        return other_client(self._endpoint, self.provider, self.name, self._key, infer)


def _arguments(part: Any) -> str:
    """What a model wrote, as it wrote it: whether that is JSON is for the tool to say."""
    return part.args if isinstance(part.args, str) else str(part.args_as_json_str())


def price_of(provider: str, model: str, input_tokens: int, output_tokens: int = 0) -> float | None:
    """What a request costs in dollars, by the price list; None where that does not know the model."""
    prices = imported("genai_prices")
    usage = prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    theirs = next((theirs for theirs, ours in PROVIDERS.items() if ours == provider), provider)
    try:
        found = prices.calc_price(usage, model, provider_id=theirs.removesuffix("-chat").removesuffix("-responses"))
    except LookupError:
        return None
    return float(found.total_price)


def price_known(model: str, input_tokens: int, output_tokens: int, provider: str = "") -> float | None:
    """What a request of another framework costs in dollars, where there is a price list and it knows the model.

    The provider may stand before the name (`anthropic/claude-sonnet-4-5`).
    """
    before, _, name = model.rpartition("/")
    try:
        prices = imported("genai_prices")
        usage = prices.Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        return float(prices.calc_price(usage, name, provider_id=before or provider or None).total_price)
    except (LookupError, RipresaError):
        return None


def openai_client(endpoint: ModelEndpoint, address: str, key: str) -> Any:
    """A client of OpenAI, or of a server that speaks like it. Raises `RipresaError(model_not_configured)`."""
    if not key and (endpoint.key_variable or not address):
        variable = endpoint.key_variable or KEY
        raise RipresaError(
            f"there is no key for {':'.join(named_model(endpoint, address))}",
            code="model_not_configured",
            op="llm",
            hint=f"set {variable}; for a server of your own set {BASE_URL}, or name a ModelEndpoint(base_url=...)",
        )
    return imported("openai").AsyncOpenAI(base_url=address or None, api_key=key or "not-set", max_retries=0)


def other_client(endpoint: ModelEndpoint, provider: str, model: str, key: str, make: Callable[[str], Any]) -> Any:
    """What asks a provider that is not OpenAI. Raises `RipresaError` with the code that says why there is none."""
    name = f"{provider}:{model}"
    if endpoint.key_variable:  # its client would take the usual key without a word
        raise RipresaError(
            f"{name} cannot be given a key of its own",
            code="model_not_configured",
            op="llm",
            where=name,
            hint=f"key_variable is for openai: and servers at a base_url; {provider} has its own",
        )
    exceptions = imported("pydantic_ai.exceptions")
    try:
        return make(name)
    except exceptions.UserError as error:
        raise coded(error, name, key) from None
    except ImportError as error:
        raise RipresaError(
            f"the client for {provider} is not installed: {error.name or error}",
            code="extra_missing",
            op="llm",
            where=name,
            hint=f"pip install 'pydantic-ai-slim[{provider}]'",
        ) from None


_IMPORTING: Final = Lock()


def load_clients() -> None:
    """Import what asks models, one thread at a time: a module that another thread is importing is only half there."""
    with _IMPORTING:
        imported("pydantic_ai.direct")


def imported(name: str) -> Any:
    """A module of the extra `llm`."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise RipresaError(
            f"models are asked by {name.partition('.')[0]}, which is not installed",
            code="extra_missing",
            op="llm",
            hint="pip install 'ripresa[llm]'",
        ) from error


def named_model(endpoint: ModelEndpoint, address: str) -> tuple[str, str]:
    """Provider and model of a name. What nobody knows is asked of the server that is configured, if one is."""
    provider, colon, name = endpoint.name.partition(":")
    if colon and not endpoint.base_url:
        return provider, name
    if endpoint.base_url:
        return "openai", name if provider == "openai" else endpoint.name
    snapshot = imported("genai_prices.data_snapshot").get_snapshot()
    with suppress(LookupError):
        found = str(snapshot.find_provider_model(endpoint.name, None, None, None)[0].id)
        return PROVIDERS.get(found, found), endpoint.name
    if address:
        return "openai", endpoint.name
    raise RipresaError(
        f"nobody knows whose model {endpoint.name!r} is",
        code="unknown_model",
        op="llm",
        hint=f"write provider:model, name it in App(models=...), or set {BASE_URL}",
    )


# --- what is said, in the provider's form


def said_to(request: ModelRequest) -> list[Any]:
    """The messages of a request in the form of pydantic-ai."""
    ai = imported("pydantic_ai.messages")
    said: list[Any] = []
    parts: list[Any] = [ai.SystemPromptPart(request.system)] if request.system else []
    for message in request.messages:
        if message.role == "model":
            said += [ai.ModelRequest(parts=parts)] if parts else []
            said.append(_response(message, ai))
            parts = []
        elif message.role == "tool":
            parts.append(ai.ToolReturnPart(message.name, message.text, tool_call_id=message.id))
        else:
            parts.append(ai.UserPromptPart(message.text))
    return [*said, ai.ModelRequest(parts=parts)] if parts else said


def _response(message: Message, ai: Any) -> Any:
    if message.raw:
        return ai.ModelMessagesTypeAdapter.validate_json(message.raw)[0]
    texts = [ai.TextPart(message.text)] if message.text else []
    calls = [ai.ToolCallPart(call.name, call.arguments, tool_call_id=call.id) for call in message.calls]
    return ai.ModelResponse(parts=[*texts, *calls])


def _parameters(request: ModelRequest) -> Any:
    models = imported("pydantic_ai.models")
    return models.ModelRequestParameters(
        function_tools=_tools(request.tools, "function"),
        output_tools=_tools([] if request.output is None else [request.output], "output"),
        output_mode="text" if request.output is None else "tool",
        allow_text_output=request.output is None,
    )


def _tools(specs: Iterable[ToolSpec], kind: str) -> list[Any]:
    tools = imported("pydantic_ai.tools")
    return [
        tools.ToolDefinition(
            name=spec.name, description=spec.description, parameters_json_schema=dict(spec.schema), kind=kind
        )
        for spec in specs
    ]


def _settings(request: ModelRequest) -> dict[str, Any]:
    given = {"temperature": request.temperature, "max_tokens": request.max_tokens, "max_retries": 0}
    return {name: value for name, value in given.items() if value is not None}


async def _streamed(opening: Any, write: Write) -> Any:
    ai = imported("pydantic_ai.messages")
    async with opening as stream:
        async for event in stream:
            if isinstance(event, ai.PartStartEvent) and isinstance(event.part, ai.TextPart):
                write(event.part.content)
            elif isinstance(event, ai.PartDeltaEvent) and isinstance(event.delta, ai.TextPartDelta):
                write(event.delta.content_delta)
        return stream.get()


# --- what goes wrong


def coded(error: Exception, model: str, key: str = "") -> RipresaError:
    """What a client raised, as an error with a code, without its cause: that may hold what is secret."""
    ai = imported("pydantic_ai.exceptions")
    message = f"{model}: {without_secrets(str(error), key)}"
    if isinstance(error, ai.UserError):
        return RipresaError(message, code="model_not_configured", op="llm")
    for kind, make in (
        (ai.ModelAuthenticationError, _unauthorized),
        (ai.ModelNotFoundError, _not_found),
        (ai.ModelContextWindowExceededError, _too_long),
        (ai.ModelQuotaExceededError, _used_up),
        (ai.ModelRateLimitError, _limited),
        (ai.ModelRequestRejectedError, _refused),
        (ai.ContentFilterError, _filtered),
        (ai.UnexpectedModelBehavior, _misshapen),
    ):
        if isinstance(error, kind):
            found = make(message)
            break
    else:
        status = getattr(error, "status_code", 0)
        broken = isinstance(error.__cause__, json.JSONDecodeError)
        found = _misshapen(message) if broken else (_refused if 400 <= status < 500 else _unavailable)(message)
    return timed(found, getattr(error, "retry_after", None))


def timed(error: ModelError, wait: float | None) -> ModelError:
    """An error with the wait that its server asked for; one that is too long is not waited for."""
    error.retry_after = wait or 0.0
    if error.retry_after > LONGEST_WAIT:
        error.retryable = False
        error.hint = f"the provider asks to come back in {error.retry_after:g} s"
    return error


def _unauthorized(message: str) -> ModelError:
    return ModelError(message, code="model_unauthorized", hint="look at the key of the provider in the environment")


def _not_found(message: str) -> ModelError:
    return ModelError(message, code="unknown_model")


def _too_long(message: str) -> ModelError:
    return ModelError(message, code="context_too_long", hint="shorten the prompt or trim the memory")


def _used_up(message: str) -> ModelError:
    return ModelError(message, code="model_quota_exceeded")


def _limited(message: str) -> ModelError:
    return ModelError(message, code="model_rate_limited")


def _refused(message: str) -> ModelError:
    return ModelError(message, code="model_refused")


def _filtered(message: str) -> ModelError:
    return ModelError(message, code="answer_filtered")


def _misshapen(message: str) -> ModelError:
    return ModelError(message, code="invalid_model_answer")


def _unavailable(message: str) -> ModelError:
    return ModelError(message, code="model_unavailable")


def without_secrets(text: str, key: str = "") -> str:
    """A text without a key, and without the values of environment variables whose names say that they are secret."""
    secrets = {
        value
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST_SECRET and any(word in name.upper() for word in _SECRET)
    }
    for secret in sorted({*secrets, key} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text
