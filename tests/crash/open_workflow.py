"""An Open Workflow document for the processes that are killed: a jump, branches, an error that is caught."""

from typing import Any

from ripresa import load_document

DATA: dict[str, Any] = {
    "document": {"dsl": "1.0.3", "namespace": "crash", "name": "open", "version": "1.0.0"},
    "do": [
        {"choose": {"switch": [{"large": {"when": ". > 0", "then": "both"}}], "then": "end"}},
        {"last": {"set": "${ . + [$context.seen] }", "then": "end"}},
        {
            "both": {
                "fork": {"branches": [{"one": {"set": "${ . + 1 }"}}, {"two": {"wait": "PT0.001S"}}]},
                "export": {"as": "{ seen: .[0] }"},
            }
        },
        {
            "try": {
                "try": [{"no": {"raise": {"error": {"type": "https://a.b/no", "status": 409}}}}],
                "catch": {"do": [{"tell": {"set": "${ . + [$error.status] }"}}]},
                "then": "last",
            }
        },
    ],
}


def open_workflow() -> Any:
    """The flow."""
    return load_document(DATA)
