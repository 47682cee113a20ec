"""The ready-made steps as documents name them: `llm` and `webhook` are called with their config, others made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import wraps
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, cast

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from typing_extensions import Unpack

from ..authoring.document.cel import rendered
from ..authoring.document.library import Equipped, Maker
from ..authoring.document.settings import retry_from
from ..authoring.document.shapes import SERVER
from ..authoring.options import bad_choice, refuse
from ..authoring.step import Step, step
from ..authoring.waits import Options as Asking
from ..core.durations import seconds
from ..errors import InvalidConfig, RipresaError
from .agents import AgentOptions
from .agents import cli_agent as _cli_agent
from .asking import voice_of
from .calls import HttpOptions, Pages, Response
from .calls import http as _http
from .credentials import has_credentials, read_credentials
from .gateway import DEFAULT
from .llm import PATIENT, answered, question_of
from .llm import llm as _llm
from .making import StepOptions
from .operations import OpenAPIOptions
from .operations import openapi as _openapi
from .people import answer_to
from .people import human as _human
from .procedures import GrpcOptions
from .procedures import grpc as _grpc
from .programs import Completed, ShellOptions
from .programs import python as _python
from .programs import shell as _shell
from .recipes import is_mapping
from .remote import A2aOptions, AgentReply
from .remote import a2a_agent as _a2a_agent
from .saying import memory_of, model_of
from .secret import Secret
from .webhooks import send_webhook

if TYPE_CHECKING:
    from ..agents.knowledge import Knowledge
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
    return await _asked(locals())


_LLM: Final = signature(llm.fn)


def _llm_with(
    tools: list[Any] = [],  # noqa: B006 - never changed
    permissions: list[str] = [],  # noqa: B006 - never changed
    memory: Any = None,
    patience: Any = None,
) -> Step[..., Any]:
    """The same with tools: a small agent, each of whose calls is journaled; and with what is remembered."""
    from ..agents.tools import given_tools

    _named_servers("llm", tools)
    given_tools(tools, None, permissions, "llm")
    remembered, wait = memory_of(memory), None if patience is None else seconds(patience, "patience")
    refuse("llm", "patience is 0, must be a length of time above 0" if wait == 0 else None)

    @wraps(llm.fn)
    async def equipped(*args: Any, **config: Any) -> Any:
        said = _LLM.bind(*args, **config)
        said.apply_defaults()
        return await _asked({**said.arguments, "patience": wait}, tools, permissions, remembered)

    made: Step[..., Any] = step(retry=PATIENT)(equipped)
    return made


async def _asked(
    said: Mapping[str, Any], tools: Sequence[Any] = (), permissions: Sequence[str] = (), memory: Any = None
) -> Any:
    """The answer to what `llm` was called with."""
    asked = {name: said[name] for name in ("model", "fallback", "temperature", "max_tokens", "stream")}
    voice = voice_of(**asked, patience=said.get("patience"))
    refuse("llm", *voice.problems())
    kind = str if said["output"] is None else schema_type(said["output"])
    question = replace(question_of("llm", voice, kind, tools, permissions=permissions), memory=memory)
    prompt, value = said["prompt"], said["value"]
    return await answered(question, prompt if value is None else f"{prompt}\n\n{rendered(value)}", said["system"])


@step
async def webhook(value: Any = None, *, endpoint: str, event: str, data: Any = None) -> Any:
    """Tell an endpoint of the app, by name, of an event, with the value if there are no other data; passes it on."""
    send_webhook(endpoint, event, value if data is None else data)
    return value


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
        raise InvalidConfig(f"output is no JSON Schema: {str(error).splitlines()[0]}", op="llm") from error

    def check(value: Any) -> Any:
        wrong = next(iter(validator.iter_errors(value)), None)
        if wrong is not None:
            raise ValueError(str(wrong.message))
        return value

    kind: Any = Annotated[Any, BeforeValidator(check), WithJsonSchema(schema)]
    return kind  # pyright: ignore[reportUnknownVariableType] - a type that is made here


_ONLY_TRUSTED: Final = "not for documents that may import only some modules"


_PAGES: Final = tuple(each.name for each in fields(Pages))


class _HttpConfig(HttpOptions, total=False):
    stream: str
    most: int


def _http_step(
    method: str, url: str = "", returns: Any = Response, pages: Any = None, **options: Unpack[_HttpConfig]
) -> Any:
    given = read_credentials(options)
    if pages is not None:
        if not is_mapping(pages) or not {*pages} <= {*_PAGES}:
            refuse("http", f"pages is {pages!r}, must be an object of {', '.join(_PAGES)}")
        given["pages"] = Pages(**pages)
    return cast("Any", _http)(method, url, returns=returns, **given)


def _public_http_step(
    method: str, url: str = "", returns: Any = Response, pages: Any = None, **options: Unpack[_HttpConfig]
) -> Any:
    """The same for documents that may not say for themselves what they reach beside the public internet."""
    _bounded("http", options)
    return _http_step(method, url, returns, pages, **options)


def _bounded(kind: str, options: Mapping[str, Any], more: str = "") -> None:
    """Refuses what only documents may say that are trusted: addresses that are inside, secrets and files of ours."""
    refuse(
        kind,
        *(f"{name} is {_ONLY_TRUSTED}" for name in ("allow", "ca", "folder", "stand_ins") if name in options),
        f"secrets are {_ONLY_TRUSTED}" if has_credentials(options) else None,
        f"{more} is {_ONLY_TRUSTED}" if more else None,
        hint="add 'ripresa.steps.documents' to modules, or register a step of your own in the library",
    )


def _openapi_step(document: Any, operation: str, returns: Any = Response, **options: Unpack[OpenAPIOptions]) -> Any:
    return cast("Any", _openapi)(document, operation, returns=returns, **read_credentials(options))


def _public_openapi_step(
    document: Any, operation: str, returns: Any = Response, **options: Unpack[OpenAPIOptions]
) -> Any:
    """The same for such documents; a description of an API that is a file is not for them either."""
    is_file = isinstance(document, str) and "://" not in document
    _bounded("openapi", options, "document is a file, which" if is_file else "")
    return _openapi_step(document, operation, returns, **options)


def _grpc_step(target: str, method: str, proto: str, returns: Any = Any, **options: Unpack[GrpcOptions]) -> Any:
    read = read_credentials({**options, "headers": options.get("metadata")})
    read["metadata"] = read.pop("headers") or {}
    return cast("Any", _grpc(target, method, proto=proto, returns=returns, **read))


def _shell_step(command: list[str], returns: Any = Completed, **options: Unpack[ShellOptions]) -> Any:
    return cast("Any", _shell)(*command, returns=returns, **_given(options))


def _python_step(
    script: str = "",
    args: list[str] = [],  # noqa: B006 - never changed
    file: str = "",
    returns: Any = Completed,
    **options: Unpack[ShellOptions],
) -> Any:
    refuse("python", None if bool(script) != bool(file) else "it has either a script or a file")
    code: Any = Path(file) if file else script
    return cast("Any", _python)(code, *args, returns=returns, **_given(options))


def _cli_agent_step(dialect: str = "kilo", **options: Unpack[AgentOptions]) -> Any:
    return _cli_agent(dialect, **cast("AgentOptions", _given(options)))


def _a2a_agent_step(url: str, returns: Any = AgentReply, **options: Unpack[A2aOptions]) -> Any:
    return cast("Any", _a2a_agent)(url, returns=returns, **read_credentials(options))


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with the secrets that the variables of their environment name."""
    env = options.get("env")
    read = {"env": {name: _secret(value) for name, value in env.items()}} if is_mapping(env) else {}
    return {**options, **read}


def _human_flow(question: str, form: Any = None, **options: Unpack[Asking]) -> Any:
    more = {} if form is None else {"form": form}
    return cast("Any", _human)(question, **more, **options)


def _mcp_step(
    server: Any,
    tool: str,
    arguments: dict[str, Any] = {},  # noqa: B006 - never changed
    input: Any = None,
    output: Any = Any,
    **options: Unpack[StepOptions],
) -> Any:
    """A step that calls a tool of an MCP server; the value that it is given, an object, is added to the arguments."""
    kind = cast("type[Any]", dict[str, Any] | None) if input is None else input
    return server_of(server).step(tool, arguments=arguments, input=kind, output=output, **options)


def _agent_step(  # noqa: PLR0913 - every key of its config
    instructions: str,
    tools: list[Any] = [],  # noqa: B006 - never changed
    role: str = "",
    model: Any = DEFAULT,
    fallback: list[Any] = [],  # noqa: B006 - never changed
    output: Any = None,
    permissions: list[str] = [],  # noqa: B006 - never changed
    temperature: float | None = None,
    max_tokens: int | None = None,
    turns: int = 20,
    calls: int | None = None,
    repairs: int = 2,
    stream: bool = False,
    memory: Any = None,
    patience: Any = None,
    model_retry: Any = PATIENT,
    approval: dict[str, Any] | None = None,
    name: str = "agent",
    input: Any = Any,
) -> Any:
    """An agent whose tools are steps, and those of MCP servers; it is given the value."""
    from ..agents.agent import Agent
    from ..agents.supervised import supervised
    from ..agents.turns import AgentBounds

    asked = dict(approval or {})
    unknown = [key for key in asked if key not in ("assignees", "quorum", "timeout", "expiry")]
    refuse(
        "agent",
        f"approval has {', '.join(unknown)}, may have assignees, quorum, timeout, expiry" if unknown else None,
    )
    made: Any = Agent(
        name,
        input=input,
        output=_answer_type(output),
        model=model_of(model),
        fallback=[model_of(each) for each in fallback],
        role=role,
        instructions=instructions,
        tools=[server_of(each) if is_mapping(each) else each for each in tools],
        permissions=permissions,
        bounds=AgentBounds(turns, calls, repairs),
        memory=memory_of(memory),
        temperature=temperature,
        max_tokens=max_tokens,
        stream=stream,
        retry=retry_from(model_retry),
        patience=patience,
    )
    return made if approval is None else supervised(made, **asked)


def _answer_type(output: Any) -> Any:
    """The type of a model's answer: text, if nothing is said; one that fits a schema, if it is an object."""
    return str if output is None else schema_type(dict(output)) if is_mapping(output) else output


def _prompt_step(  # noqa: PLR0913 - every key of its config
    prompt: str,
    input: Any = None,
    output: Any = None,
    state: Any = None,
    system: str = "",
    model: Any = DEFAULT,
    fallback: list[Any] = [],  # noqa: B006 - never changed
    temperature: float | None = None,
    max_tokens: int | None = None,
    stream: bool = False,
    patience: Any = None,
    tools: list[Any] = [],  # noqa: B006 - never changed
    permissions: list[str] = [],  # noqa: B006 - never changed
    memory: Any = None,
    name: str = "prompt",
) -> Any:
    """A step that asks a language model by a template over what it is given: `llm` of Python."""
    _named_servers("prompt", tools)
    return _llm(
        prompt,
        input=input,
        output=_answer_type(output),
        state=state,
        system=system,
        model=model_of(model),
        fallback=[model_of(each) for each in fallback],
        temperature=temperature,
        max_tokens=max_tokens,
        stream=stream,
        patience=patience,
        tools=tools,
        permissions=permissions,
        memory=memory_of(memory),
        name=name,
    )


@wraps(_prompt_step)
def _public_prompt_step(*args: Any, **options: Any) -> Any:
    """The same for documents that may not say where a model is."""
    fallback: Any = options.get("fallback", ())
    addressed = any(map(is_mapping, (options.get("model"), *fallback)))
    _bounded("prompt", {}, "a model at an address" if addressed else "")
    return _prompt_step(*args, **options)


def _known(
    name: str,
    embedder: Any,
    path: str = "",
    size: int = 0,
    vectors: Any = None,
    limit: int = 5,
    retry: Any = 3,
) -> Knowledge:
    """Knowledge that a document declares."""
    from ..agents.knowledge import Knowledge
    from ..agents.vectors import SQLiteVectors

    refuse(
        "knowledge",
        None if bool(path) != (vectors is not None) else "it has either a path, with a size, or vectors",
        "it has a path, and lacks the size of its vectors" if path and not size else None,
    )
    store = SQLiteVectors(path, size) if path else vectors
    return Knowledge(name, store, embedder, limit=limit, retry=retry_from(retry))


def _knowledge_step(of: Any, do: str = "look_up") -> Any:
    """A step of knowledge: `look_up` (a text), `learn` (a list of passages) or `forget` (a list of ids)."""
    refuse("knowledge", bad_choice(do, "do", ("look_up", "learn", "forget")))
    return getattr(of, do)


def _supervisor(lead: Any, workers: list[Any], at_most: int = 20, name: str = "supervisor") -> Any:
    from ..agents.teams import supervisor

    return supervisor(lead, *_several(workers), at_most=at_most, name=name)


def _handoff(members: list[Any], at_most: int = 10, name: str = "handoff") -> Any:
    from ..agents.teams import handoff

    return handoff(*_several(members), at_most=at_most, name=name)


def _group_chat(
    speakers: list[Any], at_most: int, chair: Any = None, until: Any = None, name: str = "group_chat"
) -> Any:
    from ..agents.teams import group_chat

    return cast("Any", group_chat)(*_several(speakers), chair=chair, until=until, at_most=at_most, name=name)


def _debate(debaters: list[Any], judge: Any, rounds: int = 2, name: str = "debate") -> Any:
    from ..agents.teams import debate

    return debate(*_several(debaters), judge=judge, rounds=rounds, name=name)


def _several(links: Any) -> list[Any]:
    return [*links] if isinstance(links, list) else [links]


def _named_servers(kind: str, tools: Sequence[Any]) -> None:
    """Refuse servers that are described in a list of tools, and those about whose tools people are asked."""
    named = f"tools of {kind} are named: declare the server, under servers" if any(map(is_mapping, tools)) else None
    asks = ", ".join(each.name for each in tools if not isinstance(each, Step | Mapping) and each.asks)
    refuse(kind, named, f"people are asked about tools of {asks}, which needs an agent: type agent" if asks else None)


def server_of(data: Any) -> McpServer:
    """An MCP server as a document describes it: the options of `McpServer` with its `name`; or one that is made.

    A value of `env` and `headers` may be `{secret: "env:NAME"}`. Raises `InvalidConfig`.
    """
    from ..agents.mcp_server import McpServer

    if isinstance(data, McpServer):
        return data
    if not isinstance(data, dict):
        raise InvalidConfig(f"an MCP server is {data!r}, must be an object with command or url", op="mcp")
    given = cast("dict[str, Any]", data)
    unknown = sorted(set(given) - SERVER_KEYS)
    refuse("mcp", f"an MCP server has no {', '.join(unknown)}" if unknown else None)
    options = {key: value for key, value in given.items() if key != "name"}
    options = read_credentials(options)
    if isinstance(options.get("env"), dict):
        options["env"] = {each: _secret(value) for each, value in options["env"].items()}
    if "retry" in options:
        options["retry"] = retry_from(options["retry"])
    return McpServer(str(given.get("name", "mcp")), **options)


def _secret(value: Any) -> Any:
    if isinstance(value, dict):
        found = cast("dict[str, Any]", value)
        if set(found) == {"secret"}:
            return Secret(str(found["secret"]))
    return cast("Any", value)


SERVER_KEYS: Final = frozenset(("name", *SERVER))
"""What a document may say of an MCP server."""


def _known_with(options: dict[str, Any]) -> Knowledge:
    return _known(**options)


llm_type: Final = Equipped(llm, Maker(_llm_with, steps=("tools",)))
agent: Final = Maker(_agent_step, steps=("tools",), types=("input", "output"))
prompt: Final = Maker(_prompt_step, steps=("tools",), types=("input", "output", "state"))
public_prompt: Final = Maker(_public_prompt_step, steps=("tools",), types=("input", "output", "state"))
mcp: Final = Maker(_mcp_step, servers=("server",), types=("input", "output"))
server: Final = Maker(server_of)
known: Final = Maker(_known_with)
knowledge: Final = Maker(_knowledge_step, knowledge=("of",))
supervisor: Final = Maker(_supervisor, links=("lead", "workers"))
handoff: Final = Maker(_handoff, links=("members",))
group_chat: Final = Maker(_group_chat, links=("speakers", "chair"), functions=("until",))
debate: Final = Maker(_debate, links=("debaters", "judge"))
http: Final = Maker(_http_step, types=("returns",))
public_http: Final = Maker(_public_http_step, types=("returns",))
openapi: Final = Maker(_openapi_step, types=("returns",))
public_openapi: Final = Maker(_public_openapi_step, types=("returns",))
grpc: Final = Maker(_grpc_step, types=("returns",))
shell: Final = Maker(_shell_step, types=("returns",))
python: Final = Maker(_python_step, types=("returns",))
cli_agent: Final = Maker(_cli_agent_step)
a2a_agent: Final = Maker(_a2a_agent_step, types=("returns",))
human: Final = Maker(_human_flow, types=("form",))
answer: Final = Maker(answer_to, types=("form",))
