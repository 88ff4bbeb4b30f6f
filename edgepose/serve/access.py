"""Who may talk to the server: nobody through a foreign name, no page of another site.

A browser lets any page send requests to 127.0.0.1. A page whose name was made to point here (DNS
rebinding) shows in ``Host``, a page of another site in ``Origin``.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit


def refusal(headers: Mapping[str, str], names: Collection[str]) -> str | None:
    """Why a request is refused, or None. ``names`` are the host names that mean this machine.

    Addresses need no list: a name cannot be made to look like one.
    """
    host = headers.get("Host", "")
    name = _host_name(host)
    if name is None or not (_is_address(name) or name in names):
        return f"this server does not answer to the name {host!r}"
    origin = headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        return f"this server does not answer to pages of {origin!r}"
    return None


def _host_name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
