"""Workflows of agents, models, tools and plain functions that are taken up again where they stopped."""

__version__ = "0.1.0rc1"
