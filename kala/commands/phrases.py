"""Moments and lengths of time as people read them."""

from datetime import UTC, datetime, timedelta

NEVER = "0001-01-01T00:00:00Z"


def moment(text: str | None) -> datetime | None:
    """A moment of the API in local time; None for one that has not been."""
    if not text or text == NEVER:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except OverflowError:  # at the ends of the calendar, where a local time may lie outside
        return datetime.fromisoformat(text)


def local(text: str | None) -> str:
    """A moment in local time with its offset, to the second; empty when it has not been."""
    when = moment(text)
    return when.isoformat(" ", "seconds") if when is not None else ""


def clock(text: str | None, now: datetime) -> str:
    """A moment in local time, without its day when that is today."""
    when = moment(text)
    if when is None:
        return ""
    return f"{when:%H:%M:%S}" if when.date() == now.astimezone().date() else f"{when:%Y-%m-%d %H:%M}"


def length(seconds: float | None) -> str:
    """A length of time in at most two units: 12ms, 1.2s, 3m 4s, 5h 6m, 7d 8h; empty for None."""
    if seconds is None:
        return ""
    if seconds < 0:
        return "-" + length(-seconds)
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    return whole(round(seconds))


def whole(seconds: int) -> str:
    """The same of whole seconds, for what is looked at while it grows: 0s, 9s, 3m 4s."""
    for size, unit, lower, below in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // lower}{below}"
    return f"{seconds}s"


def size(count: int | None) -> str:
    """Bytes: 512 B, 1.4 KiB, 3.0 MiB; empty for None."""
    if count is None:
        return ""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1_024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1_024
    return f"{amount:.1f} GiB"


def since(text: str, now: datetime) -> str:
    """What a filter means by `text`: RFC 3339 (local without an offset), or so long ago: 90s, 15m, 2h, 7d.

    Gives RFC 3339 in UTC. Raises `ValueError`.
    """
    units = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
    if text[:-1].isascii() and text[:-1].isdigit() and text[-1] in units:
        when = now - timedelta(seconds=int(text[:-1]) * units[text[-1]])
    else:
        when = datetime.fromisoformat(text).astimezone()
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
