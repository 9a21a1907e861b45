"""The bearer token of a person: in a file that is nobody else's, and read for each call, since tokens are short-lived.

It is never an argument or a variable, which others on the machine could see.
"""

import os
import re
import stat
from pathlib import Path

import grpc
from typing_extensions import override

_LIMIT = 16 * 1024
"""Bytes of the file. The service takes tokens of half of it."""
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
"""Source: RFC 6750, 2.1."""


class TokenFileError(Exception):
    """The file cannot be used; the message says why, and nothing of what is in it."""


def bearer_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        TokenFileError: it cannot be read, others can read it, or it holds no token.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise TokenFileError(f"{path} is no file.")
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise TokenFileError(f"{path} can be used by others than you: chmod 600 {path}")
            content = file.read(_LIMIT + 1).strip()
    except OSError as error:
        raise TokenFileError(f"{path}: {error.strerror}.") from error
    if len(content) > _LIMIT or not _TOKEN.fullmatch(content):
        raise TokenFileError(f"{path} does not hold a bearer token and nothing else.")
    return content.decode("ascii")


class Bearer(grpc.AuthMetadataPlugin):
    """Sends the token that is in the file now with each call."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @override
    def __call__(self, context: grpc.AuthMetadataContext, callback: grpc.AuthMetadataPluginCallback) -> None:
        try:
            token = bearer_token(self._path)
        except TokenFileError as error:
            callback((), error)
        else:
            callback((("authorization", f"Bearer {token}"),), None)
