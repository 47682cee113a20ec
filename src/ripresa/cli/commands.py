"""The commands: their options and their help. What they do stands in `running` and `listing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import COMPLETED
from .offering import a2a
from .outbox import outbox
from .serving import mcp

if TYPE_CHECKING:
    from .places import Place

EXIT_CODES = (
    "Exit codes: 0 completed, 1 failed, 2 wrong usage or invalid workflow, 3 not found, 4 cancelled or terminated, "
    "5 waiting (for a person, a signal, a moment far away, or paused), 130 interrupted (the run can be resumed)."
)

cli = typer.Typer(
    name="ripresa",
    help="Durable workflows: run them, look into them, take them up again where they stopped.",
    epilog=EXIT_CODES,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Target = Annotated[
    str, typer.Argument(help="file.py:name, package.module:name, or a .yaml or .json file", show_default=False)
]
Run = Annotated[str, typer.Argument(help="the id of a run", show_default=False)]
Store = Annotated[
    str, typer.Option(help="address of the store [default: RIPRESA_STORE or .ripresa/ripresa.db]", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="print JSON on standard output")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print the result and errors only")]
Durability = Annotated[
    str,
    typer.Option(
        help="full: survives loss of power; normal: the end of the process [default: RIPRESA_APP_DURABILITY or full]",
        show_default=False,
    ),
]
Code = Annotated[str, typer.Option("--target", help="where the code is, if it moved since the run began")]
AT = "a place: the number of an event, the name of a checkpoint, or the path of a step (after it returned)"
SET = "PATH=JSON: another output of a step, or value of a field of the state, `state.NAME`; may be repeated"
Reason = Annotated[str, typer.Option(help="why; recorded with the run")]


def _version(asked: bool) -> None:
    if asked:
        from .. import __version__

        print(f"ripresa {__version__}")
        raise typer.Exit(COMPLETED)


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="go on until the run ends; JSON: one event per line")]


@cli.callback()
def about(
    version: Version = False,
) -> None:
    """Durable workflows: run them, look into them, take them up again where they stopped."""


@cli.command(epilog=EXIT_CODES)
def run(
    target: Target,
    input: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", help="the argument, or an object of named arguments: JSON, @file, or - for standard input"
        ),
    ] = None,
    id: Annotated[
        str | None, typer.Option(help="the run's id: a second run of the same gives the recorded one")
    ] = None,
    store: Store = "",
    durability: Durability = "",
    concurrency: Annotated[int | None, typer.Option(min=1, help="attempts of this run at a time")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="a tag to list the run by; may be repeated")] = None,
    session: Annotated[str, typer.Option(help="the session that the run belongs to")] = "",
    limit: Annotated[
        list[str] | None, typer.Option(help="what the run may use, such as steps=100 or money=2.5; may be repeated")
    ] = None,
    on_exceeded: Annotated[
        str, typer.Option("--on-exceeded", help="what happens when a limit is reached: fail, pause or ask")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="only say what would happen: nothing runs beyond pure and read steps")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Run a workflow and show its steps while they happen."""
    from . import inputs, running

    limits = inputs.limits_from(limit or (), on_exceeded)
    start = running.Start(target, input, id, concurrency, tuple(tag or ()), session, limits)
    if dry_run:
        from . import rehearsing

        return rehearsing.dry_run(_place(store), start, as_json=json)
    return running.run(_place(store, durability), start, as_json=json, quiet=quiet)


@cli.command()
def runs(
    status: Annotated[list[str] | None, typer.Option(help="only of this status; may be repeated")] = None,
    workflow: Annotated[str, typer.Option(help="only of this workflow")] = "",
    tag: Annotated[str, typer.Option(help="only with this tag")] = "",
    session: Annotated[str, typer.Option(help="only of this session")] = "",
    limit: Annotated[int, typer.Option(min=1, help="how many at most")] = 50,
    store: Store = "",
    json: Json = False,
) -> int:
    """List runs, newest first."""
    from ..ports import RunFilter
    from . import listing

    where = RunFilter(status=tuple(status or ()), workflow=workflow, tag=tag, limit=limit, session=session)
    return listing.list_runs(_place(store), where, as_json=json)


@cli.command()
def show(
    run: Run,
    steps: Annotated[bool, typer.Option("--steps", help="every step, what it was given, its result; no tree")] = False,
    interactions: Annotated[bool, typer.Option("--interactions", help="who sent what to whom, only")] = False,
    diagram: Annotated[bool, typer.Option("--diagram", help="the same as a Mermaid sequence diagram")] = False,
    store: Store = "",
    json: Json = False,
) -> int:
    """Show a run: status, progress, result, error, steps."""
    from . import listing

    if interactions or diagram:
        return listing.show_interactions(_place(store), run, as_json=json, diagram=diagram)
    return listing.show_run(_place(store), run, as_json=json, steps=steps)


@cli.command()
def events(
    run: Run,
    follow: Follow = False,
    store: Store = "",
    json: Json = False,
) -> int:
    """Print the journal of a run, live with --follow."""
    from . import listing

    return listing.print_events(_place(store), run, follow=follow, as_json=json)


@cli.command(epilog=EXIT_CODES)
def resume(
    run: Annotated[str, typer.Argument(help="the id of a run", show_default=False)] = "",
    all: Annotated[bool, typer.Option("--all", help="all unfinished runs that no living process drives")] = False,
    target: Code = "",
    limit: Annotated[
        list[str] | None, typer.Option(help="what the run may use from here on, such as steps=100; may be repeated")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="also if what nothing can undo is done again")] = False,
    store: Store = "",
    durability: Durability = "",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Take a run up from its first unfinished steps."""
    from . import inputs, running

    if bool(run) == all:
        raise typer.BadParameter("give the id of a run, or --all")
    if all and (target or limit or again):
        raise typer.BadParameter("--target, --limit and --again are for one run")
    limits = inputs.limits_from(limit or (), "")
    place = _place(store, durability)
    if all:
        return running.resume_all(place, as_json=json, quiet=quiet)
    return running.resume(place, running.Resumed(run, target, limits, again), as_json=json, quiet=quiet)


@cli.command()
def approvals(store: Store = "", json: Json = False) -> int:
    """List what people are asked, over all runs."""
    from . import messaging

    return messaging.approvals(_place(store), as_json=json)


@cli.command()
def approve(
    run: Run,
    name: Annotated[str, typer.Argument(help="which approval, if several are open", show_default=False)] = "",
    by: Annotated[str, typer.Option("--as", help="who answers; a claim that is recorded", show_default=False)] = "",
    reject: Annotated[bool, typer.Option("--reject", help="reject instead")] = False,
    form: Annotated[str, typer.Option(help="what is filled in: JSON, @file, or - for standard input")] = "null",
    comment: Annotated[str, typer.Option(help="why; recorded with the answer")] = "",
    role: Annotated[list[str] | None, typer.Option(help="a role in which one answers; may be repeated")] = None,
    digest: Annotated[str, typer.Option(help="of what was looked at, by default of what is asked now")] = "",
    to: Annotated[str, typer.Option(help="do not answer; let this person answer instead")] = "",
    target: Code = "",
    store: Store = "",
    quiet: Quiet = False,
) -> int:
    """Grant an approval, reject it, or let somebody else answer."""
    from . import messaging

    if not by:
        raise typer.BadParameter("say who answers: --as NAME")
    vote = messaging.Vote(run, name, by, not reject, form, comment, tuple(role or ()), digest, to)
    return messaging.approve(_place(store), vote, target, quiet=quiet)


@cli.command()
def reconcile(
    run: Run,
    path: Annotated[str, typer.Argument(help="the path of the step", show_default=False)],
    completed: Annotated[
        str | None, typer.Option(help="it did its work; its result: JSON, @file, or - for standard input")
    ] = None,
    failed: Annotated[str | None, typer.Option(help="it failed; why")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="it did nothing: try again")] = False,
    by: Annotated[str, typer.Option("--as", help="who says so; a claim that is recorded", show_default=False)] = "",
    target: Code = "",
    store: Store = "",
    quiet: Quiet = False,
) -> int:
    """Say what an irreversible step really did that ended without a report."""
    from . import undoing

    if not by:
        raise typer.BadParameter("say who says so: --as NAME")
    if [completed is not None, failed is not None, retry].count(True) != 1:
        raise typer.BadParameter("say one of --completed, --failed and --retry")
    said = undoing.Said(run, path, completed, failed, retry, by, target)
    return undoing.reconcile(_place(store), said, quiet=quiet)


cli.command()(a2a)
cli.command()(mcp)


@cli.command()
def worker(store: Store = "", durability: Durability = "", quiet: Quiet = False) -> int:
    """Drive runs that are due, and those that their process left, until Ctrl-C."""
    from . import working

    return working.work(_place(store, durability), quiet=quiet)


@cli.command()
def cancel(run: Run, reason: Reason = "", target: Code = "", store: Store = "", quiet: Quiet = False) -> int:
    """Ask a run to stop and clean up."""
    return _ask(run, "cancel", reason, target, store, quiet)


@cli.command()
def terminate(run: Run, reason: Reason = "", target: Code = "", store: Store = "", quiet: Quiet = False) -> int:
    """Kill a run: nothing is cleaned up."""
    return _ask(run, "terminate", reason, target, store, quiet)


@cli.command()
def pause(run: Run, reason: Reason = "", target: Code = "", store: Store = "", quiet: Quiet = False) -> int:
    """Let a run start nothing new; what is in flight ends."""
    return _ask(run, "pause", reason, target, store, quiet)


@cli.command("continue", epilog=EXIT_CODES)
def continue_(run: Run, target: Code = "", store: Store = "", quiet: Quiet = False) -> int:
    """Let a paused run go on."""
    return _ask(run, "continue", "", target, store, quiet)


def _ask(run: str, kind: str, reason: str, target: str, store: str, quiet: bool) -> int:
    from . import running

    return running.ask(_place(store), running.Ask(run, kind, reason, target), quiet=quiet)


@cli.command()
def prune(
    older_than: Annotated[str, typer.Option(help='how long ago a run must have ended: "90 days"', show_default=False)],
    status: Annotated[list[str] | None, typer.Option(help="only runs of this status; may be repeated")] = None,
    workflow: Annotated[str, typer.Option(help="only runs of this workflow")] = "",
    tag: Annotated[str, typer.Option(help="only runs with this tag")] = "",
    archive: Annotated[str, typer.Option(help="a folder: write each run to a file first", show_default=False)] = "",
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list the runs that would be removed")] = False,
    store: Store = "",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Remove runs that ended long ago; a tombstone stays of each."""
    from . import many

    old = many.Old(older_than, tuple(status or ()), workflow, tag, archive, reason)
    return many.prune(_place(store), old, dry_run=dry_run, as_json=json, quiet=quiet)


@cli.command()
def restore(
    file: Annotated[str, typer.Argument(help="a file that prune --archive wrote", show_default=False)],
    store: Store = "",
    quiet: Quiet = False,
) -> int:
    """Bring an archived run back."""
    from . import many

    return many.restore(_place(store), file, quiet=quiet)


@cli.command()
def tombstones(
    limit: Annotated[int, typer.Option(min=1, help="how many at most")] = 50, store: Store = "", json: Json = False
) -> int:
    """List what stayed of runs that were removed, newest first."""
    from . import many

    return many.tombstones(_place(store), limit=limit, as_json=json)


@cli.command()
def forget(
    step: Annotated[str, typer.Argument(help="only of this function: module.name", show_default=False)] = "",
    expired: Annotated[bool, typer.Option("--expired", help="only what nobody is given any more")] = False,
    store: Store = "",
    quiet: Quiet = False,
) -> int:
    """Forget cached results of steps."""
    from . import many

    return many.forget(_place(store), step, expired=expired, quiet=quiet)


@cli.command()
def bulk(
    action: Annotated[str, typer.Argument(help="cancel, terminate, pause, resume or retry", show_default=False)],
    status: Annotated[list[str] | None, typer.Option(help="only runs of this status; may be repeated")] = None,
    workflow: Annotated[str, typer.Option(help="only runs of this workflow")] = "",
    tag: Annotated[str, typer.Option(help="only runs with this tag")] = "",
    reason: Reason = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only list the runs that are chosen")] = False,
    store: Store = "",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Ask the same of all runs that the options choose; retry takes up those that failed."""
    from . import many

    if action not in many.ACTIONS:
        raise typer.BadParameter(f"{action!r} is none of {', '.join(many.ACTIONS)}")
    asked = many.Many(action, tuple(status or ()), workflow, tag, reason)
    if dry_run:
        return many.rehearse(_place(store), asked, as_json=json)
    return many.bulk(_place(store), asked, as_json=json, quiet=quiet)


@cli.command()
def signal(
    run: Run,
    name: Annotated[str, typer.Argument(help="the name of the signal", show_default=False)],
    value: Annotated[str, typer.Argument(help="its value: JSON, @file, or - for standard input")] = "null",
    id: Annotated[str, typer.Option(help="an id: a second signal of the same id changes nothing")] = "",
    by: Annotated[str, typer.Option("--as", help="who sends it; a claim that is recorded")] = "",
    target: Code = "",
    store: Store = "",
    quiet: Quiet = False,
) -> int:
    """Send a run a signal; where nobody drives the run, take it up and see what follows."""
    from . import messaging

    sent = messaging.Sent(run, name, value, id, by)
    return messaging.signal(_place(store), sent, target, quiet=quiet)


@cli.command()
def update(
    run: Run,
    name: Annotated[str, typer.Argument(help="the name of the update", show_default=False)],
    value: Annotated[str, typer.Argument(help="its value: JSON, @file, or - for standard input")] = "null",
    id: Annotated[str, typer.Option(help="an id: sent again it counts once, and gets the same answer")] = "",
    by: Annotated[str, typer.Option("--as", help="who sends it; a claim that is recorded")] = "",
    timeout: Annotated[str, typer.Option(help="how long to wait for the answer: 30s, 10m")] = "1m",
    target: Code = "",
    store: Store = "",
    quiet: Quiet = False,
) -> int:
    """Send a run an update and print its answer; where nobody drives the run, take it up and see what follows."""
    from . import messaging

    sent = messaging.Sent(run, name, value, id, by)
    return messaging.update(_place(store), sent, target, timeout=timeout, quiet=quiet)


@cli.command()
def query(
    run: Run,
    name: Annotated[str, typer.Argument(help="the name of the query [default: list them]", show_default=False)] = "",
    about: Annotated[str, typer.Argument(help="what it is asked about: JSON, @file, or -", show_default=False)] = "",
    target: Code = "",
    store: Store = "",
    json: Json = False,
) -> int:
    """Ask a run something that changes nothing: what it exposes, or its progress or state."""
    from . import querying

    return querying.query(_place(store), querying.Asked(run, name, about), target, as_json=json)


@cli.command()
def checkpoints(run: Run, store: Store = "", json: Json = False) -> int:
    """List the places of a run that one can return to, compare and fork from."""
    from . import travelling

    return travelling.checkpoints(_place(store), run, as_json=json)


@cli.command()
def diff(
    run: Run,
    other: Annotated[str, typer.Argument(help="another run, to compare it with", show_default=False)] = "",
    start: Annotated[str, typer.Option("--from", help="a place [default: the beginning]", show_default=False)] = "",
    end: Annotated[str, typer.Option("--to", help="a place [default: where the run is now]", show_default=False)] = "",
    store: Store = "",
    json: Json = False,
) -> int:
    """Say what became of a run between two places, or how it differs from another run."""
    from . import travelling

    if other and (start or end):
        raise typer.BadParameter("--from and --to are for places of one run")
    if other:
        return travelling.compare(_place(store), run, other, as_json=json)
    return travelling.diff(_place(store), run, start, end, as_json=json)


@cli.command(epilog=EXIT_CODES)
def rollback(
    run: Run,
    at: Annotated[str, typer.Option(help=AT)],
    set: Annotated[list[str] | None, typer.Option("--set", help=SET)] = None,
    again: Annotated[bool, typer.Option("--again", help="also if steps that changed the world are done again")] = False,
    target: Code = "",
    store: Store = "",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Take a run back to an earlier place and let it go on from there."""
    from . import travelling

    wanted = travelling.Back(run, at, set or (), again, target)
    return travelling.rollback(_place(store), wanted, as_json=json, quiet=quiet)


@cli.command()
def undo(
    run: Run,
    to: Annotated[str, typer.Option(help="only what happened after " + AT)] = "",
    reason: Reason = "",
    target: Code = "",
    store: Store = "",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Take back what a run did that has ended, and say what was undone. Exit code 1: not all of it could be."""
    from . import undoing

    return undoing.undo(_place(store), undoing.Asked(run, to, reason, target), as_json=json, quiet=quiet)


@cli.command(epilog=EXIT_CODES)
def fork(
    run: Run,
    at: Annotated[str, typer.Option(help=AT + " [default: where the run is now]", show_default=False)] = "",
    set: Annotated[
        list[str] | None, typer.Option(help="PATH=JSON: another output of a step, or of `input`; may be repeated")
    ] = None,
    id: Annotated[str | None, typer.Option(help="the id of the new run")] = None,
    effects: Annotated[
        str, typer.Option(help="steps that changed the world after the place: refuse, reuse (their results) or again")
    ] = "refuse",
    fresh: Annotated[bool, typer.Option("--fresh", help="take nothing over that was recorded after the place")] = False,
    target: Code = "",
    store: Store = "",
    json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Begin a new run from a place of another; what is not affected by a change is not run again."""
    from . import travelling

    wanted = travelling.Forked(run, at, tuple(set or ()), id, effects, fresh, target)
    return travelling.fork(_place(store), wanted, as_json=json, quiet=quiet)


@cli.command()
def plan(target: Target, store: Store = "", json: Json = False) -> int:
    """Say what becomes of unfinished runs with a new definition; exits with 1 if anything is missing for one."""
    from . import versions

    return versions.plan_for(_place(store), target, as_json=json)


@cli.command(epilog=EXIT_CODES)
def migrate(
    run: Annotated[str, typer.Argument(help="the id of a run", show_default=False)] = "",
    all: Annotated[bool, typer.Option("--all", help="all unfinished runs of the target's workflow")] = False,
    target: Code = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only say what would happen")] = False,
    store: Store = "",
    json: Json = False,
) -> int:
    """Take unfinished runs over to another version of their workflow, by the migrations beside it."""
    from . import versions

    if bool(run) == all:
        raise typer.BadParameter("give the id of a run, or --all")
    if all and not target:
        raise typer.BadParameter("--all needs --target: which workflow, and where the new version is")
    if all:
        return versions.migrate_all(_place(store), target, dry_run=dry_run, as_json=json)
    return versions.migrate_run(_place(store), run, target, dry_run=dry_run, as_json=json)


@cli.command()
def check(target: Target, json: Json = False) -> int:
    """Say everything that is wrong with a workflow, before it runs."""
    from .checking import check

    return check(target, as_json=json)


@cli.command()
def draw(
    target: Target,
    format: Annotated[str, typer.Option(help="mermaid or dot")] = "mermaid",
) -> int:
    """Draw a workflow as text: Mermaid or Graphviz."""
    from typing import cast

    from ..authoring.draw import draw as drawn
    from .inputs import load

    print(drawn(load(target), cast("Any", format)), end="")
    return COMPLETED


@cli.command()
def schema() -> int:
    """Print the JSON Schema of workflows as documents, for editors."""
    import json

    from ..authoring.document.schema import schema as whole

    print(json.dumps(whole(), indent=2, ensure_ascii=False))
    return COMPLETED


@cli.command()
def export(
    target: Target,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead of YAML")] = False,
    folder: Annotated[
        str, typer.Option(help="where the document will be: files in it are named by their paths from there")
    ] = ".",
) -> int:
    """Print a chain, a graph or any other flow as a document that reads back as the same definition."""
    from ..authoring.document.text import text_of
    from ..runtime.exporting import export_document
    from .inputs import load

    print(text_of(export_document(load(target), folder=folder), as_json=json), end="")
    return COMPLETED


def _place(store: str, durability: str = "") -> Place:
    from .places import Place

    return Place(store, durability)


# --- what runs share

SessionOption = Annotated[str, typer.Option("--session", help="the id of a session")]
OwnerOption = Annotated[str, typer.Option(help="whose session it is")]


@cli.command()
def sessions(
    id: Annotated[str, typer.Argument(help="show this one with its values, runs and errors", show_default=False)] = "",
    status: Annotated[str, typer.Option(help="only of this status")] = "",
    owner: OwnerOption = "",
    limit: Annotated[int, typer.Option(min=1, help="how many at most")] = 50,
    store: Store = "",
    json: Json = False,
) -> int:
    """List sessions, newest first, or show one."""
    from . import sharing

    if id:
        return sharing.show_session(_place(store), id, as_json=json)
    return sharing.list_sessions(_place(store), status, owner, limit, as_json=json)


@cli.command()
def session(
    action: Annotated[str, typer.Argument(help="create, suspend, resume, complete or archive", show_default=False)],
    id: Annotated[str, typer.Argument(help="the id of a session", show_default=False)],
    owner: OwnerOption = "",
    store: Store = "",
) -> int:
    """Create a session, or let it become something else."""
    from . import sharing

    return sharing.act(_place(store), action, id, owner)


@cli.command()
def artifacts(
    run: Annotated[str, typer.Argument(help="the id of a run", show_default=False)] = "",
    session: SessionOption = "",
    store: Store = "",
    json: Json = False,
) -> int:
    """List the artifacts of a run or session, with their versions."""
    from . import sharing

    return sharing.list_artifacts(_place(store), run, session, as_json=json)


artifact = typer.Typer(rich_markup_mode=None, help="Read an artifact.")
cli.add_typer(artifact, name="artifact")
cli.add_typer(outbox, name="outbox")


@artifact.command()
def get(
    name: Annotated[str, typer.Argument(help="the name of the artifact", show_default=False)],
    run: Annotated[str, typer.Argument(help="the id of a run", show_default=False)] = "",
    session: SessionOption = "",
    version: Annotated[int | None, typer.Option(min=1, help="not the newest, but this one")] = None,
    out: Annotated[str, typer.Option("--out", "-o", help="the file to write, instead of standard output")] = "",
    store: Store = "",
) -> int:
    """Write an artifact to standard output or to a file."""
    from . import sharing

    return sharing.get_artifact(_place(store), name, (run, session), version, out)


@artifact.callback()
def about_artifacts() -> None:
    """Read an artifact."""
