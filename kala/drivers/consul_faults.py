"""What the errors of Consul's client library mean, for `consul_http.py`."""

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from kala.errors import StoreRefused, StoreUnavailable


@contextmanager
def faults(place: str) -> Iterator[None]:
    """What the client library's errors mean. Others are bugs, and pass."""
    try:
        yield
    except requests.exceptions.SSLError as error:
        raise StoreRefused(f"{place}: {_said_of_tls(_innermost(error))}") from None
    except requests.exceptions.Timeout:
        raise StoreUnavailable(f"{place}: Consul does not answer") from None
    except requests.exceptions.RequestException as error:
        said = _innermost(error)
        if "CERTIFICATE_REQUIRED" in said or "certificate required" in said:
            raise StoreRefused(f"{place}: {_said_of_tls(said)}") from None
        raise StoreUnavailable(f"{place}: Consul cannot be reached: {said}") from None


def _innermost(error: BaseException) -> str:
    """What happened, without the layers around it and the URL that each of them repeats."""
    while True:
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((each for each in reversed(error.args) if isinstance(each, BaseException)), None)
        if inner is None:
            return str(error).rpartition("Failed to establish a new connection: ")[2]
        error = inner


def _said_of_tls(said: str) -> str:
    if "certificate required" in said.lower().replace("_", " "):
        return f"it wants a certificate: --jobdb-tls-certpath and --jobdb-tls-keypath ({said})"
    if "WRONG_VERSION_NUMBER" in said or "wrong version number" in said or "record layer failure" in said.lower():
        return f"it does not speak TLS: write http:// before the address, and give no --jobdb-tls-… ({said})"
    return (
        f"its certificate is not taken: {said}. --jobdb-tls-capath is the CA that signed it, --jobdb-tls-servername"
        " the name that it has"
    )
