"""What a new run is started with: what was asked, checked and put together with what is usual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .authoring.call import Call, pending
from .authoring.flow import Runnable
from .authoring.single import runnable_of
from .config import Config, RunConfig, allowed
from .core.complaints import Complaints
from .core.durations import Duration, seconds
from .core.limits import NONE, Limits, limits_of
from .errors import InvalidConfig
from .runtime.cancellation import CancelToken
from .runtime.engine import Engine, Start
from .runtime.given import check_names, check_token, checked_tags
from .runtime.ids import checked_id
from .runtime.mailing import QueuedStart
from .runtime.provided import require_executors
from .runtime.targets import target_of


def start_of(  # noqa: PLR0913 - every option of a run, by keyword
    engine: Engine,
    config: Config,
    call: Call[Any],
    *,
    id: str | None,
    timeout: Duration | None,
    concurrency: int | None,
    tags: Sequence[str],
    target: str | None,
    session: str | None,
    state: object,
    limits: Limits | None,
    by: str,
    cancel: CancelToken | None,
) -> Start:
    """What `App.start` was asked. Raises what it says."""
    asked = pending(call, "start")
    runnable = runnable_of(asked.callee)
    require_executors(engine, runnable)
    usual = allowed(config, runnable, in_session=bool(session), hooked=len(engine.switchboard.hooks) > 0)
    most = usual.concurrency if concurrency is None else concurrency
    try:
        check_names(target, session, by)
        check_token(cancel)
        return Start(
            runnable,
            runnable.encode_input(asked.args, asked.kwargs),
            checked_id(id, "start"),
            target_of(runnable) if target is None else target,
            checked_tags(tags),
            _timeout(runnable, usual) if timeout is None else seconds(timeout, "timeout"),
            session or "",
            limits_of(limits, runnable, config.limits, most),
            state,
            by=by,
        )
    except InvalidConfig:
        bad = Complaints()
        bad.read(checked_id, id, "start")
        if timeout is not None:
            bad.read(seconds, timeout, "timeout")
        bad.read(limits_of, None, None, NONE, concurrency)
        bad.read(checked_tags, tags)
        bad.read(check_token, cancel)
        bad.read(check_names, target, session, by)
        bad.read(limits_of, limits, None, NONE, None)
        bad.refuse("start", runnable.name)
        raise


def queued_start(config: Config, runnable: Runnable[..., Any], queued: QueuedStart) -> Start:
    """What a step has queued."""
    usual = allowed(config, runnable, in_session=bool(queued.session))
    return Start(
        runnable,
        queued.input,
        queued.run,
        queued.target,
        timeout=_timeout(runnable, usual),
        session=queued.session,
        limits=limits_of(None, runnable, config.limits, usual.concurrency),
        parent=queued.parent,
        reports=queued.reports,
        deadline=queued.deadline,
    )


def _timeout(runnable: Runnable[..., Any], usual: RunConfig) -> float | None:
    own: float | None = getattr(runnable, "timeout", None)
    return usual.timeout if own is None else own
