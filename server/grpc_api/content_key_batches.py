"""Batches of content keys: what each request is answered, item by item, with checksums.

An item that was damaged on its way goes to the use case empty. There it is counted, and refused without the token; here
its result is replaced by what was really wrong with it.
"""

from collections.abc import Sequence

from keystead.v1 import content_key_service_pb2 as messages

from server.domain.content_keys import Context
from server.domain.errors import ChecksumMismatchError, InvalidFieldError, KeysteadError
from server.domain.ids import KekName, OrganizationName
from server.domain.ports import Wanted
from server.domain.roles import Caller
from server.grpc_api.checksums import crc32c, has_checksum, mismatch
from server.grpc_api.errors import to_status
from server.use_cases import GeneratedContentKey, RewrappedContentKey, UnwrappedContentKey, UseCases

_DEFAULT_SIZE = 32
"""Bytes of a generated content key."""

_ItemMessage = messages.WrapContentKeysItem | messages.UnwrapContentKeysItem | messages.RewrapContentKeysItem


class ContentKeyBatches:
    """Answers the requests that carry content keys."""

    def __init__(self, use_cases: UseCases) -> None:
        self._do = use_cases

    def generate(
        self, caller: Caller, request: messages.GenerateContentKeysRequest, wanted: Wanted
    ) -> messages.GenerateContentKeysResponse:
        """Answer with new content keys."""
        made = self._do.generate_content_keys(
            caller,
            KekName.parse(request.kek),
            count=request.count or 1,
            size=request.size_bytes or _DEFAULT_SIZE,
            context=request.context,
            wanted=wanted,
        )
        answer = messages.GenerateContentKeysResponse()
        for key in made:
            _tell_generated(answer.content_keys.add(), key)
        return answer

    def wrap(
        self, caller: Caller, request: messages.WrapContentKeysRequest, wanted: Wanted
    ) -> messages.WrapContentKeysResponse:
        """Answer with wrapped content keys."""
        faults, items = _examined(request.items, "plaintext")
        results = self._do.wrap_content_keys(caller, KekName.parse(request.kek), items, wanted)
        answer = messages.WrapContentKeysResponse()
        for item, fault, result in zip(request.items, faults, results, strict=True):
            _tell_wrapped(answer.results.add(), item, fault or result)
        return answer

    def unwrap(
        self, caller: Caller, request: messages.UnwrapContentKeysRequest, wanted: Wanted
    ) -> messages.UnwrapContentKeysResponse:
        """Answer with content keys in clear."""
        faults, items = _examined(request.items, "wrapped")
        organization = OrganizationName.parse(request.parent).id
        results = self._do.unwrap_content_keys(caller, organization, items, wanted)
        answer = messages.UnwrapContentKeysResponse()
        for item, fault, result in zip(request.items, faults, results, strict=True):
            _tell_unwrapped(answer.results.add(), item, fault or result)
        return answer

    def rewrap(
        self, caller: Caller, request: messages.RewrapContentKeysRequest, wanted: Wanted
    ) -> messages.RewrapContentKeysResponse:
        """Answer with content keys that are wrapped anew."""
        faults, items = _examined(request.items, "wrapped")
        organization = OrganizationName.parse(request.parent).id
        kek = KekName.parse(request.kek) if request.kek else None
        results = self._do.rewrap_content_keys(caller, organization, items, kek=kek, wanted=wanted)
        answer = messages.RewrapContentKeysResponse()
        for item, fault, result in zip(request.items, faults, results, strict=True):
            _tell_rewrapped(answer.results.add(), item, fault or result)
        return answer

    def any_of(
        self, caller: Caller, request: messages.StreamContentKeysRequest, wanted: Wanted
    ) -> messages.StreamContentKeysResponse:
        """Answer a batch of a stream: as its own method would.

        Raises:
            InvalidFieldError: it is none of the four.
        """
        answer = messages.StreamContentKeysResponse(id=request.id)
        match request.WhichOneof("batch"):
            case "generate":
                answer.generate.CopyFrom(self.generate(caller, request.generate, wanted))
            case "wrap":
                answer.wrap.CopyFrom(self.wrap(caller, request.wrap, wanted))
            case "unwrap":
                answer.unwrap.CopyFrom(self.unwrap(caller, request.unwrap, wanted))
            case "rewrap":
                answer.rewrap.CopyFrom(self.rewrap(caller, request.rewrap, wanted))
            case None:
                raise InvalidFieldError("batch", "one of generate, wrap, unwrap and rewrap")
        return answer


def _examined(
    items: Sequence[_ItemMessage], field: str
) -> tuple[list[ChecksumMismatchError | None], list[tuple[bytes, Context]]]:
    """Return what is wrong with the checksum of each item, and the items as a use case takes them."""
    faults = [mismatch(item, field) for item in items]
    taken: list[tuple[bytes, Context]] = [
        (b"" if fault else getattr(item, field), item.context) for item, fault in zip(items, faults, strict=True)
    ]
    return faults, taken


# Each fills a message that is part of the answer already: one that is made apart would be copied into it.


def _tell_generated(answer: messages.GeneratedContentKey, key: GeneratedContentKey) -> None:
    answer.plaintext, answer.plaintext_crc32c = key.plaintext, crc32c(key.plaintext)
    answer.wrapped, answer.wrapped_crc32c = key.wrapped, crc32c(key.wrapped)


def _tell_wrapped(
    answer: messages.WrapContentKeysResult, item: messages.WrapContentKeysItem, result: bytes | KeysteadError
) -> None:
    answer.verified_plaintext_crc32c = has_checksum(item, "plaintext") and not isinstance(result, ChecksumMismatchError)
    if isinstance(result, KeysteadError):
        answer.status.CopyFrom(to_status(result))
    else:
        answer.wrapped, answer.wrapped_crc32c = result, crc32c(result)


def _tell_unwrapped(
    answer: messages.UnwrapContentKeysResult,
    item: messages.UnwrapContentKeysItem,
    result: UnwrappedContentKey | KeysteadError,
) -> None:
    answer.verified_wrapped_crc32c = has_checksum(item, "wrapped") and not isinstance(result, ChecksumMismatchError)
    if isinstance(result, KeysteadError):
        answer.status.CopyFrom(to_status(result))
    else:
        answer.plaintext, answer.plaintext_crc32c = result.plaintext, crc32c(result.plaintext)
        answer.kek = str(result.kek)


def _tell_rewrapped(
    answer: messages.RewrapContentKeysResult,
    item: messages.RewrapContentKeysItem,
    result: RewrappedContentKey | KeysteadError,
) -> None:
    answer.verified_wrapped_crc32c = has_checksum(item, "wrapped") and not isinstance(result, ChecksumMismatchError)
    if isinstance(result, KeysteadError):
        answer.status.CopyFrom(to_status(result))
    else:
        answer.wrapped, answer.wrapped_crc32c = result.wrapped, crc32c(result.wrapped)
        answer.kek = str(result.kek)
