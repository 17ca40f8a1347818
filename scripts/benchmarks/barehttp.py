"""The floor for HTTP: a bare Trio stream that answers whatever comes with the bytes of a file.

    barehttp.py PORT FILE

What it is sent has to be a request that arrives whole and alone. Tells with a line that it listens.
"""

import sys
from pathlib import Path

import trio


async def main(port: int, answer: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        while await stream.receive_some(65_536):
            await stream.send_all(answer)

    listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
    print("listening", flush=True)
    await trio.serve_listeners(serve, listeners)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), Path(sys.argv[2]).read_bytes())
