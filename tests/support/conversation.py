"""A stream of content keys as its caller has it: a request goes when it is said, an answer comes when it is heard."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from queue import SimpleQueue
from typing import Any

import grpc
from keystead.v1 import content_key_service_pb2 as content_keys

from tests.support.service import PATIENCE, Client, refusal_of

MOST = 64
"""Streams of one worker."""

Request = content_keys.StreamContentKeysRequest
Response = content_keys.StreamContentKeysResponse


class Conversation:
    """One open stream."""

    def __init__(self, client: Client, timeout: float = PATIENCE) -> None:
        self._requests: SimpleQueue[Request | None] = SimpleQueue()
        self.sent = 0
        """How many requests have been taken from here to be sent."""
        self.call = client.content_keys.StreamContentKeys(self._outgoing(), timeout=timeout)

    def _outgoing(self) -> Iterator[Request]:
        while (request := self._requests.get()) is not None:
            self.sent += 1
            yield request

    def say(self, number: int = 0, **batch: Any) -> None:
        """Send a batch: one of generate, wrap, unwrap and rewrap."""
        self._requests.put(Request(id=number, **batch))

    def finish(self) -> None:
        """Say that nothing more will come."""
        self._requests.put(None)

    def hear(self) -> Response:
        """Wait for the next answer."""
        answer: Response = next(self.call)
        return answer

    def ask(self, number: int = 0, **batch: Any) -> Response:
        self.say(number, **batch)
        return self.hear()

    def close(self) -> None:
        self.call.cancel()
        self.finish()


@contextmanager
def talking(client: Client, count: int = 1) -> Iterator[list[Conversation]]:
    """Have so many streams; they are closed at the end."""
    with ExitStack() as kept:
        yield [kept.enter_context(closing(Conversation(client))) for _ in range(count)]


def begins(client: Client, kek: str) -> bool:
    """Return whether there is a place for one more stream."""
    with talking(client) as (stream,):
        try:
            return stream.ask(generate=content_keys.GenerateContentKeysRequest(kek=kek)).HasField("generate")
        except grpc.RpcError as error:
            if refusal_of(error).reason != "TOO_MANY_WATCHERS":
                raise
            return False
