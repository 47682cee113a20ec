"""The examples with a real model, where there is a key for one: they run to their end; what is said is the model's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ripresa.testing.loopback import CONFIGURED, EMBEDDINGS, KEYS, OPENAI, SWITCH, real_allowed
from tests.examples.test_models import FRESH, SAID

EXAMPLES = Path(__file__).parents[2] / "examples"

EMBEDS = ("knowledge.py",)
"""What asks for an embedding model too."""

ADAPTERS = ("adapter_openai_agents.py", "adapter_pydantic_ai.py", "adapter_langgraph.py")
"""What asks a model of OpenAI, by the client of a framework."""

pytestmark = [
    pytest.mark.skipif(not real_allowed(), reason=f"{SWITCH} is 0"),
    pytest.mark.skipif(
        not any(map(os.environ.get, (CONFIGURED, *KEYS))),
        reason=f"no key for a real model: set {CONFIGURED} or {' or '.join(KEYS)}",
    ),
]


@pytest.mark.parametrize("name", [*SAID, *FRESH, *ADAPTERS])
def test_an_example_runs_with_a_real_model(name: str, tmp_path: Path) -> None:
    if name in EMBEDS and (os.environ.get(CONFIGURED) or not any(map(os.environ.get, EMBEDDINGS))):
        pytest.skip(f"no embedding model goes with this one: set {' or '.join(EMBEDDINGS)} alone")
    if name in ADAPTERS and not os.environ.get(OPENAI):
        pytest.skip(f"it needs {OPENAI}")
    ran = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("model: ")
    assert "scripted" not in ran.stdout.partition("\n")[0]
