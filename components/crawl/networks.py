"""Which kind of network a host is in: a source on the internet must not send us to machines beside this one."""

import ipaddress
import socket


def networks(host: str) -> set[str]:
    """Of `public`, `private`, `link-local` and `loopback`, those that the host's addresses lie in.

    A name that does not resolve here counts as public: there is either no way to it, or a proxy that knows it.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return {"public"}
    return {_network(str(address[0]).partition("%")[0]) for *_, address in found}


def _network(address: str) -> str:
    one = ipaddress.ip_address(address)
    one = getattr(one, "ipv4_mapped", None) or one
    if one.is_loopback or one.is_unspecified:  # 0.0.0.0 reaches this machine
        return "loopback"
    if one.is_link_local:  # 169.254.169.254 gives a cloud machine's credentials to who asks
        return "link-local"
    return "public" if one.is_global else "private"
