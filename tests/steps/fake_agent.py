"""A program that behaves like a coding agent: the first word of its prompt says how; not collected as a test.

It notes its arguments, prompt and environment in the file `$FAKE_LOG`. `emit` writes what Kilo Code 7.7.7 writes.
"""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any


def emit(**event: Any) -> None:
    print(json.dumps(event), flush=True)


def session() -> str:
    return sys.argv[sys.argv.index("--session") + 1] if "--session" in sys.argv else "ses_e0125401affeSWlkWp2ZdR0iYZ"


def begin() -> None:
    emit(type="step_start", sessionID=session(), part={"type": "step-start"})


def say(text: str) -> None:
    emit(type="text", sessionID=session(), part={"type": "text", "text": text})


def end(reason: str = "stop", cost: float = 0.25, **tokens: int) -> None:
    counts = {"input": 100, "output": 20, "reasoning": 3, "cache": {"read": 0, "write": 0}, **tokens}
    emit(type="step_finish", sessionID=session(), part={"reason": reason, "cost": cost, "tokens": counts})


def write(name: str, text: str) -> None:
    with open(name, "w", encoding="utf-8") as file:
        file.write(text)


def work() -> None:
    begin()
    end("tool-calls")
    write("tide.txt", "high\n")
    write("new file.txt", "new\n")
    os.remove("old.txt")
    begin()
    say("It is ")
    say("done.")
    end()


def commit() -> None:
    begin()
    write("tide.txt", "committed\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--all", "--message=x"]
    subprocess.run(git, check=True)
    write("bytes.bin", "\x00\x01")
    end()


def resume() -> None:
    """Dies in the middle of its first attempt, and goes on in the second."""
    begin()
    if "--session" not in sys.argv:
        write("half.txt", "first ")
        end("tool-calls")
        os.kill(os.getpid(), signal.SIGKILL)
    with open("half.txt", "a", encoding="utf-8") as file:
        file.write("second\n")
    say(f"went on with {session()}")
    end()


def chatter() -> None:
    print("Welcome to the agent!\n{not json\n[1]\n3\n" + "[" * 100_000, flush=True)
    print("warming up", file=sys.stderr, flush=True)
    emit(type=7, part=3)
    emit(type="text", sessionID="--evil", part={"text": 7})
    begin()
    say("Hello")
    emit(type="step_finish", part={"reason": "stop", "tokens": {"input": -5, "output": True}, "cost": "free"})


def error() -> None:
    begin()
    end()
    emit(type="error", sessionID=session(), error={"name": "APIError", "data": {"message": f"no {os.environ['KEY']}"}})


def silent() -> None:
    begin()
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    write(os.environ["FAKE_LOG"] + ".pid", str(os.getpid()))
    while True:
        print("still warming up", file=sys.stderr, flush=True)
        time.sleep(0.02)


def hang_once() -> None:
    """Hangs in its first conversation, after a while that is long enough to be journaled."""
    if "--session" in sys.argv:
        work()
        return
    begin()
    write("half.txt", "first")
    time.sleep(0.04)
    for _ in range(10):
        end("tool-calls")
        time.sleep(0.04)
    write(os.environ["FAKE_LOG"] + ".pid", str(os.getpid()))
    signal.pause()


def leave() -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    work()


def escape() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"], start_new_session=True)
    write(os.environ["FAKE_LOG"] + ".pid", str(child.pid))
    begin()
    end()


def leak() -> None:
    begin()
    say(f"the key is {os.environ['KEY']}")
    write("tide.txt", os.environ["KEY"])
    end()


def long() -> None:
    begin()
    say("x" * 17 * 1024 * 1024)
    end()


def no_end() -> None:
    begin()
    end("tool-calls")


def no_break() -> None:
    """Its last line has no line break."""
    begin()
    print(json.dumps({"type": "step_finish", "part": {"reason": "stop"}}), end="", flush=True)


EXITS = {"fails": 1, "late": 124, "input": 42}

if __name__ == "__main__":
    prompt = sys.stdin.read()
    word = prompt.split()[0]
    if "FAKE_LOG" in os.environ:
        with open(os.environ["FAKE_LOG"], "a", encoding="utf-8") as log:
            log.write(json.dumps([sys.argv[1:], prompt, os.getcwd(), dict(os.environ)]) + "\n")
    if word in EXITS:
        begin()
        end()
        print("no model is configured", file=sys.stderr)
        sys.exit(EXITS[word])
    globals()[word]()
