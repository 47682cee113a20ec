"""How coding agents are asked on the command line, and what the lines of JSON that they write mean.

A dialect is data and one pure function: an event in, signs out. Whoever runs the program acts upon the signs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """The conversation has this id; it can be taken up again by it."""

    id: str


@dataclass(frozen=True, slots=True)
class Said:
    """The agent said something; `whole` replaces what it said before."""

    text: str
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Used:
    """So many tokens and so much money (None if it is not said) were used since the last time, or in all if `total`."""

    tokens: int
    cost: float | None = None
    total: bool = False


@dataclass(frozen=True, slots=True)
class Turned:
    """A turn ended: the last one if it is `final`; one that begins is not."""

    final: bool


@dataclass(frozen=True, slots=True)
class Broke:
    """The agent reports an error."""

    message: str


Sign: TypeAlias = SessionSeen | Said | Used | Turned | Broke
Event: TypeAlias = Mapping[str, Any]
Reader: TypeAlias = Callable[[Event], Iterator[Sign]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to ask a coding agent; the prompt goes to its standard input.

    `argv` is the command, `model` and `resume` what is added to it, with `{}` for the model and the session; `last`
    stands at the end. `install` is the hint where the program is missing. `final` are exit statuses that no other
    attempt can mend, `late` those of a timeout of its own. `acp` is the command that speaks the Agent Client Protocol.
    `priced` is whether it says what was paid: where not, it is asked only where `Limits(unpriced=...)` allows that.
    """

    name: str
    argv: tuple[str, ...]
    read: Reader = field(repr=False)
    model: tuple[str, ...] = ()
    resume: tuple[str, ...] = ()
    last: tuple[str, ...] = ()
    install: str = ""
    final: tuple[int, ...] = ()
    late: tuple[int, ...] = (124,)
    acp: tuple[str, ...] = ()
    priced: bool = True

    def command(self, model: str, session: str, more: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The arguments for this model, and for this session if there is one already."""
        chosen = tuple(each.format(model) for each in self.model) if model else ()
        resumed = tuple(each.format(session) for each in self.resume) if session else ()
        return (*self.argv, *chosen, *more, *resumed, *self.last)


def at(value: object, *path: str) -> Any:
    """What stands at a path of objects; None where there is nothing."""
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return value  # pyright: ignore[reportUnknownVariableType]


def text_at(event: object, *path: str) -> str:
    """The text at a path; empty where there is none."""
    found = at(event, *path)
    return found if isinstance(found, str) else ""


def count_at(event: object, *path: str) -> int:
    """The whole number from 0 at a path; 0 where there is none."""
    found = at(event, *path)
    return found if type(found) is int and found >= 0 else 0


def cost_at(event: object, *path: str) -> float | None:
    """The amount from 0 at a path; None where there is none."""
    found = at(event, *path)
    return float(found) if type(found) in (int, float) and 0 <= found < float("inf") else None


def read_kilo(event: Event) -> Iterator[Sign]:
    """Kilo Code from 7 on, and OpenCode, of whose family it is."""
    session = text_at(event, "sessionID")
    if session:
        yield SessionSeen(session)
    match event.get("type"):
        case "step_start":
            yield Turned(final=False)
        case "text":
            yield Said(text_at(event, "part", "text"))
        case "step_finish":
            parts = ("input", "output", "reasoning")
            tokens = sum(count_at(event, "part", "tokens", part) for part in parts)
            yield Used(tokens, cost_at(event, "part", "cost"))
            yield Turned(final=text_at(event, "part", "reason") not in ("tool-calls", ""))
        case "error":
            yield Broke(text_at(event, "error", "data", "message") or text_at(event, "error", "name") or "an error")
        case _:
            return


def read_kilocode(event: Event) -> Iterator[Sign]:
    """The older Kilo Code CLI, before 7."""
    session = text_at(event, "sessionId") or text_at(event, "metadata", "sessionId")
    if session:
        yield SessionSeen(session)
    kind = text_at(event, "say") or text_at(event, "ask")
    if event.get("type") == "error" or kind in ("error", "api_req_failed"):
        yield Broke(text_at(event, "content") or text_at(event, "message") or "an error")
    elif event.get("partial") is True:
        return
    elif kind == "completion_result":
        if text_at(event, "content"):
            yield Said(text_at(event, "content"), whole=True)
        yield Turned(final=True)
    elif kind == "text":
        yield Said(text_at(event, "content"))
    elif kind == "api_req_started":
        tokens = count_at(event, "metadata", "tokensIn") + count_at(event, "metadata", "tokensOut")
        yield Used(tokens, cost_at(event, "metadata", "cost"))


def read_codex(event: Event) -> Iterator[Sign]:
    """Codex, `exec --json`."""
    match event.get("type"):
        case "thread.started":
            yield SessionSeen(text_at(event, "thread_id"))
        case "turn.started":
            yield Turned(final=False)
        case "item.completed" if at(event, "item", "type") == "agent_message":
            yield Said(text_at(event, "item", "text"), whole=True)
        case "turn.completed":
            yield Used(count_at(event, "usage", "input_tokens") + count_at(event, "usage", "output_tokens"))
            yield Turned(final=True)
        case "turn.failed":
            yield Broke(text_at(event, "error", "message") or "the turn failed")
        case "error":
            yield Broke(text_at(event, "message") or "an error")
        case _:
            return


def read_gemini(event: Event) -> Iterator[Sign]:
    """Gemini CLI, `--output-format stream-json`. Its warnings are no errors."""
    match event.get("type"):
        case "init":
            yield SessionSeen(text_at(event, "session_id"))
        case "message" if event.get("role") == "assistant":
            yield Said(text_at(event, "content"))
        case "error" if event.get("severity") != "warning":
            yield Broke(text_at(event, "message") or "an error")
        case "result":
            tokens = count_at(event, "stats", "input_tokens") + count_at(event, "stats", "output_tokens")
            yield Used(tokens or count_at(event, "stats", "total_tokens"), total=True)
            if event.get("status") not in (None, "success"):
                yield Broke(text_at(event, "error", "message") or f"the result is {event.get('status')!r}")
            yield Turned(final=True)
        case _:
            return


def read_claude(event: Event) -> Iterator[Sign]:
    """Claude Code, `-p --output-format stream-json`."""
    match event.get("type"):
        case "system" if event.get("subtype") == "init":
            yield SessionSeen(text_at(event, "session_id"))
        case "result":
            parts = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
            tokens = sum(count_at(event, "usage", part) for part in parts)
            yield Used(tokens, cost_at(event, "total_cost_usd"), total=True)
            if event.get("is_error") is True or event.get("subtype") not in (None, "success"):
                yield Broke(text_at(event, "result") or f"the result is {event.get('subtype')!r}")
            yield Said(text_at(event, "result"), whole=True)
            yield Turned(final=True)
        case _:
            return


DIALECTS: Final[Mapping[str, Dialect]] = {
    each.name: each
    for each in (
        Dialect(
            "kilo",
            ("kilo", "run", "--auto", "--format", "json"),
            read_kilo,
            model=("--model", "{}"),
            resume=("--session", "{}"),
            install="npm install -g @kilocode/cli",
            acp=("kilo", "acp"),
        ),
        Dialect(
            "kilocode",
            ("kilocode", "--auto", "--json"),
            read_kilocode,
            model=("--model", "{}"),
            resume=("--session", "{}"),
            install="npm install -g @kilocode/cli, before version 7; for later ones the dialect is 'kilo'",
        ),
        Dialect(
            "codex",
            ("codex", "exec", "--json", "--sandbox", "workspace-write"),
            read_codex,
            model=("--model", "{}"),
            resume=("resume", "{}"),
            last=("-",),
            install="npm install -g @openai/codex",
            priced=False,
        ),
        Dialect(
            "gemini",
            ("gemini", "--output-format", "stream-json", "--approval-mode", "yolo"),
            read_gemini,
            model=("--model", "{}"),
            resume=("--resume", "{}"),
            install="npm install -g @google/gemini-cli",
            acp=("gemini", "--experimental-acp"),
            priced=False,
            final=(42, 52),
        ),
        Dialect(
            "claude",
            ("claude", "-p", "--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits"),
            read_claude,
            model=("--model", "{}"),
            resume=("--resume", "{}"),
            install="npm install -g @anthropic-ai/claude-code",
        ),
        Dialect(
            "opencode",
            ("opencode", "run", "--format", "json"),
            read_kilo,
            model=("--model", "{}"),
            resume=("--session", "{}"),
            install="npm install -g opencode-ai",
            acp=("opencode", "acp"),
        ),
    )
}
"""The dialects that are known by name."""
