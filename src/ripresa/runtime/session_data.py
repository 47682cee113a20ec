"""What steps and conditions see of the session of their run, and the changes that a step makes.

Law: what is read is what is durable now, with the step's own changes; a change becomes a fact with the completion of
the step and reaches the store in that transaction, so it is made once or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..authoring.encoding import decode, encode
from ..core.events import Fact, SessionWritten
from ..core.limits import NONE, decode_limits
from ..core.sessions import Changing, apply, check_change
from ..errors import RipresaError
from ..messages import Signal
from ..ports import SessionWrite
from ..reporting import SessionData, Transaction, no_session

if TYPE_CHECKING:
    from .driver import Driver


def session_of(driver: Driver) -> str:
    """The session of the run. Raises `RipresaError(not_available)` if it has none."""
    if not driver.head.session:
        raise no_session(f"run {driver.run!r} belongs to no session")
    return driver.head.session


def plain_session(driver: Driver) -> dict[str, Any]:
    """The `session` of a run as it is now, its `id` and `values`, JSON texts by name; nothing if it has none."""
    session = driver.head.session
    if not session:
        return {}
    found = driver.engine.store.session_values(session)
    return {"session": {"id": session, "values": {name: each.value.decode() for name, each in found.items()}}}


class ReadSession(Changing):
    """The values of a session, which a condition may read: with what becomes durable together with its answer."""

    def __init__(self, driver: Driver, session: str) -> None:
        self.id = session
        self._driver = driver

    def get(self, name: str, kind: Any = Any, default: Any = None, /) -> Any:
        """See `SessionData.get`."""
        found = self._text(name)
        return default if found is None else decode(found, kind, where=f"session {self.id!r}, {name!r}")

    def names(self) -> list[str]:
        """See `SessionData.names`."""
        known = {*self._driver.engine.store.session_values(self.id), *(name for name, _, _ in self._changes())}
        return sorted(name for name in known if self._text(name) is not None)

    def _text(self, name: str) -> bytes | None:
        found = self._driver.engine.store.session_values(self.id, name)
        value = found[name].value if found else None
        for changed, op, operand in self._changes():
            if changed == name:
                value = apply(op, value, operand)
        return value

    def _changes(self) -> Iterable[tuple[str, str, bytes]]:
        shared = self._driver.shared
        return [(each.name, each.op, each.value) for each in shared if isinstance(each, SessionWrite)]

    def _change(self, name: str, op: str, operand: object) -> None:
        raise RipresaError(
            "a condition cannot change the session",
            code="invalid_state",
            op=op,
            hint="a condition may be asked again after a crash; change the session in a step",
        )


class StepSession(ReadSession):
    """The same for a step, which may change them; usable from any thread."""

    def __init__(self, driver: Driver, session: str) -> None:
        super().__init__(driver, session)
        self._made: list[tuple[str, str, bytes]] = []
        self._lock = Lock()

    @property
    def changed(self) -> bool:
        """Whether there are changes since the last time."""
        return bool(self._made)

    def facts(self, at: int, path: str, attempt: int) -> Iterator[Fact]:
        """The changes since the last time, as facts."""
        with self._lock:
            made, self._made = self._made, []
        for name, op, operand in made:
            yield SessionWritten(at, path, attempt, self.id, name, op, self._driver.keeper.keep(operand))

    def _changes(self) -> Iterable[tuple[str, str, bytes]]:
        return self._made

    def _change(self, name: str, op: str, operand: object) -> None:
        self.change(name, op, encode(operand, where=f"session {self.id!r}, {name!r}", code="invalid_input"))

    def change(self, name: str, op: str, text: bytes) -> None:
        """Change a value by an operation; its operand is JSON text. Raises `InvalidValue`, `RipresaError`."""
        with self._lock:
            check_change(name, op, self._text(name), text)
            self._check_size(name, op, text)
            self._made.append((name, op, text))

    def _check_size(self, name: str, op: str, operand: bytes) -> None:
        """Raise `RipresaError(limit_exceeded)` if the session would hold more than its limits, or the run's, allow."""
        store, budget = self._driver.engine.store, self._driver.budget
        head = store.find_session(self.id)
        limits = [decode_limits(head.limits if head is not None else ""), NONE if budget is None else budget.limits]
        most = min((each.state_size for each in limits if each.state_size is not None), default=None)
        if most is None:
            return
        values = {each: self._text(each) or b"" for each in {*self.names(), name}}
        values[name] = apply(op, self._text(name), operand) or b""
        size = sum(map(len, values.values()))
        if size > most:
            message = f"the limit of state_size is reached: {size} of {most} bytes would be used"
            raise RipresaError(message, code="limit_exceeded", op=op, where=f"session {self.id!r}")


class Reading:
    """A condition may look at the session, and has nothing to report."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def session(self) -> SessionData:
        """To be read."""
        return ReadSession(self._driver, session_of(self._driver))

    def left(self) -> dict[str, float]:
        """See `StepContext.left`."""
        return {} if self._driver.budget is None else self._driver.budget.left()

    def use(self, tokens: int, cost: float | None) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("usage")

    def touch(self, path: str | PathLike[str]) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("touched")

    def write(self, text: str) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("write")

    def tell(self, sender: str, receiver: str, kind: str, content: object) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("interaction")

    async def ensure(self, tokens: int, cost: float | None) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("ensure")

    def models(self) -> Mapping[str, Any]:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("models")

    def save(self, name: str, source: bytes | str | PathLike[str], media_type: str) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("save_artifact")

    def send(self, run: str, signal: Signal[Any], value: object, id: str) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("send")

    def start(self, call: Any, id: str) -> str:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("start")

    def queue(self, kind: str, value: object, target: str, id: str) -> None:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("queue")

    def transaction(self) -> Transaction:
        """Raises `RipresaError(invalid_state)`."""
        raise _only_steps("transaction")


def _only_steps(op: str) -> RipresaError:
    return RipresaError(f"a condition has nothing to report: {op} is for steps", code="invalid_state", op=op)
