"""Where attempts run that cannot run in the loop: threads, and child processes that can be killed.

Each is a module of its own, imported when it is used.
"""
