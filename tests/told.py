"""Addresses that are told of jobs in the pretended world, and short words for what was posted to them."""

from world import Posted

from kala.job import Notify

A, B = "http://a.example/hook", "http://b.example:81/hook"


def on_all(url: str = A, **more: object) -> list[Notify]:
    return [Notify(url, on=("failure", "recovery", "lost", "late", "missed"), **more)]  # type: ignore[arg-type]


def said(posted: list[Posted]) -> list[str]:
    return [f"{one.body['type']} {one.at:g}" + (f" +{one.body['more']}" if one.body["more"] else "") for one in posted]


def ids(posted: list[Posted]) -> list[str]:
    return [one.body["id"] for one in posted]
