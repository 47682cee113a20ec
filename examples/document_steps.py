"""The steps that the documents beside this file name: `tides.yaml` and `triage.yaml`."""

from __future__ import annotations

from dataclasses import dataclass

from ripresa import step

LEVELS = {"Oban": 3.9, "Brest": 6.9, "Naples": 0.4}


@dataclass
class Level:
    port: str
    metres: float


@step(effect="read")
async def look_up(port: str) -> Level:
    return Level(port, LEVELS[port])


@step
async def write(ports: list[str], title: str) -> str:
    return title + ", ".join(ports)


@step
async def shout(text: str) -> str:
    return text.upper()


@step
async def classify(text: str) -> str:
    return "complaint" if "broken" in text else "question"


@step
async def improve(text: str) -> str:
    return text + "!"
