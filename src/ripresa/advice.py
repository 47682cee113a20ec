"""What to do about an error of each code, where whoever raises it knows nothing better.

Law: an advice is shown, never recorded and never compared, so that it may be written better at any time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .core.parts import Failure

ADVICE: Final[dict[str, str]] = {
    # definitions
    "invalid_workflow": "mend the definition there; `ripresa check TARGET` tells everything that is wrong with it",
    "invalid_config": "give what is named there a value that it can have, or leave it away for its default",
    "cycle": "take one of these dependencies away",
    "unknown_dependency": "add it to the graph before, or leave it away",
    "duplicate_name": 'give one of them another name: name="..."',
    "type_mismatch": "let it take what it is given, or put a step between that makes one of the other",
    "unresolved_annotation": "import or define what it names, or write the annotation as it should be",
    "no_undo": "say what undoes it: @step_name.undo",
    "definition_changed": "go on with the version that began the run, register a migration, or start a new run",
    "unknown_target": "write file.py:name or package.module:name, and run it where that can be found",
    "unknown_workflow": "give it to the app: App(workflows=[...]); or say where its code is: --target file.py:name",
    "not_available": "use it where it is provided for, or give what it needs when the app or run is made",
    "extra_missing": "install the extra that is named: pip install 'ripresa[NAME]'",
    "invalid_condition": "write it as docs/rules.md shows",
    "invalid_expression": "write it as docs/documents.md shows",
    "invalid_type": "name a type there as docs/documents.md shows",
    "unknown_type": "write a type that there is, or register this one",
    "unknown_step": "name a step of this document",
    "not_exportable": "make it of what a document can name, or keep this workflow in Python",
    "effect_exceeded": "declare the greater effect on the outer step, or move the call into a step of its own",
    "not_speculable": 'declare it effect="pure" or "read" if that is what it is, or run it once only',
    # values
    "invalid_input": "correct the value there, or the declared type if the value is right",
    "invalid_output": "let it return what it declares, or declare what it returns",
    "not_encodable": "use plain data, dataclasses or models, and declare their type",
    "invalid_field": "write what the field's type allows, or change that type and migrate the state",
    "no_state": "declare the state where the workflow is made, and set the field before it is read",
    "state_conflict": "give the field a reducer, or let one branch only write it",
    "no_case": "add a case for this value, or a default",
    "illegal_handoff": "name that node in the edges, or hand on to one that is there",
    "too_many_transitions": "let a node come to an end, or allow more where the router is made",
    "rule_failed": "mend what makes the result, or the rule, then take the run up again",
    "transaction_failed": "mend the statement, and see that its tables are in the store's database",
    # attempts
    "step_failed": "mend the cause",
    "timeout": "make it quicker, give it more time (timeout=...), or let it be tried again (retry=...)",
    "deadline_exceeded": "start it with a later deadline, or make what it does quicker",
    "attempt_lost": "let it be tried again: retry=Retry(attempts=...)",
    "outcome_unknown": "find out what it did, then say so: `ripresa reconcile RUN STEP`",
    "process_died": "see what ended it (memory, a signal), or let it be tried again: retry=Retry(attempts=...)",
    "cancelled": "start it again if that was not meant",
    "terminated": "start it again if that was not meant; what was not cleaned up is left to you",
    "undone": "start it again if its work is wanted after all",
    "join_impossible": "mend the branches that failed, or ask for fewer of them",
    "late_item": "allow more lateness, or take late items on their own",
    "expression_failed": "see what the expression is given there, and write it so that it can take that",
    "stream_overflow": "give the buffer more room, let it block or drop, or make what comes after it quicker",
    "stream_not_resumable": "let the source take the position that it goes on from, or begin the stream anew",
    "vetoed": "ask whoever wrote the hook, or change what it objects to",
    "hook_failed": "mend the hook; one that must not stop a run is not critical",
    "invalid_answer": "let the hook answer what its point allows: see docs/hooks.md",
    "foreign_await": "put it into a step, and await that",
    "nondeterminism": "let it ask for the same calls in the same order, or give the workflow a new version",
    "function_too_long": "begin anew with what is left to do: ctx.restart(input)",
    "workflow_deadlock": "let fewer things wait for each other, or give the pool more members",
    # sessions
    "session_not_found": "`ripresa sessions` lists those that there are",
    "session_exists": "use another id, or the owner and limits that it was created with",
    "artifact_not_found": "`ripresa artifacts` lists those that there are",
    "limit_exceeded": "allow more, then take the run up again: ripresa resume RUN --limit NAME=NUMBER",
    "invalid_state": "see how it stands, `ripresa show` or `ripresa sessions`, and ask for what that allows",
    "unknown_pool": "give the app one of that name: App(pools=[Pool(...)])",
    "pool_unhealthy": "see why its members are not well, or wait until one is",
    "update_refused": "send what the update allows now",
    "update_unanswered": "see how the run stands: `ripresa show RUN`",
    "update_timeout": "wait longer, or see what the run does: `ripresa show RUN`",
    "unknown_query": "`ripresa query RUN` lists those that it answers",
    "query_failed": "mend what answers the query; the run itself goes on",
    "vote_refused": "let somebody answer who is asked, once, with the digest that is shown now",
    "unknown_executor": "functions that are not async run in threads by themselves; your own: App(executors={...})",
    # ready-made steps
    "secret_missing": "put it where the reference looks for it: an environment variable or a file",
    "executable_missing": "install the program, or write where it is",
    "process_failed": "see what the program printed, and mend that",
    "task_faulted": "mend what the problem details name, or catch it in the document",
    "no_output": "let it say something now and then, or allow it to be silent for longer",
    "too_large": "let it give less, or allow more",
    "http_status": "see what the service answered, and what it was sent",
    "http_failed": "see whether the service runs and can be reached from here",
    "address_refused": "name the host among those that are allowed, if it is meant to be reached",
    "certificate_refused": "mend the certificate of the service, or name the authority that it is of",
    "token_refused": "check the client's name and secret, and what it may ask for",
    "grpc_status": "see what the service answered, and what it was sent",
    "grpc_failed": "see whether the service runs and can be reached from here",
    "invalid_description": "mend the description, or name another one",
    "unknown_operation": "name one that the description has",
    "agent_failed": "see what the agent told, and mend that, or let it be tried again",
    "agent_asks": "answer what it asks in its input, and call it again",
    "invalid_agent_answer": "ask the agent for what is wanted in clearer words, or let it be tried again",
    "webhook_failed": "see whether the endpoint runs and what it answers, then: ripresa outbox resend",
    "webhook_refused": "check the secret that both sides share, and the clocks of both",
    "rejected": "change what was asked about, and ask again",
    "outside_workspace": "use a path inside of the folder",
    # models and agents
    "model_not_configured": "name a model where the app is made, and put its key into the environment",
    "unknown_model": "name a model that the provider has: `provider:model`",
    "model_unauthorized": "check the key, and what it may be used for",
    "model_rate_limited": "wait, ask for less at a time, or allow more tries: retry=Retry(attempts=...)",
    "model_quota_exceeded": "raise what may be spent there, or use another model",
    "model_unavailable": "wait, or use another model",
    "model_refused": "see what the provider objects to, and change the request",
    "context_too_long": "give it less to read, or use a model that can read more",
    "answer_filtered": "ask in other words, or use another model",
    "invalid_model_answer": "ask in clearer words, for a simpler form, or let it be tried again",
    "wrong_dimension": "embed with the model that the store was filled with, or make a new store",
    "unknown_tool": "name a tool that there is, or register this one",
    "tool_forbidden": "allow it where the agent is made, if it is meant to be used",
    "tool_failed": "see what the server said, and what the tool was given",
    "tool_unavailable": "see whether the server runs and can be reached from here",
    "tools_changed": "let the server offer what it did, or start a new run",
    "unknown_agent": "register it where the app is made, or write the name of one that is",
    "agent_unavailable": "start or mend the agent, then try again",
    "framework_unsupported": "install a version that is supported (see docs/adapters.md), or make a step of it by hand",
    "agent_limit": "allow it more, or ask for less",
    # runs
    "run_failed": "mend the cause, then: ripresa resume RUN",
    "run_exists": "use another id, or the workflow and input that it was started with",
    "run_not_found": "`ripresa runs` lists those that there are",
    "illegal_transition": "see how it stands, `ripresa show RUN`, and ask for what that allows",
    "fenced": "let the owner go on, or start again what was to be done here",
    "migration_missing": "register one, or go on with the version that began the run",
    "migration_failed": "mend the migration, and try it first: it changes nothing with --dry-run",
    "no_such_place": "`ripresa checkpoints RUN` and `ripresa events RUN` list those that there are",
    "late_outcome": "see what it did, and take that back if it is not wanted",
    "irreversible": "take back by hand what has to be taken back",
    "effects_undecided": "see what they did, then allow it: --again",
    "owned_elsewhere": "let that process go on, or end it first; requests such as cancel reach it from here",
    "interrupted": "take it up again: ripresa resume RUN",
    # stores
    "store_failed": "see what the database said; what was acknowledged is safe",
    "store_locked": "end the process that keeps it locked, or wait",
    "store_full": "make room, then take the runs up again; what was acknowledged is safe",
    "store_readonly": "allow this user to write the file and its folder, or use another: --store",
    "store_corrupt": "keep the file as it is, and go on from a backup",
    "store_newer": "upgrade: pip install --upgrade ripresa",
    "unknown_store": "write a path, sqlite:PATH or memory:",
    # use
    "usage": "call it as its documentation shows: help(NAME), `ripresa COMMAND --help`",
    "closed": "open a new one: async with App(...) as app",
}
"""By code. A command stands between backquotes or after a colon; RUN, STEP, NAME stand for names of yours."""


_CHILD: Final = re.compile(r"run (['\"])([^\\]+?)\1 failed: ")
"""How the failure of a run tells that of another which it waited for; see `runtime.family.failure_for`."""


def mending(failure: Failure, run: str, resume: Callable[[str], str]) -> str:
    """What to do about what a run failed for, and the commands that take it up again after that.

    A run that it waited for and that failed comes before it: it would be told the same failure once more.
    """
    commands = [resume(run)]
    cause: Failure | None = failure
    while cause is not None:
        child = None if cause.types or cause.code != "run_failed" else _CHILD.match(cause.message)
        if child:
            commands.insert(0, resume(child[2]))
        cause = cause.cause
    advice = ADVICE.get(failure.code, ADVICE["step_failed"]).partition(", then")[0]
    return f"{advice}, then: {', then: '.join(commands)}"
