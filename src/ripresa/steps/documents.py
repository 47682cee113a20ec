"""The ready-made steps as documents name them: `llm` is called with its config, the others are made of it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, Final, TypeAlias, cast

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
from .programs import ShellOptions
from .programs import python as _python
from .programs import shell as _shell


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
        validator = library.validator_for(schema)
    except ValueError as error:
        raise InvalidConfig(f"output is no JSON Schema: {error}", op="llm") from error

    def check(value: Any) -> Any:
        wrong = next(iter(validator.iter_errors(value)), None)
        if wrong is not None:
            raise ValueError(str(wrong.message))
        return value

    kind: Any = Annotated[Any, BeforeValidator(check), WithJsonSchema(schema)]
    return kind  # pyright: ignore[reportUnknownVariableType] - a type that is made here


def _http_step(method: str, url: str = "", **options: Unpack[HttpOptions]) -> Any:
    return cast("Any", _http(method, url, **read_credentials(options)))


def _public_http_step(method: str, url: str = "", **options: Unpack[HttpOptions]) -> Any:
    """The same for documents that may not say for themselves what they reach beside the public internet."""
    _bounded("http", options)
    return _http_step(method, url, **options)


def _bounded(kind: str, options: Mapping[str, Any]) -> None:
    """Refuses what only documents may say that are trusted: addresses that are inside, secrets and files of ours."""
    refuse(
        kind,
        *(
            f"{name} is not for documents that may import only some modules"
            for name in ("allow", "ca")
            if name in options
        ),
        "secrets are not for documents that may import only some modules" if has_credentials(options) else None,
        hint="add 'ripresa.steps.documents' to modules, or register a step of your own in the library",
    )


def _shell_step(command: list[str], **options: Unpack[ShellOptions]) -> Any:
    return _shell(*command, **options)


def _python_step(script: str, args: list[str] = [], **options: Unpack[ShellOptions]) -> Any:  # noqa: B006 - never changed
    return _python(script, *args, **options)


def _cli_agent_step(dialect: str = "kilo", **options: Unpack[AgentOptions]) -> Any:
    return _cli_agent(dialect, **options)


http: Final = Maker(_http_step)
public_http: Final = Maker(_public_http_step)
shell: Final = Maker(_shell_step)
python: Final = Maker(_python_step)
cli_agent: Final = Maker(_cli_agent_step)
