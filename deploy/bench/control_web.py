"""A browser before the page, as far as the service feels it: all pictures, the state, the status and the episodes."""

import asyncio
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import websockets

from deploy.bench.session import Session

LONGEST = 1 << 24
"""Of a message [B]."""
ASKED = 1.0
"""Between two questions over HTTP [s]."""


@contextmanager
def browsing(session: Session) -> Iterator[None]:
    """A process that looks at the page of a session until this is over, or the session is."""
    cameras = list(session.cameras)
    browser = subprocess.Popen([sys.executable, "-m", "deploy.bench.control_web", session.url, *cameras])
    try:
        yield
    finally:
        browser.kill()
        browser.wait()


async def _watch(url: str, path: str) -> None:
    async with websockets.connect(f"{url.replace('http', 'ws', 1)}{path}", max_size=LONGEST) as socket:
        async for _ in socket:
            pass


def _get(url: str) -> None:
    with urllib.request.urlopen(url, timeout=10.0) as answer:
        answer.read()


async def _ask(url: str) -> None:
    for number in count():
        for path in ("/api/status", *["/api/episodes?limit=12"] * (number % 10 == 0)):
            await asyncio.to_thread(_get, url + path)
        await asyncio.sleep(ASKED)


async def _browse(url: str, cameras: list[str]) -> None:
    await asyncio.gather(_watch(url, "/api/state"), _ask(url), *(_watch(url, f"/api/video/{c}") for c in cameras))


if __name__ == "__main__":
    with suppress(OSError, websockets.ConnectionClosed):  # the session is over
        asyncio.run(_browse(sys.argv[1], sys.argv[2:]))
