"""Logs are signed in the token: what is signed is the root over the events as they are."""

import hashlib
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.domain.audit import AuditAction, AuditEvent
from server.domain.audit_encoding import encoded
from server.domain.checkpoints import AuditKey, SignatureAlgorithm
from server.domain.intents import ObjectRole
from server.domain.merkle import leaf_hash, node_hash, root_hash
from server.use_cases import checkpoints
from server.use_cases.audit_key import EnsureAuditKey
from server.use_cases.checkpoints import Checkpoints, Tree
from server.use_cases.common_key import WrongTokenError
from server.use_cases.objects import TokenObjects

SECOND = timedelta(seconds=1)


def grow(world, org, count):
    event = AuditEvent(org, world.now, "spiffe://test/files", AuditAction.CONTENT_KEYS_USED, None, count=1)
    list(world.storage.record({org: [event] * count}))


def leaves(world, org):
    with world.storage.read() as tx:
        return [leaf_hash(encoded(it)) for it in tx.audit.events(org, 1, 100_000)]


def whole(hashed):
    """The root, from all leaves."""

    def node(level, place):
        if level == 0:
            return hashed[place]
        return node_hash(node(level - 1, 2 * place), node(level - 1, 2 * place + 1))

    return root_hash(len(hashed), node)


def checked(world, checkpoint):
    """The checkpoint, whose signature was verified."""
    key = Checkpoints(world.env).key()
    assert hashlib.sha256(key.public_key).digest() == checkpoint.key_fingerprint
    public = load_der_public_key(key.public_key)
    public.verify(checkpoint.signature, checkpoint.head.signed_bytes, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        public.verify(checkpoint.signature, checkpoint.head.signed_bytes + b" ", ec.ECDSA(hashes.SHA256()))
    return checkpoint.head


def test_the_steward_signs_the_logs_that_have_grown(world, org):
    other = world.new_organization()
    world.steward()
    with world.storage.read() as tx:
        first = tx.audit.newest_checkpoint(org)
        assert tx.audit.newest_checkpoint(other) is not None
    assert (checked(world, first).size, first.head.root) == (1, whole(leaves(world, org)))
    world.new_kek(org)
    world.pass_time(world.limits.checkpoint_interval - SECOND)
    world.steward()
    with world.storage.read() as tx:
        assert tx.audit.newest_checkpoint(org) == first
        unchanged = tx.audit.newest_checkpoint(other)
    world.pass_time(SECOND)
    world.steward()
    with world.storage.read() as tx:
        second = tx.audit.newest_checkpoint(org)
        assert tx.audit.newest_checkpoint(other) == unchanged
    assert (checked(world, second).size, second.head.root) == (2, whole(leaves(world, org)))
    assert second.head.time == world.now


def test_more_logs_than_are_looked_at_at_once_are_all_signed(world, monkeypatch):
    monkeypatch.setattr(checkpoints, "_AT_ONCE", 2)
    for _ in range(5):
        world.new_organization()
    signing = Checkpoints(world.env)
    while signing.sign_all():
        pass
    with world.storage.read() as tx:
        assert tx.audit.behind(None, 10) == []


def test_a_fresh_checkpoint_is_signed_on_demand_but_not_more_than_once_a_second(world, org):
    signing = Checkpoints(world.env)
    first = signing.fresh(org)
    world.new_kek(org)
    assert signing.fresh(org) == first
    world.pass_time(SECOND)
    second = signing.fresh(org)
    assert (checked(world, second).size, second.head.time) == (2, world.now)
    world.pass_time(SECOND)
    assert signing.fresh(org) == second
    # A clock that was set back makes nothing fresh.
    world.new_kek(org)
    world.pass_time(-2 * SECOND)
    assert signing.fresh(org).head.size == 3


def test_two_that_sign_at_once_agree(world, org, monkeypatch):
    signing, sign = Checkpoints(world.env), world.env.custody.sign
    faster = []

    class Custody:
        def sign(self, key, message):
            if not faster:
                faster.append(None)
                faster[0] = Checkpoints(world.env).fresh(org)
            return sign(key, message)

    monkeypatch.setattr(signing, "_env", type("Env", (), {"storage": world.storage, "clock": world.env.clock}))
    signing._env.custody = Custody()
    assert signing.fresh(org) == faster[0]


@pytest.mark.parametrize("size", [255, 256, 257, 600])
def test_a_long_log_is_signed_by_what_is_kept_of_it(world, org, size):
    grow(world, org, size - 1)
    checkpoint = Checkpoints(world.env).fresh(org)
    assert (checkpoint.head.size, checkpoint.head.root) == (size, whole(leaves(world, org)))
    with world.storage.read() as tx:
        assert tx.audit.node_count(org, 8) == size // 256
        assert tx.audit.nodes(org, 8, 0, 1) == [whole(leaves(world, org)[:256])][: size // 256]


def test_whatever_the_size_the_root_is_that_of_the_leaves(world, org, monkeypatch):
    # As with 256, in trees that are small enough to try every size.
    monkeypatch.setattr(checkpoints, "TILE", 2)
    monkeypatch.setattr(checkpoints, "_WIDTH", 4)
    monkeypatch.setattr(checkpoints, "_LEVELS", range(2, 64, 2))
    monkeypatch.setattr(checkpoints, "_TILES_AT_ONCE", 2)
    signing = Checkpoints(world.env)
    for size in (2, 3, 4, 5, 8, 15, 16, 17, 31, 64, 65, 70):
        world.pass_time(SECOND)
        grow(world, org, size - len(leaves(world, org)))
        checkpoint = signing.fresh(org)
        assert (checkpoint.head.size, checkpoint.head.root) == (size, whole(leaves(world, org)))
    with world.storage.read() as tx:
        assert [tx.audit.node_count(org, level) for level in (2, 4, 6, 8)] == [17, 4, 1, 0]
        tree = Tree(tx, org)
        for level in range(7):
            hashed = leaves(world, org)[: 1 << level]
            assert tree.node(level, 0) == whole(hashed)


# The key.


def test_a_token_without_the_audit_key_of_the_database_is_the_wrong_one(world):
    known = Checkpoints(world.env).key()
    assert world.custody.has_audit_key(known)
    another = AuditKey(world.env.new_id(), SignatureAlgorithm.RSA_PSS_3072_SHA256, b"", world.now)
    public = world.custody.create_audit_key(another.object_id, another.algorithm)
    for key in (
        AuditKey(world.env.new_id(), known.algorithm, known.public_key, world.now),
        AuditKey(known.object_id, known.algorithm, public, world.now),
        AuditKey(known.object_id, known.algorithm, b"no key", world.now),
    ):
        assert not world.custody.has_audit_key(key)
    assert world.custody.has_audit_key(AuditKey(another.object_id, another.algorithm, public, world.now))
    world.custody.destroy(ObjectRole.AUDIT_KEY, another.object_id)


def test_the_start_refuses_a_token_that_lost_its_audit_key(world, monkeypatch):
    ensure = EnsureAuditKey(world.env, TokenObjects(world.env))
    ensure(SignatureAlgorithm.RSA_PSS_3072_SHA256)
    assert Checkpoints(world.env).key().algorithm is SignatureAlgorithm.ECDSA_P256_SHA256
    monkeypatch.setattr(world.custody, "has_audit_key", lambda _: False)
    with pytest.raises(WrongTokenError):
        ensure(SignatureAlgorithm.ECDSA_P256_SHA256)
