"""Events that go out together, and what is made of them once for all who get them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from kala.events import Event
from kala.wire.eventjson import event_id, event_json

Wanted = Callable[[Event], bool]


class Frame:
    """Events in order, at least one. `start` is the hub's, `numbers` are theirs."""

    def __init__(self, start: str, numbers: Sequence[int], events: Sequence[Event]) -> None:
        self.start, self.numbers, self.events = start, numbers, events
        self._forms: dict[Callable[[Frame], bytes], bytes] = {}

    def __iter__(self) -> Iterator[tuple[int, Event]]:
        return zip(self.numbers, self.events, strict=True)

    @property
    def last(self) -> int:
        """The number of its last event."""
        return self.numbers[-1]

    @cached_property
    def lines(self) -> list[bytes]:
        """JSON of each event."""
        return [event_json(event_id(self.start, number), event) for number, event in self]

    def form(self, made_by: "Callable[[Frame], bytes]") -> bytes:
        """What `made_by` makes of this frame."""
        if made_by not in self._forms:
            self._forms[made_by] = made_by(self)
        return self._forms[made_by]

    def only(self, wanted: Wanted) -> "Frame | None":
        """The events that are wanted, if any."""
        places = [place for place, event in enumerate(self.events) if wanted(event)]
        if not places:
            return None
        frame = Frame(self.start, [self.numbers[at] for at in places], [self.events[at] for at in places])
        frame.lines = [self.lines[at] for at in places]
        return frame
