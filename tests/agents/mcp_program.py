"""An MCP server as a program, of the standard library alone: quick to begin, and of the protocol before 2026.

`python mcp_program.py NOTES` writes its process id into a file.
"""

import json
import os
import signal
import sys
from typing import Any

TOOLS = {
    "environment": "names of the variables that it was given",
    "read": "a file",
    "die": "ends the program",
    "stay": "never answers",
    "change": "one more tool",
    "tell": "the value of a variable",
    "bad": "answers what is no JSON",
    "misfit": "answers what does not fit",
    "long": "answers with too long a line",
}


def say(message: dict[str, Any]) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "description": os.environ.get("KEY", ""), "inputSchema": {"type": "object"}} for name in TOOLS
    ]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    return [{**each, "outputSchema": schema} if each["name"] == "misfit" else each for each in found]


def called(name: str, arguments: dict[str, Any]) -> dict[str, Any] | str:
    match name:
        case "environment":
            return " ".join(sorted(os.environ))
        case "read":
            return f"text of {arguments['path']}"
        case "die":
            print(f"dying of {arguments['text']}", file=sys.stderr, flush=True)
            os._exit(3)
        case "stay":
            with open(arguments["note"], "w") as file:
                file.write("here")
            signal.pause()
        case "change":
            TOOLS["more"] = "new"
            say({"method": "notifications/tools/list_changed"})
        case "tell":
            found = os.environ[arguments["name"]]
            texts = [{"type": "text", "text": f"it is {found}"}]
            return {"content": texts, "structuredContent": {found: [found, 1, None]}, "isError": "fail" in arguments}
        case "bad":
            print("this is no JSON", flush=True)
        case "misfit":
            return {"content": [], "structuredContent": {"n": "many"}}
        case "long":
            sys.stdout.write("x" * 17_000_000 + "\n")
        case _:
            return {"content": [{"type": "text", "text": f"no tool {name}"}], "isError": True}
    return "done"


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    if method == "initialize":
        server = {"name": "program", "version": "1"}
        version = params["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {"listChanged": True}}, "serverInfo": server}
    if method == "tools/list":
        first = params.get("cursor") is None
        return {"tools": listed()[:3], "nextCursor": "2"} if first else {"tools": listed()[3:]}
    if method == "tools/call":
        found = called(params["name"], params.get("arguments") or {})
        return {"content": [{"type": "text", "text": found}]} if isinstance(found, str) else found
    return None


def main() -> None:
    if len(sys.argv) > 1:
        with open(sys.argv[1], "a") as file:
            file.write(f"{os.getpid()}\n")
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            found = answer(message["method"], message.get("params") or {})
            error = {"error": {"code": -32601, "message": "Method not found"}}
            say({"id": message["id"], **(error if found is None else {"result": found})})


if __name__ == "__main__":
    main()
