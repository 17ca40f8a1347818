"""What a client asks for when it asks for events: from where on, and which."""

from typing import TYPE_CHECKING, Any, TypedDict

from werkzeug.datastructures import Headers, MultiDict

from kala.clock import Moment
from kala.events import HELLO, RELOAD, TYPES, Event
from kala.finding.conditions import has_labels
from kala.frames import Frame, Wanted
from kala.hub import Listener
from kala.web import parameters
from kala.web.parameters import Parameter, given

if TYPE_CHECKING:
    from kala.service import Service

QUIET = 20.0
"""Seconds without events after which something is sent: proxies end connections that are silent for a minute."""

PARAMETERS = (
    parameters.text("after", "The id of the last event that was heard: go on after it."),
    parameters.words("type", "Of these types, with commas between.", sorted(TYPES)),
    parameters.text("job", "Of this job; repeated, of one of them.", several=True),
    parameters.labels("Of jobs with this `name`, or `name=value`; repeated, all must hold."),
    Parameter("Last-Event-ID", "As `after`: browsers send it when they come back.", str, {"type": "string"}, "header"),
)


class Asked(TypedDict):
    """What `Hub.listen` takes."""

    after: str
    wanted: Wanted | None


def asked(service: "Service", arguments: MultiDict[str, str], headers: Headers) -> Asked:
    """`after=ID`, or the header that browsers send when they come back (HTML, 9.2.4), and filters. Raises `Invalid`."""
    values = given(PARAMETERS, arguments, headers)
    return {"after": values["after"] or values["Last-Event-ID"] or "", "wanted": wanted(service, values)}


def wanted(service: "Service", values: dict[str, Any]) -> Wanted | None:
    """Which events are wanted; None when every one is. Labels are those that the job has when the event is told."""
    types = {kind for kinds in values["type"] for kind in kinds}
    jobs, labels = set(values["job"]), values["label"]

    def is_wanted(event: Event) -> bool:
        if (types and event.type not in types) or (jobs and event.job not in jobs):
            return False
        return not labels or has_labels(service.labels(event.job), labels)

    return is_wanted if types or jobs or labels else None


def first_of(listener: Listener, now: Moment) -> Frame:
    """The first on each stream: `hello` or `reload`, with the id that what follows comes after."""
    return listener.own(Event(RELOAD if listener.reload else HELLO, now))
