"""Between the domain's objects and the contract's messages."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from google.protobuf.timestamp_pb2 import Timestamp
from keystead.v1 import resources_pb2 as pb

from server.domain.ids import KekName, MainKeyName, OrganizationName, RotationName, WrappingKeyName
from server.domain.keks import WRAPPING_ALGORITHM, Kek
from server.domain.main_keys import Action, next_moves
from server.domain.rotations import Rotation
from server.domain.wrapping_keys import FAILED_UPLOADS_LIMIT, Algorithm, WrappingKey
from server.use_cases import MainKeyView, OrganizationView

OPENSSL_COMMANDS = (
    "openssl rand -out main_key.bin 32",
    "openssl pkeyutl -encrypt -pubin -inkey public.pem -in main_key.bin -out main_key_encrypted.bin "
    "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256",
    "head -c 32 /dev/zero | openssl enc -id-aes256-wrap -K $(xxd -p -c 64 main_key.bin) -iv A6A6A6A6A6A6A6A6 "
    "| openssl sha256",
)
"""What a customer runs: make a main key, encrypt it, and print its fingerprint."""

_MOVES: Mapping[Action, "pb.MainKey.Move.ValueType"] = MappingProxyType({Action.ACTIVATE: pb.MainKey.ACTIVATE})
"""The moves that this version of the API offers."""


def _timestamp(moment: datetime | None) -> Timestamp | None:
    if moment is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def organization(view: OrganizationView) -> pb.Organization:
    """Return an organisation's message."""
    it = view.organization
    return pb.Organization(
        name=str(OrganizationName(it.id)),
        display_name=it.display_name,
        main_key=str(MainKeyName(it.id, it.main_key)),
        epoch=it.epoch,
        kek_count=view.kek_count,
        create_time=_timestamp(it.create_time),
    )


def wrapping_key(key: WrappingKey) -> pb.WrappingKey:
    """Return a wrapping key's message."""
    public_key = load_der_public_key(key.public_key)
    return pb.WrappingKey(
        name=str(WrappingKeyName(key.organization, key.id)),
        public_key_pem=public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        algorithm=pb.WrappingKey.Algorithm.Value(key.algorithm),
        public_key_sha256=hashlib.sha256(key.public_key).digest(),
        expire_time=_timestamp(key.expire_time),
        remaining_attempts=FAILED_UPLOADS_LIMIT - key.failed_uploads,
        openssl_commands=OPENSSL_COMMANDS,
        create_time=_timestamp(key.create_time),
    )


def algorithm(value: "pb.WrappingKey.Algorithm.ValueType") -> Algorithm | None:
    """Return the algorithm that a request names, or None if it leaves the choice to us.

    Raises:
        KeyError: there is no such algorithm.
    """
    if value == pb.WrappingKey.ALGORITHM_UNSPECIFIED:
        return None
    known = {pb.WrappingKey.Algorithm.Value(it): it for it in Algorithm}
    return known[value]


def main_key(view: MainKeyView) -> pb.MainKey:
    """Return a main key's message."""
    key = view.key
    moves = (_MOVES.get(action) for action in next_moves(key, in_charge=view.in_charge))
    return pb.MainKey(
        name=str(MainKeyName(key.organization, key.id)),
        origin=pb.MainKey.Origin.Value(key.origin),
        state=pb.MainKey.State.Value(key.state),
        fingerprint=key.fingerprint,
        kek_count=view.kek_count,
        next_moves=[move for move in moves if move is not None],
        create_time=_timestamp(key.create_time),
        state_time=_timestamp(key.state_time),
        purge_time=_timestamp(key.purge_time),
    )


def kek(it: Kek) -> pb.Kek:
    """Return a KEK's message."""
    return pb.Kek(
        name=str(KekName(it.organization, it.id)),
        main_key=str(MainKeyName(it.organization, it.main_key)),
        wrapping_algorithm=WRAPPING_ALGORITHM,
        remaining_encryptions=it.remaining_encryptions,
        create_time=_timestamp(it.create_time),
        rewrap_time=_timestamp(it.rewrap_time),
    )


def rotation(it: Rotation) -> pb.Rotation:
    """Return a rotation's message."""
    return pb.Rotation(
        name=str(RotationName(it.organization, it.id)),
        from_main_key=str(MainKeyName(it.organization, it.from_main_key)),
        to_main_key=str(MainKeyName(it.organization, it.to_main_key)),
        state=pb.Rotation.State.Value(it.state),
        total_count=it.total,
        done_count=it.done,
        failed_count=it.failed,
        start_time=_timestamp(it.start_time),
        end_time=_timestamp(it.end_time),
    )
