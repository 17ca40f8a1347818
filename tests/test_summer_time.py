"""Schedules by the clock of a place, from before it is put forward to after it."""

from world import START, World, moments, simulated

from kala.clock import SECOND, TrioClock
from kala.drivers.memory import MemoryDriver


@simulated
async def test_every_occurrence_by_a_clock_that_is_put_forward_is_accounted_for() -> None:
    """Given jobs at half past two in Paris, from before the last Sunday of March to after it; one daemon follows
    another on the Sunday itself."""
    driver, clock = MemoryDriver(), TrioClock(START)
    day = 86_400.0
    plans = {
        "daily": {"schedule": "R/2030-01-01T02:30:00[Europe/Paris]/P1D"},
        "daily but that day": {"schedule": "R/2030-01-01T02:30:00/P1D", "time_zone": "Europe/Paris", "dst_gap": "skip"},
        "cron": {"schedule": "30 2 * * *", "time_zone": "Europe/Paris"},
        "half-hourly": {"schedule": "R/2030-03-30T00:00:00[Europe/Paris]/PT30M", "catch_up": "all"},
        "workdays": {"schedule": "0 9 * * MON-FRI", "time_zone": "Europe/Paris", "jitter": "PT5M"},
    }
    world = World(driver, clock)
    async with world.up():
        ids = {name: await world.create(name, **plan) for name, plan in plans.items()}
        await world.until(89 * day)  # 31 March, 00:00 UTC
    await clock.sleep_until(START + round((89 * day + 3 * 3600) * SECOND))
    again = World(driver, clock)
    async with again.up():
        await again.until(95.5 * day)
        ran = {name: again.accounts_for(job, until=95.5 * day) for name, job in ids.items()}
        assert ran["daily"] == {"succeeded": 96}
        assert ran["daily but that day"] == {"succeeded": 95}
        assert ran["cron"] == {"succeeded": 96}
        assert set(ran["half-hourly"]) == {"succeeded"}
        assert ran["workdays"] == {"succeeded": 69}
        before = moments(again.history(ids["daily"]))
        assert {(second / 3600) % 24 for second in before[:89]} == {1.5}
        assert {(second / 3600) % 24 for second in before[90:]} == {0.5}
