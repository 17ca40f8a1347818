"""Which proxy an HTTP call goes through, from the environment, by the rules of Go's net/http, which the original's
calls went by: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` in either case; this host is never proxied.
"""

import ipaddress
from collections.abc import Mapping

import httpx2

from kala.errors import SettingsError


class Proxies:
    """The proxies of one environment, read once. Raises SettingsError for one that cannot be used."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        def variable(name: str) -> str:
            return (environment.get(name.lower()) or environment.get(name) or "").strip()

        # A CGI program's HTTP_PROXY is a header of its client's: https://httpoxy.org/
        plain = "" if "REQUEST_METHOD" in environment else variable("HTTP_PROXY")
        everything = variable("ALL_PROXY")
        self._by_scheme = {
            "http": proxy_url("HTTP_PROXY", plain or everything),
            "https": proxy_url("HTTPS_PROXY", variable("HTTPS_PROXY") or everything),
        }
        self._exempt = [entry.strip().lower() for entry in variable("NO_PROXY").split(",") if entry.strip()]

    def for_url(self, url: httpx2.URL) -> httpx2.URL | None:
        """The proxy for a call to `url`, if any."""
        proxy = self._by_scheme.get(url.scheme)
        if proxy is None:
            return None
        host = url.raw_host.decode("ascii").rstrip(".")
        port = url.port or (443 if url.scheme == "https" else 80)
        if is_this_host(host) or any(matches(entry, host, port) for entry in self._exempt):
            return None
        return proxy


def proxy_url(name: str, text: str) -> httpx2.URL | None:
    if not text:
        return None
    try:
        url = httpx2.URL(text if "://" in text else f"http://{text}")
    except httpx2.InvalidURL:
        raise SettingsError(f"{name} is not a URL: {text!r}") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(f"{name} must be an http or https URL with a host, and is {text!r}")
    return url


def is_this_host(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def matches(entry: str, host: str, port: int) -> bool:
    """Whether an entry of NO_PROXY names this host: `*`, a network, an address, `name` (and what is below it), `.name`
    (only what is below it), each but the first two with an optional port."""
    if entry == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        pass  # no network, or the host is a name
    name, _, wanted = entry.rpartition(":")
    if name and wanted.isdigit():
        if int(wanted) != port:
            return False
        entry = name.strip("[]")
    entry = entry.removeprefix("*")
    return host.endswith(entry) if entry.startswith(".") else host == entry or host.endswith(f".{entry}")
