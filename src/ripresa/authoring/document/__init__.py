"""Workflows as documents: plain data in, the flows that chains and graphs are made of out, and back.

Law: pure. What reads files, imports what a target names and knows the ready-made steps is handed in.
"""
