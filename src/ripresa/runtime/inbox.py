"""Brings what others ask of a run to its driver: directly here, through the inbox of its owner elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.events import ContinueRequested, PauseRequested, SignalRefused
from ..core.lifecycle import TERMINAL
from ..core.requested import ROLLBACK
from ..errors import RipresaError, RunError
from ..ports import Request, RunHead
from ..stores.rules import require_active
from .bodies import encode_request, suspender
from .driver import Driver
from .hearing import Asking, before, heard, taken
from .letting import not_taken
from .mail import Mail
from .requests import checked, decode_request
from .results import ended, not_found
from .waking import QUICKER

if TYPE_CHECKING:
    from .engine import Engine


class Inbox:
    """What is asked of the runs of an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._turning: set[asyncio.Task[None]] = set()

    async def request(
        self,
        run: str,
        kind: str,
        *,
        reason: str = "",
        by: str = "",
        take: Callable[[], Any] | None = None,
        hear: bool = True,
    ) -> None:
        """Ask something of a run: of its driver here, by the inbox of its owner elsewhere, or taking it up oneself.

        `take` takes the run up when nobody owns it. Durable on return; an owner elsewhere has taken it up by then, if
        that did not take longer than `TAKEN` seconds, unless it need not `hear`. Raises `IllegalTransition`,
        `RunNotFound`, and what interceptors say that refuse it, wherever the run is driven, if they are to be heard.
        """
        driver = self._engine.drivers.get(run)
        if kind == "continue":
            head = driver.head if driver is not None else await self._engine.store.find_run(run)
            if head is not None and head.session:
                require_active(head.session, self._engine.store.find_session(head.session), kind)
        if driver is not None:
            await driver.durable(
                decode_request(Request(0, run, kind, encode_request(reason, by)), self._engine.clock.now())
            )
            return
        head, body = await self._open(run), encode_request(reason, by)
        asking = await before(self._engine, head, kind, body) if hear else None
        await self._engine.store.put(run, kind, body)
        if take is not None and not await self._engine.is_driven(run):
            try:
                await take()
            except RunError as error:
                if error.code not in QUICKER:  # else whoever was quicker finds the request
                    raise
        if asking is not None:
            await heard(self._engine, asking)
        elif hear:
            await taken(self._engine, Asking(run, kind, body, 0))

    async def signal(
        self, run: str, body: bytes, id: str = "", *, take: Callable[[], Any] | None = None, hear: bool = True
    ) -> bool:
        """Send a signal, durable on return; False if this run was sent one with the same `id` before.

        `take` takes the run up when nobody owns it; where its code is not here, whoever has it finds the signal. Unless
        `hear`, what interceptors say of it elsewhere is not waited for.
        Raises `InvalidValue` if the run waits for a value of another type (as far as that is known here),
        `IllegalTransition` if it has ended, `RunNotFound`.
        """
        driver = self._engine.drivers.get(run)
        asking: Asking | None = None
        if driver is not None:
            fact = decode_request(Request(0, run, "signal", body), self._engine.clock.now())
            fact = checked(fact, driver)
            if isinstance(fact, SignalRefused):
                raise not_taken(fact)
            if not id:
                await driver.durable(fact)
                return True
        else:
            head = await self._open(run)
            asking = await before(self._engine, head, "signal", body) if hear else None
        if not await self._engine.store.put(run, "signal", body, id and f"signal/{id}"):
            return False
        if driver is not None:
            await self.collect()
        elif take is not None and not await self._engine.is_driven(run):
            try:
                await take()
            except RipresaError as error:
                if error.code not in (*QUICKER, "unknown_workflow", "unknown_target"):
                    raise
        if asking is not None:
            await heard(self._engine, asking)
        return True

    async def answer(
        self, run: str, kind: str, body: bytes, id: str = "", *, take: Callable[[], Any] | None = None
    ) -> None:
        """Hand an answer to an approval to the run: durable on return. What it came to stands in the journal.

        One whose `id` the run was given before does nothing. Raises `IllegalTransition` if the run has ended,
        `RunNotFound`.
        """
        driver = self._engine.drivers.get(run)
        if driver is not None and not id:
            fact = decode_request(Request(0, run, kind, body), self._engine.clock.now())
            await driver.durable(checked(fact, driver))
            return
        if driver is None:
            await self._open(run)
        await self._engine.store.put(run, kind, body, id and f"{kind}/{id}")
        if driver is not None:
            await self.collect()
        elif take is not None and not await self._engine.is_driven(run):
            try:
                await take()
            except RipresaError as error:
                if error.code not in (*QUICKER, "unknown_workflow", "unknown_target"):
                    raise

    async def _open(self, run: str) -> RunHead:
        head = await self._engine.store.find_run(run)
        if head is None:
            raise not_found(run)
        if head.status in TERMINAL:
            raise ended(run, head.status)
        return head

    async def pending(self, driver: Driver) -> list[Mail]:
        """What waits for a run that is being taken up."""
        requests = await self._engine.store.pending([driver.head.id])
        driver.seen = max((request.number for request in requests), default=0)
        found = [mail for request in requests if (mail := self._letter(request, driver)) is not None]
        return [*found, *self._went_on(driver, found)]

    def _went_on(self, driver: Driver, found: list[Mail]) -> list[Mail]:
        """The end of a pause that the run's session has asked for, and taken back before the run heard of it."""
        who = suspender(driver.head.session)
        if not any(isinstance(mail.fact, PauseRequested) and mail.fact.by == who for mail in found):
            return []
        session = self._engine.store.find_session(driver.head.session)
        over = session is not None and session.status == "active"
        return [Mail(ContinueRequested(self._engine.clock.now(), who))] if over else []

    def _letter(self, request: Request, driver: Driver) -> Mail | None:
        """A request as mail; None for one that only a newer version knows, which is left where it is."""
        try:
            return Mail(checked(decode_request(request, self._engine.clock.now()), driver), number=request.number)
        except RipresaError:
            return None

    async def collect(self) -> None:
        """Bring the requests that wait for runs driven here to them."""
        for request in await self._engine.store.pending(list(self._engine.drivers)):
            driver = self._engine.drivers.get(request.run)
            if driver is not None and request.number > driver.seen:
                driver.seen = request.number
                if request.kind == ROLLBACK:
                    self._turn(driver, request)
                    continue
                mail = self._letter(request, driver)
                if mail is not None:
                    driver.deliver(mail)

    def _turn(self, driver: Driver, request: Request) -> None:
        """Let a run be taken back, beside everything else."""
        from .turning import turn  # which needs the engine that this belongs to

        task = self._engine.loop.create_task(turn(self._engine, driver, request), name=f"ripresa turn {driver.run}")
        self._turning.add(task)
        task.add_done_callback(self._turning.discard)
