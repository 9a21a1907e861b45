"""What to type next, for the refusals that a command gets somebody out of."""

import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType

_Facts = Mapping[str, str]

_WAYS_OUT = {
    "REVOKED": "keystead main-keys activate {}",
    "DELETED": "keystead main-keys undelete {}",
    "REMOVED": "keystead main-keys import ORGANIZATION ENCRYPTED_KEY, of your backup of this very key",
}


def words_of(name: str) -> str:
    """Return a resource name as commands take it: the organisation's id, and its own."""
    parts = name.split("/")
    return " ".join(shlex.quote(part) for part in parts[1::2])


def _unlock(facts: _Facts) -> str:
    way = _WAYS_OUT.get(facts.get("state", ""), "")
    return f"an administrator of the organization can: {way.format(words_of(facts.get('main_key', '')))}" * bool(way)


def _pending(facts: _Facts) -> str:
    words = words_of(facts.get("main_key", ""))
    return f"keystead main-keys activate {words}, or keystead main-keys delete {words}"


_APPROVED = {"REVOKE_MAIN_KEY": "revoke", "DELETE_MAIN_KEY": "delete", "DISABLE_BYOK": "disable-byok"}


def _approve(facts: _Facts) -> str:
    organization, *rest = map(shlex.quote, facts.get("target", "").split("/")[1::2])
    words = ["give", organization, _APPROVED.get(facts.get("action", ""), ""), *rest]
    if facts.get("action") == "UPDATE_APPROVAL_RULE":
        words = ["give-rule", organization, "REQUIRED"]
    etag = shlex.quote(facts.get("etag", ""))
    return f"another administrator can: keystead approvals {' '.join(words)} --etag {etag}; then repeat this"


_ADVICE: Mapping[str, Callable[[_Facts], str]] = MappingProxyType(
    {
        "STALE_ETAG": lambda facts: (
            f"look at it with `get`; if you still want it, repeat with --etag {shlex.quote(facts.get('etag', ''))}"
        ),
        "AMBIGUOUS_IDENTITY": lambda _: "unset KEYSTEAD_CERT KEYSTEAD_KEY, or unset KEYSTEAD_TOKEN_FILE",
        "APPROVAL_REQUIRED": _approve,
        "BEARER_TOKEN_EXPIRED": lambda _: "write a new token to the file that KEYSTEAD_TOKEN_FILE names",
        "REQUEST_ID_REUSED": lambda _: "leave --request-id out, or give the command exactly as the first time",
        "ORGANIZATION_LOCKED": _unlock,
        "RECOVERY_KEY_REQUIRED": lambda _: "get a wrapping key, encrypt your backup under it, and import that",
        "BYOK_DISABLED": lambda _: "keystead organizations enable-byok ORGANIZATION",
        "MAIN_KEY_NOT_TRUSTED": lambda _: "import it with --activate later; the HSM's officer can: keystead hsm trust",
        "PENDING_KEY_EXISTS": _pending,
        "WRAPPING_KEY_NOT_USABLE": lambda _: "keystead wrapping-keys download ORGANIZATION",
        "MAIN_KEY_MISSING": lambda _: "the operator can look with: keystead hsm reconcile",
    }
)


def advice(reason: str, facts: _Facts) -> str:
    """Return what helps after a refusal of this reason, or an empty string.

    Args:
        reason: of the refusal.
        facts: its metadata.
    """
    told = _ADVICE.get(reason)
    return "" if told is None else told(facts)
