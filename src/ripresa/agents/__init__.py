"""Agents: models with tools, whose every call is journaled; registry, life cycle and pools of agents."""
