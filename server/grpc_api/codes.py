"""The code that a call has ended with."""

import grpc


def code_of(context: grpc.ServicerContext, otherwise: str | None) -> str | None:
    """Return the name of the code that the call ends with; None for OK.

    Args:
        context: of the call.
        otherwise: the code if none was set, and the caller has waited for the end.
    """
    code: grpc.StatusCode | None = context.code()  # type: ignore[attr-defined] # the stubs lack it
    if code is not None:
        return code.name
    if context.is_active():
        return otherwise
    return "CANCELLED" if context.time_remaining() else "DEADLINE_EXCEEDED"
