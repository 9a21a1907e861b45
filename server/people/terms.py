"""What may be set of an issuer."""

import ipaddress
from urllib.parse import urlsplit

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Those that an issuer may be set to; each with a pair of keys, so that who can verify cannot sign."""


def demand_safe_url(url: str) -> None:
    """Return if the URL is https, or http to this very machine, and nothing but scheme, host, port and path.

    Raises:
        ValueError: it is not.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname or not (url.isascii() and url.isprintable()):
        raise ValueError("it must be an https:// URL")
    if parts.username or parts.password or parts.query or parts.fragment or " " in url:
        raise ValueError("it must have no user, query, fragment or space")
    if parts.scheme == "http" and not _is_here(parts.hostname):
        raise ValueError("http:// is for 127.0.0.1, [::1] and localhost alone; it must be an https:// URL")
    _ = parts.port  # It raises what we promise if the port is none.


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
