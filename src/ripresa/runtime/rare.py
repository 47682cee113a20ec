"""Carries out the commands that hardly any run has, so that the driver is read without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.commands import Command, HoldStream, Reconcile
from . import hooks

if TYPE_CHECKING:
    from .driver import Driver


def perform(driver: Driver, command: Command) -> None:
    """Hold a stream, or ask a hook; that a step is parked is left to who knows what it did."""
    if isinstance(command, HoldStream):
        if command.path in driver.streams:
            driver.streams[command.path].hold("run", on=command.on)
    elif not isinstance(command, Reconcile):
        hooks.ask(driver, command)
