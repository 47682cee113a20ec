"""The turns of a conversation with tools: the model is asked, the tools that it asks for are called, until it answers.

Law: every model call and every tool call is journaled by the step around it, so that its next attempt, in whatever
process, repeats none that has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from copy import copy
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from ..authoring.encoding import encode
from ..authoring.options import bad_count
from ..authoring.step import Options, Share, Step
from ..context import current
from ..errors import InvalidValue, ModelError, RipresaError
from ..steps.asking import Voice, ask, name_of
from ..steps.conversation import Message, ModelAnswer, ModelRequest, ToolCall, ToolSpec
from ..steps.forms import OUTPUT, Form
from ..steps.halts import Halt, Replies
from ..steps.llm import corrections
from .tools import Guarded, ToolResult, ToolSource, add_tool, guard_of, spec_of, tools_changed


@dataclass(frozen=True, slots=True)
class AgentBounds:
    """What an agent may use: `turns` are requests to its model, `calls` those of tools, `repairs` wrong answers."""

    turns: int = 20
    calls: int | None = None
    repairs: int = 2

    def problems(self) -> list[str | None]:
        """What is wrong with them."""
        fine = type(self.repairs) is int and self.repairs >= 0
        return [
            bad_count(self.turns, "turns"),
            bad_count(self.calls, "calls", optional=True),
            None if fine else f"repairs is {self.repairs!r}, must be a whole number from 0",
        ]


@dataclass(slots=True)
class Talk:
    """How far a conversation has come. `asks` are the calls of tools that people are to be asked about."""

    system: str
    messages: list[Message]
    turns: int = 0
    calls: int = 0
    wrong: int = 0
    asks: list[ToolCall] = field(default_factory=list[ToolCall])
    granted: dict[str, str] = field(default_factory=dict[str, str])
    """What people said about calls, by their place in `asks` (two may have one id): empty if granted, else why not."""
    asked: str = ""
    """What it began with, where that is to be remembered."""
    questions: dict[str, str] = field(default_factory=dict[str, str])
    """What people are asked about the tools in `asks`, by name."""
    offered: dict[str, str] = field(default_factory=dict[str, str])
    """What the sources of tools had listed when people were asked, as a digest by their names."""
    done: dict[str, str] = field(default_factory=dict[str, str])
    """What calls in `asks` came to that have ended while others wait, by their place."""
    halts: dict[str, Halt] = field(default_factory=dict[str, Halt])
    """Where calls in `asks` stopped to ask people themselves, by their place."""
    replies: dict[str, Replies] = field(default_factory=dict[str, Replies])
    """What people answered to these."""


class Equipment:
    """The tools of one conversation."""

    def __init__(self, name: str, tools: Mapping[str, Step[..., Any]]) -> None:
        self.plain = tools
        self.tools = {each: Guarded(name, made) for each, made in tools.items()}
        self.specs: tuple[ToolSpec, ...] = tuple(map(spec_of, tools.values()))
        self.asking = {each: guard_of(made).approval for each, made in tools.items() if guard_of(made).approval}


class Talker:
    """Somebody who talks with a model and has tools: an agent, or an llm step."""

    def __init__(
        self,
        name: str,
        voice: Voice,
        tools: Mapping[str, Step[..., Any]],
        form: Form | None,
        bounds: AgentBounds,
        options: Options,
        sources: tuple[ToolSource, ...] = (),
    ) -> None:
        self.name = name
        self.voice = voice
        self.form = form
        self.bounds = bounds
        self.sources = sources
        self.known = Equipment(name, tools)
        self.model = Share[[ModelRequest], ModelAnswer](self._asked, options)

    def named(self, name: str) -> Talker:
        """The same under another name."""
        twin = copy(self)
        twin.name = name
        twin.model = Share[[ModelRequest], ModelAnswer](twin._asked, self.model.options)
        return twin

    @property
    def asks(self) -> bool:
        """Whether people may have to be asked before a tool is called."""
        return bool(self.known.asking) or any(source.asks for source in self.sources)

    async def _asked(self, request: ModelRequest) -> ModelAnswer:
        context, model = current(), name_of(self.voice.models[0])
        new = [{"role": each.role, "text": each.text} for each in _newest(request.messages)]
        context.interaction(self.name, model, "request", new)
        answer = await ask(self.voice, request)
        calls = [{"tool": call.name, "arguments": call.arguments} for call in answer.calls]
        context.interaction(answer.model or model, self.name, "answer", {"text": answer.text, "calls": calls})
        return answer

    async def go_on(self, talk: Talk) -> Any:
        """The final answer; None with `talk.asks` filled where people have to be asked first.

        Raises `RipresaError(agent_limit)` where there is no answer within the bounds.
        """
        if not self.sources:
            return await self._go_on(talk, self.known)
        async with AsyncExitStack() as stack:
            for source in self.sources:
                await stack.enter_async_context(source.running())
            return await self._go_on(talk, await self._equipped(talk))

    async def _equipped(self, talk: Talk) -> Equipment:
        """Its tools with those of the sources, as they were listed when the step began.

        What people have granted, they have granted for the tools as they were then.
        """
        found = dict(self.known.plain)
        for index, source in enumerate(self.sources):
            same = sum(each.name == source.name for each in self.sources[:index])  # parts of one source
            name = f"{source.name}#{same + 1}" if same else source.name
            listed = await current().call_with_key(name, source.listed)
            await source.check(listed)
            digest = sha256(encode(listed)).hexdigest()[:16]
            if talk.asks and talk.offered.get(name, digest) != digest:
                raise tools_changed(source.name, "people were asked about others")
            talk.offered[name] = digest
            for made in source.tools_of(listed):
                add_tool(found, made, self.name)
        return Equipment(self.name, found)

    async def _go_on(self, talk: Talk, with_: Equipment) -> Any:
        if talk.asks:
            asked, talk.asks = talk.asks, []
            await self._use(talk, asked, with_)
            if talk.asks:
                return None
            talk.granted = {}
        while talk.turns < self.bounds.turns:
            talk.turns += 1
            answer = await self._turn(talk, with_)
            asked = [call for call in answer.calls if call.name != OUTPUT]
            if not asked or len(asked) < len(answer.calls):  # a final answer ends it, whatever else is asked for
                try:
                    return answer.text if self.form is None else self.form.read(answer)
                except InvalidValue as error:
                    self._correct(talk, answer, error.message)
                    continue
            self._count(talk, len(asked))
            talk.questions = {call.name: with_.asking[call.name] for call in asked if call.name in with_.asking}
            if talk.questions:
                talk.asks = asked
                return None
            await self._use(talk, asked, with_)
            if talk.asks:
                return None
        raise self._over(f"no answer after {self.bounds.turns} turns")

    async def _turn(self, talk: Talk, with_: Equipment) -> ModelAnswer:
        output = None if self.form is None else self.form.spec
        request = ModelRequest("", tuple(talk.messages), talk.system, with_.specs, output)
        answer = await current().call(self.model, request)
        talk.messages.append(answer.message)
        return answer

    def _correct(self, talk: Talk, answer: ModelAnswer, wrong: str) -> None:
        talk.wrong += 1
        if talk.wrong > self.bounds.repairs:
            message = f"the answer of {self.name} does not have its form: {wrong}"
            raise ModelError(message, code="invalid_model_answer")
        talk.messages.extend(corrections(answer, wrong))

    def _count(self, talk: Talk, more: int) -> None:
        talk.calls += more
        if self.bounds.calls is not None and talk.calls > self.bounds.calls:
            raise self._over(f"{talk.calls} calls of tools, {self.bounds.calls} are allowed")

    async def _use(self, talk: Talk, calls: list[ToolCall], with_: Equipment) -> None:
        """Call tools, and tell what they came to; where one stops to ask people, `talk.asks` says so instead."""
        found = await asyncio.gather(
            *(self._called(talk, call, str(index), with_) for index, call in enumerate(calls)), return_exceptions=True
        )
        results: list[ToolResult] = []
        for each in found:  # one that ends the agent ends it when the others have been recorded
            if isinstance(each, BaseException):
                raise each
            results.append(each)
        talk.halts = {str(index): each.halt for index, each in enumerate(results) if each.halt is not None}
        talk.done, talk.replies = {}, {}
        if talk.halts:
            talk.done = {str(index): each.text for index, each in enumerate(results) if each.halt is None}
            talk.asks = calls
        else:
            talk.messages += [_told(call, each.text) for call, each in zip(calls, results, strict=True)]

    async def _called(self, talk: Talk, call: ToolCall, place: str, with_: Equipment) -> ToolResult:
        if place in talk.done:
            return ToolResult(talk.done[place])
        guarded = with_.tools.get(call.name)
        if guarded is None:
            there = ", ".join(with_.tools) or "none"
            return ToolResult(f"failed (unknown_tool): there is no tool {call.name!r}, there are: {there}")
        if talk.granted.get(place):
            return ToolResult(f"failed (rejected): {talk.granted[place]}")
        replies = talk.replies.get(place)
        again = guarded if replies is None else Guarded(guarded.agent, guarded.tool, replies)
        result: ToolResult = await current().call(again, call.arguments)
        return result

    def _over(self, why: str) -> RipresaError:
        return RipresaError(
            f"{self.name} did not come to an end: {why}",
            code="agent_limit",
            op="Agent",
            where=self.name,
            hint="raise its bounds, or mend its instructions",
        )


def _told(call: ToolCall, text: str) -> Message:
    return Message("tool", text, id=call.id, name=call.name)


def _newest(messages: tuple[Message, ...]) -> list[Message]:
    """What was said since the model spoke last."""
    found: list[Message] = []
    for message in reversed(messages):
        if message.role == "model":
            break
        found.append(message)
    return found[::-1]
