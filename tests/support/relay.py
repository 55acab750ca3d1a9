"""Servers in a thread of their own, and what passes on between two ends: for tests that put something in front of a daemon."""

import asyncio
import base64
import contextlib
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from ssl import SSLContext

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[], Awaitable[Ends]]
"""Connects to what lies behind."""
Serve = Callable[[], Coroutine[None, None, asyncio.Server]]
UNAUTHORIZED = (
    b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\n'
    b"Content-Length: 0\r\nConnection: close\r\n\r\n"
)


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[tuple[asyncio.Server, Callable[[], None]]]:
    """The server that ``serve`` starts, and what ends it with every connection to it; it ends at the end anyway."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(), loop).result(10)

    stopping = threading.Lock()  # each of two would break off the other

    def cut() -> None:
        with stopping:
            asyncio.run_coroutine_threadsafe(_stop(server), loop).result(10)

    try:
        yield server, cut
    finally:
        cut()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def port_of(server: asyncio.Server) -> int:
    """The port that it has."""
    return int(server.sockets[0].getsockname()[1])


async def listening(
    behind: Open, delay: float = 0.0, ssl: SSLContext | None = None, port: int = 0, gather: float = 0.0
) -> asyncio.Server:
    """A port of loopback that leads to what lies behind."""
    return await asyncio.start_server(lambda *ends: joined(ends, behind, delay, gather), "127.0.0.1", port, ssl=ssl)


async def joined(front: Ends, behind: Open, delay: float = 0.0, gather: float = 0.0) -> None:
    """Pass on what comes from either side to the other, ``delay`` seconds later, until both have ended; then close both. What comes
    from behind within ``gather`` seconds is passed on in one piece."""
    open_ends = [front[1]]
    try:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            reader, writer = await behind()
            open_ends.append(writer)
            await asyncio.gather(copied(front[0], writer, delay), copied(reader, front[1], delay, gather))
    finally:
        for end in open_ends:
            end.transport.abort()


async def proxying(host: str, port: int = 0, *, password: str = "", asked: Path | None = None) -> asyncio.Server:
    """A proxy for TLS (CONNECT, RFC 9110 9.3.6). ``password`` is USER:PASSWORD; ``asked`` collects HOST:PORT of each request."""
    credentials = f"proxy-authorization: basic {base64.b64encode(password.encode()).decode()}\r\n".lower()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii", "replace")
            target = head.split()[1]
            if password and credentials not in head.lower():
                writer.write(UNAUTHORIZED)
                await writer.drain()
            else:
                if asked:
                    with asked.open("a") as note:
                        note.write(f"{target}\n")
                name, _, number = target.rpartition(":")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await joined((reader, writer), lambda: asyncio.open_connection(name, int(number)))
        writer.close()

    return await asyncio.start_server(serve, host, port)


async def copied(
    source: asyncio.StreamReader, target: asyncio.StreamWriter, delay: float = 0.0, gather: float = 0.0
) -> None:
    """Pass on what comes, ``delay`` seconds later, until there is no more: in one piece what comes within ``gather`` seconds."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while True:
            await asyncio.sleep(gather)
            if not (data := await source.read(65536)):
                break
            if delay:
                loop.call_later(delay, target.write, data)
            else:
                target.write(data)
                await target.drain()
        loop.call_later(delay, _ended, target)


def _ended(target: asyncio.StreamWriter) -> None:
    """Pass on that one side has said all: it may still be answered, but for TLS, which cannot end one half."""
    with contextlib.suppress(OSError):
        target.write_eof() if target.can_write_eof() else target.close()


async def _stop(server: asyncio.Server) -> None:
    server.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0.1)  # connections that were broken off are let go of in the loop's next rounds
