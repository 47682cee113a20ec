"""How parent and child talk: messages of a head (JSON text or nothing) and a body (a value or nothing)."""

from __future__ import annotations

from struct import Struct

Message = tuple[bytes, bytes]

LENGTHS = Struct("!IQ")
"""What comes first: the length of the head, the length of the body."""


def pack(head: bytes, body: bytes) -> bytes:
    """A message as bytes."""
    return b"".join((LENGTHS.pack(len(head), len(body)), head, body))


class Inbound:
    """Puts messages together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, piece: bytes) -> Message | None:
        """The message that this piece completes; None if there is more to come."""
        buffer = self._buffer
        buffer += piece
        if len(buffer) < LENGTHS.size:
            return None
        head, body = LENGTHS.unpack_from(buffer)
        middle = LENGTHS.size + head
        end = middle + body
        if len(buffer) < end:
            return None
        with memoryview(buffer) as view:
            message = bytes(view[LENGTHS.size : middle]), bytes(view[middle:end])
        del buffer[:end]
        return message
