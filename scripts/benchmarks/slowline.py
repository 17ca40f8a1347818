"""A slow line before a server on this machine: whatever goes either way arrives so much later, and in order.

    slowline.py PORT TO_PORT MILLISECONDS

Tells with a line that it listens. Delays are of a line, not of its width: any amount may be on its way. netem would do
the same in the kernel, where the kernel has it.
"""

import math
import sys

import trio


async def passed(source: trio.SocketStream, target: trio.SocketStream, delay: float) -> None:
    """Until the source ends, or either side is gone."""
    send, receive = trio.open_memory_channel[tuple[float, bytes | bytearray]](math.inf)

    async def arrive() -> None:
        async for at, data in receive:
            await trio.sleep_until(at)
            await target.send_all(data)
        await target.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(arrive)
        async with send:
            async for data in source:
                send.send_nowait((trio.current_time() + delay, data))


async def main() -> None:
    near, far, delay = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1_000

    async def serve(client: trio.SocketStream) -> None:
        try:
            async with await trio.open_tcp_stream("127.0.0.1", far) as server, trio.open_nursery() as nursery:
                nursery.start_soon(passed, client, server, delay)
                nursery.start_soon(passed, server, client, delay)
        except* (OSError, trio.BrokenResourceError):
            pass  # a side is gone, and both are closed

    listeners = await trio.open_tcp_listeners(near, host="127.0.0.1")
    print("listening", flush=True)
    await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    trio.run(main)
