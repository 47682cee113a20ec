"""Carries out the commands that hardly any run has, so that the driver is read without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.commands import Command, HoldStream, LookUp, Reconcile
from . import hooks

if TYPE_CHECKING:
    from .driver import Driver


def perform(driver: Driver, command: Command) -> None:
    """Hold a stream, ask a hook, find out what a step did that is parked, or how a run has ended."""
    if isinstance(command, HoldStream):
        if command.path in driver.streams:
            driver.streams[command.path].hold("run", on=command.on)
            if not command.on:
                driver.streams[command.path].hold("hook", on=False)
    elif isinstance(command, Reconcile):
        from . import reconciling

        reconciling.ask(driver, command)
    elif isinstance(command, LookUp):
        driver.engine.outbox.look_up(driver, command)
    else:
        hooks.ask(driver, command)
