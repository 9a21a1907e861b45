"""A rotation as it goes on, over streams that may break."""

import time
from collections.abc import Iterator

import grpc
from keystead.v1 import rotation_service_pb2 as messages
from keystead.v1.resources_pb2 import Rotation
from keystead.v1.rotation_service_pb2_grpc import RotationServiceStub

from server.cli.connection import TIMEOUT
from server.cli.failures import pause_before_repeat

_TRIES = 10
"""How often in a row a stream may break without having told anything, once one has."""
_PAUSE = 1.0
"""Seconds between two streams, or two looks where there is no room for a stream."""


def watched(stub: RotationServiceStub, name: str) -> Iterator[Rotation]:
    """Yield the rotation at each change and at least each second, until it has ended.

    A stream lasts a minute at most, so that one whose server has vanished without a word is noticed; then there is
    another. Where the service has no room for one more stream, it is asked again and again instead, as it advises.

    Raises:
        grpc.RpcError: the service refuses, or has not answered for a while.
    """
    has_told, failures = False, 0
    while True:
        try:
            for rotation in stub.WatchRotation(messages.WatchRotationRequest(name=name), timeout=TIMEOUT):
                has_told, failures = True, 0
                yield rotation
        except grpc.RpcError as error:
            if _has_no_room(error):
                rotation = stub.GetRotation(messages.GetRotationRequest(name=name), timeout=TIMEOUT)
                has_told, failures = True, 0
                yield rotation
                if rotation.HasField("end_time"):
                    return
            else:
                failures += 1
                if not has_told or failures > _patience_with(error):
                    raise
        else:
            return
        time.sleep(_PAUSE)


def _has_no_room(error: grpc.RpcError) -> bool:
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and pause_before_repeat(error) is not None


def _patience_with(error: grpc.RpcError) -> int:
    """Return how often in a row this may happen."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return 1  # The stream's minute was over; if the next one tells nothing either, the server has vanished.
    return 0 if pause_before_repeat(error) is None else _TRIES
