"""The ready-made steps as documents name them: `llm` is called with its config, the others are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from typing_extensions import Unpack

from ..authoring.document.cel import rendered
from ..authoring.document.library import Maker
from ..authoring.options import refuse
from ..authoring.step import step
from ..errors import InvalidConfig, RipresaError
from .agents import AgentOptions
from .agents import cli_agent as _cli_agent
from .asking import voice_of
from .calls import HttpOptions
from .calls import http as _http
from .credentials import has_credentials, read_credentials
from .forms import Form
from .gateway import DEFAULT
from .llm import PATIENT, Question, answered
from .making import StepOptions
from .operations import OpenAPIOptions
from .operations import openapi as _openapi
from .programs import ShellOptions
from .programs import python as _python
from .programs import shell as _shell
from .secret import Secret

if TYPE_CHECKING:
    from ..agents.mcp_server import McpServer


def _is_schema(given: dict[str, Any]) -> dict[str, Any]:
    try:
        schema_type(given)
    except InvalidConfig as error:
        raise ValueError(error.message) from error
    return given


Named: TypeAlias = Annotated[str, Field(min_length=1)]
Temperature: TypeAlias = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
Count: TypeAlias = Annotated[int, Field(ge=1)]
Schema: TypeAlias = Annotated[dict[str, Any], AfterValidator(_is_schema)]


@step(retry=PATIENT)
async def llm(  # noqa: PLR0913 - every key of its config
    value: Any = None,
    *,
    prompt: str,
    model: Named = DEFAULT,
    system: str = "",
    temperature: Temperature | None = None,
    max_tokens: Count | None = None,
    fallback: list[Named] = [],  # noqa: B006 - never changed
    output: Schema | None = None,
    stream: bool = False,
) -> Any:
    """Ask a language model. A value that it is given, not null, follows the prompt; texts are no templates.

    `output` is the JSON Schema of the answer, which is text without it. The rest is as for `ripresa.llm`.
    """
    voice = voice_of(model, fallback, temperature, max_tokens, stream)
    refuse("llm", *voice.problems())
    text = prompt if value is None else f"{prompt}\n\n{rendered(value)}"
    form = None if output is None else Form(schema_type(output))
    return await answered(Question(voice, form), text, system)


def schema_type(schema: dict[str, Any]) -> Any:
    """A type whose values fit a JSON Schema. Raises `RipresaError(extra_missing)`, `InvalidConfig` for no schema."""
    try:
        library = import_module("jsonschema_rs")
    except ImportError as error:
        raise RipresaError(
            "answers by JSON Schema need the extra 'documents'",
            code="extra_missing",
            op="llm",
            hint="pip install 'ripresa[documents]'",
        ) from error
    try:
        validator = library.validator_for(schema, offline=True)
    except ValueError as error:
        raise InvalidConfig(f"output is no JSON Schema: {error}", op="llm") from error

    def check(value: Any) -> Any:
        wrong = next(iter(validator.iter_errors(value)), None)
        if wrong is not None:
            raise ValueError(str(wrong.message))
        return value

    kind: Any = Annotated[Any, BeforeValidator(check), WithJsonSchema(schema)]
    return kind  # pyright: ignore[reportUnknownVariableType] - a type that is made here


_ONLY_TRUSTED: Final = "not for documents that may import only some modules"


def _http_step(method: str, url: str = "", **options: Unpack[HttpOptions]) -> Any:
    return cast("Any", _http(method, url, **read_credentials(options)))


def _public_http_step(method: str, url: str = "", **options: Unpack[HttpOptions]) -> Any:
    """The same for documents that may not say for themselves what they reach beside the public internet."""
    _bounded("http", options)
    return _http_step(method, url, **options)


def _bounded(kind: str, options: Mapping[str, Any], more: str = "") -> None:
    """Refuses what only documents may say that are trusted: addresses that are inside, secrets and files of ours."""
    refuse(
        kind,
        *(f"{name} is {_ONLY_TRUSTED}" for name in ("allow", "ca") if name in options),
        f"secrets are {_ONLY_TRUSTED}" if has_credentials(options) else None,
        f"{more} is {_ONLY_TRUSTED}" if more else None,
        hint="add 'ripresa.steps.documents' to modules, or register a step of your own in the library",
    )


def _openapi_step(document: Any, operation: str, **options: Unpack[OpenAPIOptions]) -> Any:
    return cast("Any", _openapi(document, operation, **read_credentials(options)))


def _public_openapi_step(document: Any, operation: str, **options: Unpack[OpenAPIOptions]) -> Any:
    """The same for such documents; a description of an API that is a file is not for them either."""
    is_file = isinstance(document, str) and "://" not in document
    _bounded("openapi", options, "document is a file, which" if is_file else "")
    return _openapi_step(document, operation, **options)


def _shell_step(command: list[str], **options: Unpack[ShellOptions]) -> Any:
    return _shell(*command, **options)


def _python_step(script: str, args: list[str] = [], **options: Unpack[ShellOptions]) -> Any:  # noqa: B006 - never changed
    return _python(script, *args, **options)


def _cli_agent_step(dialect: str = "kilo", **options: Unpack[AgentOptions]) -> Any:
    return _cli_agent(dialect, **options)


def _mcp_step(
    server: dict[str, Any],
    tool: str,
    arguments: dict[str, Any] = {},  # noqa: B006 - never changed
    **options: Unpack[StepOptions],
) -> Any:
    """A step that calls a tool of an MCP server; the value that it is given, an object, is added to the arguments."""
    found = server_of(server)
    refuse("mcp", "approval is for agents: put an approval before the step" if found.asks else None, where=found.name)
    return found.step(tool, arguments=arguments, input=cast("type[Any]", dict[str, Any] | None), **options)


def _agent_step(  # noqa: PLR0913 - every key of its config
    instructions: str,
    tools: list[dict[str, Any]] = [],  # noqa: B006 - never changed
    role: str = "",
    model: str = DEFAULT,
    fallback: list[str] = [],  # noqa: B006 - never changed
    output: dict[str, Any] | None = None,
    permissions: list[str] = [],  # noqa: B006 - never changed
    temperature: float | None = None,
    max_tokens: int | None = None,
    turns: int = 20,
    calls: int | None = None,
    name: str = "agent",
) -> Any:
    """An agent whose tools are those of MCP servers; it is given the value."""
    from ..agents.agent import Agent
    from ..agents.turns import AgentBounds

    servers = [server_of(each) for each in tools]
    asks = ", ".join(each.name for each in servers if each.asks)
    refuse("agent", f"approval of {asks} needs code: supervised(Agent(...))" if asks else None)
    return Agent(
        name,
        input=cast("type[Any]", Any),
        output=str if output is None else schema_type(output),
        model=model,
        fallback=fallback,
        role=role,
        instructions=instructions,
        tools=servers,
        permissions=permissions,
        bounds=AgentBounds(turns, calls),
        temperature=temperature,
        max_tokens=max_tokens,
    )


def server_of(data: Any) -> McpServer:
    """An MCP server as a document describes it: the options of `McpServer` with its `name`.

    A value of `env` and `headers` may be `{secret: "env:NAME"}`. Raises `InvalidConfig`.
    """
    from ..agents.mcp_server import McpServer

    if not isinstance(data, dict):
        raise InvalidConfig(f"an MCP server is {data!r}, must be an object with command or url", op="mcp")
    given = cast("dict[str, Any]", data)
    unknown = sorted(set(given) - SERVER_KEYS)
    refuse("mcp", f"an MCP server has no {', '.join(unknown)}" if unknown else None)
    options = {key: value for key, value in given.items() if key != "name"}
    for key in ("env", "headers"):
        if isinstance(options.get(key), dict):
            options[key] = {each: _secret(value) for each, value in options[key].items()}
    return McpServer(str(given.get("name", "mcp")), **options)


def _secret(value: Any) -> Any:
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if set(found) == {"secret"}:
            return Secret(str(found["secret"]))
    return cast("Any", value)


SERVER_KEYS: Final = frozenset(
    (
        "name", "command", "cwd", "env", "pass_env", "grace", "url", "headers", "allow_hosts", "allow", "deny",
        "prefix", "trust", "effects", "permission", "approval", "timeout", "retry", "patience",
    )
)  # fmt: skip
"""What a document may say of an MCP server."""

http: Final = Maker(_http_step)
public_http: Final = Maker(_public_http_step)
openapi: Final = Maker(_openapi_step)
public_openapi: Final = Maker(_public_openapi_step)
shell: Final = Maker(_shell_step)
python: Final = Maker(_python_step)
cli_agent: Final = Maker(_cli_agent_step)
mcp: Final = Maker(_mcp_step)
agent: Final = Maker(_agent_step)
