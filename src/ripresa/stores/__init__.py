"""Where runs are kept: adapters of the ports `Journal`, `Lists`, `Inbox` and `Owners`.

`open_store` finds the adapter for an address; each adapter is a module of its own, imported when it is used.
"""

from .address import open_store

__all__ = ["open_store"]
