"""One way to join byte strings so that no two lists of them give the same bytes."""


def length_prefixed(*parts: bytes) -> bytes:
    """Return each part behind its length (4 bytes, big-endian)."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)
