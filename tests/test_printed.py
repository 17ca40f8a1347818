"""Reading what runs printed: while they are on, from the history, and on through further attempts."""

import pytest
import trio
from printing import FUTURE, Stage, following, says
from weather import Weather
from world import every, simulated

from kala.errors import Invalid, RunNotFound
from kala.outputs import ROOM
from kala.printed import passed_over
from kala.states import State


@simulated
async def test_output_is_there_while_it_is_printed_and_after() -> None:
    world = Stage(says((1, b"one\n"), (1, b"two\n"), (1, b"")))
    async with world.up():
        run = await world.run()
        await world.until(0.5)
        assert await world.read(run) == (1, 0, 0, b"")
        await world.until(1.5)
        assert await world.read(run) == (1, 0, 4, b"one\n")
        await world.until(2.5)
        assert await world.read(run, 1) == (1, 0, 8, b"one\ntwo\n")
        await world.until(10)
        assert world.store.outputs.get(run) is None
        assert await world.read(run) == await world.read(run, 1) == (1, 0, 8, b"one\ntwo\n")


@simulated
async def test_what_is_not_there_is_named() -> None:
    world = Stage(says((5, b"x"), fails=True), says((5, b"y")))
    async with world.up():
        run = await world.run(retries=1)
        with pytest.raises(RunNotFound):
            await world.read("nothing")
        await world.until(1)
        with pytest.raises(Invalid, match="attempt: attempts so far: 1"):
            await world.read(run, 2)
        await world.until(7)
        with pytest.raises(Invalid, match="attempt: attempts so far: 2"):
            await world.read(run, 3)
        await world.until(20)
        with pytest.raises(Invalid, match="attempt: attempts so far: 2"):
            await world.read(run, 3)


@simulated
async def test_a_run_that_has_printed_nothing_has_an_empty_output() -> None:
    world = Stage(says((1, b"")))
    async with world.up():
        run = await world.run()
        await world.until(2)
        assert await world.read(run) == (1, 0, 0, b"")
        disabled = await world.create("disabled", schedule=every("PT10S"), disabled=True)
        await world.until(100)
        await world.service.set_disabled(disabled, False)
        skipped = next(run for run in world.store.roster.runs(disabled) if run.state is State.SKIPPED)
        assert await world.read(skipped.id) == (0, 0, 0, b"")
        async with following(world, skipped.id) as follower:
            pass  # and there is nothing to wait for
        assert follower.heard == []


@simulated
async def test_a_follower_hears_it_as_it_comes_through_all_attempts() -> None:
    first = says((2, b"a"), (2, b"b"), fails=True)
    world = Stage(first, says((1, b"\xff\x1b[31m"), fails=True), says((0, b"c"), (3, b"d")))
    async with world.up():
        run = await world.run(retries=2, retry_delay="PT10S")
        await world.until(3)
        async with following(world, run) as follower, following(world, run) as other:
            await world.until(9)
            assert follower.heard == [(3, b"a"), (4, b"b")]
            assert await world.read(run) == (1, 0, 2, b"ab")  # while it waits for the next
            async with following(world, run) as late:
                await world.until(16)  # it has waited its delay, somewhat shortened or not
                assert late.heard[1:] == follower.heard[2:] != []
        assert follower.heard == other.heard
        assert late.heard[1:] == follower.heard[2:]
        assert follower.heard[:2] == [(3, b"a"), (4, b"b")]
        assert late.heard[0] == (9, b"ab")
        assert [data for _, data in follower.heard[2:]] == [b"\xff\x1b[31m", b"c", b"d"]
        assert follower.over == other.over == late.over == follower.heard[-1][0]
        # afterwards all of it, from any attempt on
        for attempt, whole in (None, b"cd"), (3, b"cd"), (2, b"\xff\x1b[31mcd"), (1, b"ab\xff\x1b[31mcd"):
            async with following(world, run, attempt) as reader:
                pass
            assert b"".join(data for _, data in reader.heard) == whole
        assert await world.read(run, 2) == (2, 0, 6, b"\xff\x1b[31m")
        assert world.store.outputs._changed == {}


@simulated
async def test_a_run_is_followed_before_it_begins_and_to_an_end_without_attempt() -> None:
    world = Stage(says((20, b"a")))
    async with world.up():
        job = await world.create("job", schedule=FUTURE)
        first, second = [await world.service.start(job) for _ in range(2)]
        third = await world.service.start(job)
        await world.until(1)
        assert await world.read(second) == (0, 0, 0, b"")
        async with following(world, second) as follower, following(world, third) as other:
            await world.until(30)
            await world.service.set_disabled(job, True)  # what waits is dropped
        assert follower.heard == [(40, b"a")]
        assert (other.heard, other.over) == ([], 30)
        assert [await world.read(run) for run in (first, second)] == [(1, 0, 1, b"a")] * 2


@simulated
async def test_a_run_that_waits_and_is_dropped_is_over() -> None:
    world = Stage(says((1, b"a"), fails=True), says())
    async with world.up():
        job = await world.create("job", schedule=FUTURE, retries=1, retry_delay="PT100S")
        run = await world.service.start(job)
        await world.until(2)
        async with following(world, run) as follower:
            await world.until(10)
            await world.service.set_disabled(job, True)
        assert follower.heard == [(2, b"a")]
        assert follower.over == 10


@simulated
async def test_at_the_end_of_the_daemon_followers_are_let_go() -> None:
    world = Stage(says((1, b"a"), fails=True), says())
    async with world.up():
        run = await world.run(retries=1, retry_delay="PT100S")
        await world.until(2)
        async with following(world, run) as follower:
            await world.until(10)
            world.store.outputs.close()
        assert (follower.heard, follower.over) == ([(2, b"a")], 10)
        async with following(world, run) as late:
            pass
        assert late.heard == [(10, b"a")]


@simulated
async def test_the_limit_is_for_what_is_kept_and_what_is_passed_over_is_told() -> None:
    world = Stage(says((1, b"0123456789"), (1, b"x" * (3 * ROOM)), (1, b"end"), (1, b""), limit=4))
    async with world.up():
        run = await world.run()
        await world.until(1.5)
        assert await world.read(run) == (1, 6, 10, b"6789")
        async with following(world, run) as follower:
            await world.until(2.5)
        # what is said at once is more than is held for anybody
        size = 3 * ROOM + 13
        heard = b"".join(data for _, data in follower.heard)
        assert heard == b"6789" + passed_over(2 * ROOM) + b"x" * ROOM + b"end"
        assert max(len(data) for _, data in follower.heard) <= 65_536
        assert await world.read(run) == (1, size - 4, size, b"xend")
        # the beginning of what is kept is no gap for who begins there, but it is for who comes from before
        assert b"\n[kala: 2,097,152 bytes were passed over]\n" in heard


@simulated
async def test_followers_are_told_of_what_an_earlier_attempt_did_not_keep() -> None:
    long = says((1, b"0123456789"), fails=True, limit=4)
    world = Stage(long, long, says((0, b".")))
    async with world.up():
        run = await world.run(retries=2)
        await world.until(10)
        async with following(world, run, 1) as follower:
            pass
        assert b"".join(data for _, data in follower.heard) == b"6789" + passed_over(6) + b"6789."


@simulated
async def test_of_an_answer_the_beginning_is_kept_and_the_rest_told() -> None:
    world = Stage(says((1, b"01234"), (1, b"56789"), (1, b"x"), (1, b""), limit=7, status=200))
    async with world.up():
        run = await world.run()
        await world.until(1.5)
        async with following(world, run) as follower:
            await world.until(3.5)
            assert await world.read(run) == (1, 0, 11, b"0123456")
        assert follower.heard == [(1.5, b"01234"), (2, b"56"), (4, passed_over(4))]
        assert await world.read(run) == (1, 0, 11, b"0123456")
        async with following(world, run) as late:
            pass
        assert b"".join(data for _, data in late.heard) == b"0123456" + passed_over(4)


@simulated
async def test_nothing_kept_is_followed_all_the_same() -> None:
    world = Stage(says((1, b"secret"), (1, b"more"), limit=0))
    async with world.up():
        run = await world.run()
        await world.until(1.5)
        assert await world.read(run) == (1, 6, 6, b"")
        async with following(world, run) as follower:
            pass
        assert follower.heard == [(2, b"more")]
        assert await world.read(run) == (1, 10, 10, b"")


@simulated
async def test_who_counts_bytes_is_told_of_none_but_those_printed() -> None:
    world = Stage(says((1, b"a" * 10), (1, b"b" * 3 * ROOM), (1, b"c"), limit=10), says())
    async with world.up():
        run = await world.run()
        await world.until(1.5)
        heard: list[bytes] = []

        async def follow() -> None:
            stream = world.service.follow_output((await world.service.output(run, 1)).beyond(4), alone=True)
            heard.extend([data async for data in stream])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await world.until(2.5)
        assert heard == [b"a" * 6]  # it ends before what would be passed over
        piece = await world.service.output(run, 1)
        assert (piece.offset, piece.beyond(10).offset, piece.beyond(10**9).data) == (3 * ROOM, 3 * ROOM, b"")


@simulated
async def test_an_end_that_is_not_durable_yet_is_no_hole() -> None:
    weather = Weather()
    world = Stage(says((1, b"a"), (4, b"b")), driver=weather)
    async with world.up():
        run = await world.run()
        await world.until(2)
        async with following(world, run) as follower:
            weather.away = "before"
            await world.until(30)
            assert follower.heard == [(2, b"a"), (5, b"b")]
            assert follower.over is None  # nobody knows yet what comes of the run
            assert await world.read(run) == (1, 0, 2, b"ab")
            weather.away = ""
        assert world.store.outputs.get(run) is None
        assert await world.read(run) == (1, 0, 2, b"ab")


@simulated
async def test_a_follower_who_leaves_leaves_nothing() -> None:
    world = Stage(says((1, b"a"), (50, b"b"), fails=True), says())
    async with world.up():
        run = await world.run(retries=1, retry_delay="PT1H")
        await world.until(2)
        live = world.store.outputs.get(run)
        assert live is not None
        for seconds in 1, 100:  # while it is on, and while it waits for its retry
            with trio.move_on_after(seconds):
                async with following(world, run):
                    pass
        assert live.followers == live.room == 0
        # and one who stops in the middle of a piece
        stream = world.service.follow_output(await world.service.output(run))
        assert await anext(stream) == b"ab"
        await stream.aclose()  # type: ignore[attr-defined]
        assert len(world.store.outputs._changed) <= 1
