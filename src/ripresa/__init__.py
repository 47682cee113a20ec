"""Durable workflows of agents, models, tools and plain functions: they survive anything and are taken up again.

Everything public is listed here and loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agents.agent import Agent, AgentLike, agent
    from .agents.knowledge import Found, Knowledge, Passage, Vectors
    from .agents.mcp_server import McpServer
    from .agents.meeting import Meeting, Said
    from .agents.memory import Memory
    from .agents.registry import Agents, AgentStatus
    from .agents.showing import as_runnable
    from .agents.supervised import supervised
    from .agents.teams import debate, group_chat, handoff, supervisor
    from .agents.telling import tells
    from .agents.tools import Sandbox, Tool, Tools, ToolSource, tool
    from .agents.turns import AgentBounds
    from .agents.vectors import SQLiteVectors
    from .app import App
    from .artifacts import Artifact
    from .authoring.asked import (
        AfterStep,
        Again,
        BeforeStep,
        BranchChoosing,
        Cancel,
        CancelAsking,
        CheckpointNaming,
        Continue,
        FallbackChoosing,
        ForkStarting,
        JoinEnding,
        LimitReaching,
        LoopTurning,
        Narrow,
        Observed,
        Redirect,
        Replace,
        RollbackStarting,
        RunCompleting,
        RunFailing,
        RunStarting,
        SignalArriving,
        Skip,
        StageEntering,
        StepErring,
        UndoEnding,
        UndoErring,
        UndoStarting,
        Veto,
    )
    from .authoring.cache import Cache
    from .authoring.call import Call
    from .authoring.chain import Chain, chain
    from .authoring.choice import branch, case, choose
    from .authoring.detached import detached
    from .authoring.document.library import Library, Maker
    from .authoring.flow import Flow, Runnable, saga
    from .authoring.function import Workflow, workflow
    from .authoring.graph import Graph, Node
    from .authoring.hooks import Breaker, Hook, Hooks, after, before, intercept, observe, on_error
    from .authoring.loops import fold, for_range, repeat
    from .authoring.migration import FieldWrite, Migration, RunForm, StreamPlace, migration
    from .authoring.patterns import best_effort, delay, fallback, first_of, first_success, map_each, n_of, parallel
    from .authoring.pool import Pool
    from .authoring.registry import Registry
    from .authoring.routing import Handoff, router
    from .authoring.rules import Rule
    from .authoring.serving import wait_for_update
    from .authoring.speculation import speculate
    from .authoring.standing import Standing
    from .authoring.step import Step, step
    from .authoring.stream import At, DeadLetter, Stream, StreamControl, StreamHooks, StreamResult, TimeWindow, stream
    from .authoring.transitions import Transitions, transitions
    from .authoring.unknown import Unknown
    from .authoring.waits import approval, approved, wait_for
    from .children import Child
    from .client import Handle, Outcome
    from .config import Config, Features
    from .context import StepContext, current
    from .core.branches import FanOutEvents
    from .core.conditions import Condition
    from .core.events import Recorded
    from .core.limits import Limits
    from .core.parts import Failure, ValidationResult
    from .core.retry import Retry
    from .core.seen import StepView, StreamView
    from .core.view import RunView
    from .errors import (
        DefinitionChanged,
        Fenced,
        IllegalTransition,
        InvalidConfig,
        InvalidValue,
        InvalidWorkflow,
        ModelError,
        Nondeterminism,
        Problem,
        RipresaError,
        RunCancelled,
        RunError,
        RunExists,
        RunFailed,
        RunNotFound,
        SessionError,
        StepError,
        StepFailed,
        StepTimeout,
        StoreError,
        ToolFailed,
        is_retryable,
    )
    from .function_context import Context
    from .interactions import Interaction, sequence_diagram
    from .messages import Approval, Query, QueryWith, Signal, Update
    from .orchestrator import StepResult, WorkflowOrchestrator, WorkflowResult
    from .reporting import SessionData
    from .runtime.cancellation import CancelToken
    from .runtime.documents import load_document
    from .runtime.exporting import export_document
    from .runtime.pools import PoolStatus
    from .runtime.rehearsing import PlannedStep, Rehearsal
    from .runtime.undoing import UndoReport
    from .selection import Refusal, Report, Selection
    from .sessions import Session, SessionFailure
    from .steps.conversation import Model, ModelAnswer, ModelRequest
    from .steps.gateway import ModelEndpoint
    from .steps.llm import llm, prompt
    from .steps.open_workflow import Surroundings
    from .updates import UpdateRequest

__version__ = "0.1.0rc1"

_PLACES = {
    "agents.agent": ("Agent", "AgentLike", "agent"),
    "agents.knowledge": ("Found", "Knowledge", "Passage", "Vectors"),
    "agents.vectors": ("SQLiteVectors",),
    "agents.mcp_server": ("McpServer",),
    "agents.meeting": ("Meeting", "Said"),
    "agents.memory": ("Memory",),
    "agents.registry": ("AgentStatus", "Agents"),
    "agents.showing": ("as_runnable",),
    "agents.supervised": ("supervised",),
    "agents.teams": ("debate", "group_chat", "handoff", "supervisor"),
    "agents.telling": ("tells",),
    "agents.tools": ("Sandbox", "Tool", "ToolSource", "Tools", "tool"),
    "agents.turns": ("AgentBounds",),
    "app": ("App",),
    "artifacts": ("Artifact",),
    "children": ("Child",),
    "config": ("Config", "Features"),
    "client": ("Handle", "Outcome"),
    "context": ("StepContext", "current"),
    "core.branches": ("FanOutEvents",),
    "core.conditions": ("Condition",),
    "core.limits": ("Limits",),
    "core.events": ("Recorded",),
    "core.parts": ("Failure", "ValidationResult"),
    "core.retry": ("Retry",),
    "core.seen": ("StepView", "StreamView"),
    "core.view": ("RunView",),
    "errors": (
        "DefinitionChanged",
        "Fenced",
        "IllegalTransition",
        "InvalidConfig",
        "InvalidValue",
        "InvalidWorkflow",
        "ModelError",
        "Nondeterminism",
        "Problem",
        "RipresaError",
        "RunCancelled",
        "RunError",
        "RunExists",
        "RunFailed",
        "RunNotFound",
        "SessionError",
        "StepError",
        "StepFailed",
        "StepTimeout",
        "StoreError",
        "ToolFailed",
        "is_retryable",
    ),
    "function_context": ("Context",),
    "interactions": ("Interaction", "sequence_diagram"),
    "messages": ("Approval", "Query", "QueryWith", "Signal", "Update"),
    "orchestrator": ("StepResult", "WorkflowOrchestrator", "WorkflowResult"),
    "reporting": ("SessionData",),
    "runtime.cancellation": ("CancelToken",),
    "selection": ("Refusal", "Report", "Selection"),
    "sessions": ("Session", "SessionFailure"),
    "steps.conversation": ("Model", "ModelAnswer", "ModelRequest"),
    "steps.gateway": ("ModelEndpoint",),
    "steps.llm": ("llm", "prompt"),
    "steps.open_workflow": ("Surroundings",),
    "updates": ("UpdateRequest",),
    "authoring.asked": (
        "AfterStep",
        "Again",
        "BeforeStep",
        "BranchChoosing",
        "Cancel",
        "CancelAsking",
        "CheckpointNaming",
        "Continue",
        "FallbackChoosing",
        "ForkStarting",
        "JoinEnding",
        "LimitReaching",
        "LoopTurning",
        "Narrow",
        "Observed",
        "Redirect",
        "Replace",
        "RollbackStarting",
        "RunCompleting",
        "RunFailing",
        "RunStarting",
        "SignalArriving",
        "Skip",
        "StageEntering",
        "StepErring",
        "UndoEnding",
        "UndoErring",
        "UndoStarting",
        "Veto",
    ),
    "runtime.documents": ("load_document",),
    "runtime.exporting": ("export_document",),
    "runtime.pools": ("PoolStatus",),
    "runtime.rehearsing": ("PlannedStep", "Rehearsal"),
    "runtime.undoing": ("UndoReport",),
    "authoring.cache": ("Cache",),
    "authoring.call": ("Call",),
    "authoring.document.library": ("Library", "Maker"),
    "authoring.hooks": (
        "Breaker",
        "Hook",
        "Hooks",
        "after",
        "before",
        "intercept",
        "observe",
        "on_error",
    ),
    "authoring.chain": ("Chain", "chain"),
    "authoring.choice": ("branch", "case", "choose"),
    "authoring.detached": ("detached",),
    "authoring.flow": ("Flow", "Runnable", "saga"),
    "authoring.function": ("Workflow", "workflow"),
    "authoring.graph": ("Graph", "Node"),
    "authoring.loops": ("fold", "for_range", "repeat"),
    "authoring.patterns": (
        "best_effort",
        "delay",
        "fallback",
        "first_of",
        "first_success",
        "map_each",
        "n_of",
        "parallel",
    ),
    "authoring.pool": ("Pool",),
    "authoring.migration": ("FieldWrite", "Migration", "RunForm", "StreamPlace", "migration"),
    "authoring.registry": ("Registry",),
    "authoring.routing": ("Handoff", "router"),
    "authoring.rules": ("Rule",),
    "authoring.speculation": ("speculate",),
    "authoring.transitions": ("Transitions", "transitions"),
    "authoring.step": ("Step", "step"),
    "authoring.unknown": ("Unknown",),
    "authoring.serving": ("wait_for_update",),
    "authoring.standing": ("Standing",),
    "authoring.waits": ("approval", "approved", "wait_for"),
    "authoring.stream": (
        "At",
        "DeadLetter",
        "Stream",
        "StreamControl",
        "StreamHooks",
        "StreamResult",
        "TimeWindow",
        "stream",
    ),
}
_MODULES = {name: module for module, names in _PLACES.items() for name in names}

__all__ = [
    "AfterStep",
    "Again",
    "Agent",
    "AgentBounds",
    "AgentLike",
    "AgentStatus",
    "Agents",
    "App",
    "Approval",
    "Artifact",
    "At",
    "BeforeStep",
    "BranchChoosing",
    "Breaker",
    "Cache",
    "Call",
    "Cancel",
    "CancelAsking",
    "CancelToken",
    "Chain",
    "CheckpointNaming",
    "Child",
    "Condition",
    "Config",
    "Context",
    "Continue",
    "DeadLetter",
    "DefinitionChanged",
    "Failure",
    "FallbackChoosing",
    "FanOutEvents",
    "Features",
    "Fenced",
    "FieldWrite",
    "Flow",
    "ForkStarting",
    "Found",
    "Graph",
    "Handle",
    "Handoff",
    "Hook",
    "Hooks",
    "IllegalTransition",
    "Interaction",
    "InvalidConfig",
    "InvalidValue",
    "InvalidWorkflow",
    "JoinEnding",
    "Knowledge",
    "Library",
    "LimitReaching",
    "Limits",
    "LoopTurning",
    "Maker",
    "McpServer",
    "Meeting",
    "Memory",
    "Migration",
    "Model",
    "ModelAnswer",
    "ModelEndpoint",
    "ModelError",
    "ModelRequest",
    "Narrow",
    "Node",
    "Nondeterminism",
    "Observed",
    "Outcome",
    "Passage",
    "PlannedStep",
    "Pool",
    "PoolStatus",
    "Problem",
    "Query",
    "QueryWith",
    "Recorded",
    "Redirect",
    "Refusal",
    "Registry",
    "Rehearsal",
    "Replace",
    "Report",
    "Retry",
    "RipresaError",
    "RollbackStarting",
    "Rule",
    "RunCancelled",
    "RunCompleting",
    "RunError",
    "RunExists",
    "RunFailed",
    "RunFailing",
    "RunForm",
    "RunNotFound",
    "RunStarting",
    "RunView",
    "Runnable",
    "SQLiteVectors",
    "Said",
    "Sandbox",
    "Selection",
    "Session",
    "SessionData",
    "SessionError",
    "SessionFailure",
    "Signal",
    "SignalArriving",
    "Skip",
    "StageEntering",
    "Standing",
    "Step",
    "StepContext",
    "StepErring",
    "StepError",
    "StepFailed",
    "StepResult",
    "StepTimeout",
    "StepView",
    "StoreError",
    "Stream",
    "StreamControl",
    "StreamHooks",
    "StreamPlace",
    "StreamResult",
    "StreamView",
    "Surroundings",
    "TimeWindow",
    "Tool",
    "ToolFailed",
    "ToolSource",
    "Tools",
    "Transitions",
    "UndoEnding",
    "UndoErring",
    "UndoReport",
    "UndoStarting",
    "Unknown",
    "Update",
    "UpdateRequest",
    "ValidationResult",
    "Vectors",
    "Veto",
    "Workflow",
    "WorkflowOrchestrator",
    "WorkflowResult",
    "__version__",
    "after",
    "agent",
    "approval",
    "approved",
    "as_runnable",
    "before",
    "best_effort",
    "branch",
    "case",
    "chain",
    "choose",
    "current",
    "debate",
    "delay",
    "detached",
    "export_document",
    "fallback",
    "first_of",
    "first_success",
    "fold",
    "for_range",
    "group_chat",
    "handoff",
    "intercept",
    "is_retryable",
    "llm",
    "load_document",
    "map_each",
    "migration",
    "n_of",
    "observe",
    "on_error",
    "parallel",
    "prompt",
    "repeat",
    "router",
    "saga",
    "sequence_diagram",
    "speculate",
    "step",
    "stream",
    "supervised",
    "supervisor",
    "tells",
    "tool",
    "transitions",
    "wait_for",
    "wait_for_update",
    "workflow",
]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
