"""Steps that hand work to an agent of elsewhere, by Agent2Agent (https://a2a-protocol.org, version 1.0)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, Generic, Literal, cast, overload
from urllib.parse import urlsplit

from typing_extensions import TypeVar, Unpack

from ..authoring.call import Call
from ..authoring.encoding import decode
from ..authoring.options import bad_choice, bad_count, refuse
from ..authoring.step import Step
from ..core.durations import Duration, seconds
from ..errors import InvalidValue
from .bridge import home_of
from .calls import bad_auth, bad_header
from .guard import bad_allow, bad_url, guard_of
from .making import StepOptions, divided, made, own_name, within
from .oauth import OAuth2
from .parts import AgentReply as AgentReply
from .parts import AgentRequest as AgentRequest
from .recipes import kept
from .remote_talk import Spec, Talk
from .secret import Secret
from .transport import bad_ca

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")

_ASKS: Final = ("fail", "return")
_LENGTHS: Final = {"patience": 30.0, "poll": 1.0, "silence": 600.0}


class A2aOptions(StepOptions, total=False):
    """The options of `a2a_agent`."""

    asks: Literal["fail", "return"]
    auth: Secret | tuple[str, Secret] | OAuth2 | None
    ca: str
    headers: Mapping[str, str | Secret]
    trusted: Iterable[str]
    allow: Iterable[str]
    card: str
    streaming: bool
    poll: Duration
    patience: Duration
    silence: Duration
    max_size: int


class A2aStep(Step[..., R_co], Generic[R_co]):
    """A step that hands work to an agent of elsewhere."""

    def __call__(self, request: str | AgentRequest, /) -> Call[R_co]:
        """See `Step`."""
        return super().__call__(request)


@overload
def a2a_agent(url: str, /, **options: Unpack[A2aOptions]) -> A2aStep[AgentReply]: ...
@overload
def a2a_agent(url: str, /, *, returns: type[T], **options: Unpack[A2aOptions]) -> A2aStep[T]: ...
def a2a_agent(url: str, /, *, returns: Any = AgentReply, **options: Any) -> Any:
    """A step that hands work to the agent whose card is at `url`, and waits for what comes of it.

    It is given a text or an `AgentRequest`. With `returns` what the agent gives is read as JSON of that type, else it
    is an `AgentReply`. The id of the remote task is journaled as soon as it is known, so that another attempt, in
    whatever process, goes on waiting instead of sending again; the message has an id that is the same for all
    attempts. It is asked for news over a stream if it has one (unless `streaming` is off), which may be quiet for
    `silence` (10 minutes), or every `poll` (1 second, then less often). A run that is cancelled cancels the task.

    Where the agent asks something the step fails with `agent_asks`; with `asks="return"` the reply says what it
    `wants`. `auth` is a bearer token, (user, password), `OAuth2` or `OIDC`, `headers` may be a `Secret`; secrets go to
    the place of `url` and those in `trusted` ("https://host") alone. `card` is the path of the card. Only the public
    internet is called, and what `allow` names; `max_size` bounds each answer in bytes, `patience` each waiting for one.

    Raises `InvalidConfig`.
    """
    every, own = divided(options)
    refuse("a2a_agent", *_bad(url, returns, own))
    spec = _spec(url, own, every)
    every.setdefault("name", spec.name)
    limit = None if every.get("timeout") is None else seconds(every["timeout"], "timeout")

    async def ask(request: str | AgentRequest, /) -> Any:
        told = AgentRequest(request) if isinstance(request, str) else request
        reply = await within(limit, spec.name, Talk(spec).hold(told))
        return reply if returns is AgentReply else _read(reply, returns)

    step = made(A2aStep[Any], ask, (spec, returns), returns, every)
    again = partial(_again, url, returns, own)
    return kept(step, "a2a_agent", again, {"url": url, **own}, returns=None if returns is AgentReply else returns)


def _again(url: str, returns: Any, own: dict[str, Any]) -> Any:
    return cast("Any", a2a_agent)(url, returns=returns, **own)


def _bad(url: Any, returns: Any, own: dict[str, Any]) -> list[str | None]:
    unknown = sorted(set(own) - set(A2aOptions.__annotations__))
    asks = own.get("asks", "fail")
    headers = own.get("headers", {})
    return [
        f"there is no option {', '.join(unknown)}" if unknown else None,
        bad_url(url) if isinstance(url, str) else f"url is {url!r}, must be a text",
        bad_choice(asks, "asks", _ASKS) if asks not in _ASKS else None,
        "asks='return' gives an AgentReply: leave out returns"
        if asks == "return" and returns is not AgentReply
        else "",
        bad_auth(own.get("auth")),
        *(bad_header(name, value) for name, value in headers.items()),
        bad_allow(own.get("allow", ())),
        *_bad_trusted(own.get("trusted", ())),
        bad_ca(own.get("ca", "")),
        None if isinstance(own.get("card", ""), str) else f"card is {own['card']!r}, must be a path",
        None if isinstance(own.get("streaming", True), bool) else "streaming must be True or False",
        bad_count(own.get("max_size", 1), "max_size"),
    ]


def _bad_trusted(trusted: Any) -> list[str | None]:
    if isinstance(trusted, str) or not isinstance(trusted, Iterable):
        return [f"trusted is {trusted!r}, must be a list of URLs"]
    return [
        bad_url(each) if isinstance(each, str) else f"trusted has {each!r}, which is no URL"
        for each in cast("Iterable[object]", trusted)
    ]


def _spec(url: str, own: dict[str, Any], every: Mapping[str, Any]) -> Spec:
    places = [urlsplit(each) for each in (url, *own.get("trusted", ()))]
    lengths = {name: seconds(own.get(name, usual), name) for name, usual in _LENGTHS.items()}
    return Spec(
        str(every.get("name") or own_name("agent", str(urlsplit(url).hostname))),
        url,
        own.get("card", ""),
        own.get("asks", "fail"),
        guard_of(own.get("allow", ())),
        frozenset(home_of(each.scheme, each.hostname or "", each.port) for each in places),
        dict(own.get("headers", {})),
        own.get("auth"),
        own.get("ca", ""),
        own.get("streaming", True),
        own.get("max_size", 10_485_760),
        **lengths,
    )


def _read(reply: AgentReply, kind: Any) -> Any:
    """What a reply is as a value of this type: its only data, else its text. Raises `InvalidValue`."""
    from ..authoring.encoding import encode

    text = encode(reply.data[0]) if len(reply.data) == 1 else reply.text.encode()
    try:
        return decode(text, kind, code="invalid_agent_answer")
    except ValueError as error:
        message = f"what the agent gave is no JSON: {error}"
        raise InvalidValue(message, code="invalid_agent_answer", op="a2a_agent") from None
