"""What people write: steps, chains, graphs, durable functions; pure, like the core that it builds on."""

import sys as _sys
import types as _types


class _Callable(_types.ModuleType):  # temporary: the package will be renamed, `ripresa.workflow` is the decorator
    def __call__(self, *args: object, **options: object) -> object:
        from .function import workflow

        return workflow(*args, **options)  # type: ignore[call-overload]


_sys.modules[__name__].__class__ = _Callable
