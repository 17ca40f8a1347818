"""The HTTP API, version 1: the original's routes and ours. `docs/api.md` is about them."""

from typing import TYPE_CHECKING

from kala.web import metrics, output, streams
from kala.web.batch import Batches
from kala.web.door import Door
from kala.web.jobs import Jobs
from kala.web.lists import Lists
from kala.web.node import NodeRoutes
from kala.web.openapi import with_document
from kala.web.outlook import OutlookRoutes
from kala.web.routes import Route
from kala.web.runs import Runs
from kala.web.schedules import Schedules
from kala.web.session import SessionRoutes
from kala.web.state import State

if TYPE_CHECKING:
    from kala.service import Service


def table(service: "Service", door: Door) -> list[Route]:
    """All routes."""
    found = [
        *Lists(service).routes(),
        *Jobs(service).routes(),
        *Batches(service).routes(),
        *Schedules(service).routes(),
        *OutlookRoutes(service).routes(),
        *Runs(service).routes(),
        *streams.routes(service),
        *output.routes(service),
        *State(service).routes(),
        *NodeRoutes(service).routes(),
        *metrics.routes(service),
        *SessionRoutes(door).routes(),
    ]
    return with_document(found)
