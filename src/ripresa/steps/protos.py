"""Descriptions of gRPC services, read: a .proto file is compiled, and its methods are found by name.

To be imported when a call is made: it needs the extra `grpc`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ..authoring.document.source import is_object
from ..errors import InvalidValue, StepError
from .descriptions import invalid

descriptor_pb2: Any = import_module("google.protobuf.descriptor_pb2")
descriptor_pool: Any = import_module("google.protobuf.descriptor_pool")
json_format: Any = import_module("google.protobuf.json_format")
messages: Any = import_module("google.protobuf.message")
message_factory: Any = import_module("google.protobuf.message_factory")
grpc: Any = import_module("grpc")
"""Without types of their own."""

_PATIENCE: Final = 60
_TOLD: Final = 500


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a service: where it is called, what it takes and gives, one message or many."""

    name: str
    path: str
    takes: Any
    gives: Any
    takes_many: bool
    gives_many: bool

    def message(self, given: object) -> Any:
        """The message that data is. Raises `InvalidValue(invalid_input)`."""
        if not is_object(given):
            raise InvalidValue(f"{self.name} takes an object, not a {type(given).__name__}", op="grpc", where=self.name)
        try:
            return json_format.ParseDict(given, self.takes())
        except json_format.ParseError as error:
            raise InvalidValue(str(error), op="grpc", where=self.name) from error

    def data(self, answer: bytes) -> dict[str, Any]:
        """What an answer says, by the names of the .proto file; whole numbers of 64 bits are texts.

        Raises `StepError(invalid_output)` for one that cannot be read: the call was made.
        """
        try:
            found: dict[str, Any] = json_format.MessageToDict(
                self.gives.FromString(answer),
                preserving_proto_field_name=True,
                always_print_fields_with_no_presence=True,
            )
        except (messages.DecodeError, json_format.Error, TypeError, ValueError) as error:
            raise StepError(
                f"{self.name}: the answer is no {self.gives.DESCRIPTOR.full_name} that can be read",
                code="invalid_output",
                retryable=False,
                unknown=True,
                hint="is the .proto file the one of the service, with every type that it sends?",
            ) from error
        return found


class Services:
    """The services of a .proto file, compiled."""

    def __init__(self, compiled: bytes) -> None:
        files = descriptor_pb2.FileDescriptorSet.FromString(compiled)
        self._pool = descriptor_pool.DescriptorPool()
        for each in files.file:
            self._pool.Add(each)
        self._names = [
            f"{each.package}.{service.name}" if each.package else service.name
            for each in files.file
            for service in each.service
        ]

    def method(self, name: str) -> Method:
        """The method of this name, "package.Service/Method". Raises `StepError(unknown_operation)`."""
        service, _, own = name.rpartition("/")
        known: dict[str, Any] = {}
        for each in self._names:
            methods = self._pool.FindServiceByName(each).methods_by_name
            known.update({f"{each}/{key}": value for key, value in methods.items()})
        found = known.get(f"{service}/{own}")
        if found is None:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(known)[:20]) or 'none'}"
            raise StepError(f"there is no method {name!r}", code="unknown_operation", retryable=False, hint=hint)
        return Method(
            name,
            f"/{service}/{own}",
            message_factory.GetMessageClass(found.input_type),
            message_factory.GetMessageClass(found.output_type),
            bool(found.client_streaming),
            bool(found.server_streaming),
        )


@lru_cache(maxsize=64)
def _compiled(path: str, folders: tuple[str, ...], changed: int) -> Services:
    """The services of a file, as it was when it was changed."""
    place = Path(path)
    within = [*folders, str(place.parent)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.pb"
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", "--include_imports", f"--descriptor_set_out={out}"),
            *(f"--proto_path={each}" for each in within),
            str(place),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise invalid(f"{place.name} was not compiled within {_PATIENCE:g} s") from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode("utf-8", "replace")
            for each in within:
                said = said.replace(f"{each}/", "")
            raise invalid(f"{place.name} cannot be compiled: {said.strip()[-_TOLD:]}")
        return Services(out.read_bytes())


def services_in(proto: str, folders: tuple[str, ...]) -> Services:
    """The services of a .proto file, which may import others of its own folder, of `folders`, and Google's own.

    Compiled once, until the file changes. Raises `StepError(invalid_description)`.
    """
    path = Path(proto).expanduser()
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise invalid(f"{proto!r} cannot be read: {error.strerror}") from error
    return _compiled(str(path.resolve()), folders, changed)


@lru_cache(maxsize=64)
def services_of(text: bytes) -> Services:
    """The services of a .proto text, which may import Google's own. Raises `StepError(invalid_description)`."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "service.proto"
        place.write_bytes(text)
        return _compiled.__wrapped__(str(place), (), 0)
