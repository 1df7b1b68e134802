"""What a browser or a script can see and ask: HTTP and WebSocket. Reads topics; never touches a device.

    GET  /api/status             everything that the page shows
    POST /api/mode      {"mode": "hold" | "run" | "stop" | "reset" | "recover" | "home"}
    POST /api/speed     {"speed": 0.02 to 1}
    POST /api/episode   {"action": "start" | "success" | "fail" | "discard"}
    GET  /api/episodes?limit=20  the newest stored episodes
    WS   /api/state              the status, ten times a second
    WS   /api/video/{camera}     binary: age of the picture when sent [s] as little-endian f8, then a JPEG
    WS   /api/operator           keys of a person, see teleop.browser; each message is answered

An order that means nothing now is answered 409, malformed input 422, both with words.
"""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import simplejpeg
from fastapi import FastAPI, HTTPException, Query, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.director import Order, Phase, refusal
from robot_stack.bus import Bus, Subscriber
from robot_stack.clock import now
from robot_stack.control import SLOWEST
from robot_stack.spec import Record
from robot_stack.station import KEYS, Station
from robot_stack.store import Store
from teleop import browser

PAGE = Path(__file__).parent / "console"
STATE_RATE = 10.0  # [Hz]
VIDEO_RATE = 15.0  # most pictures a second of one camera [Hz]
QUALITY = 80  # of JPEG: 23 kB for a rendered 640x480, and nothing to be seen of it


class Console(Protocol):
    """The service as its page sees it; called from the server's thread."""

    @property
    def status(self) -> dict[str, Any]:
        """What the page shows now, ready for JSON; has at least `phase`."""
        ...

    def order(self, order: Order) -> None:
        """Pass an order on; returns at once."""
        ...

    def override(self, speed: float) -> None:
        """Fly at this part of the limits from now on, 0..1; returns at once."""
        ...


class ModeRequest(BaseModel):
    """Body of POST /api/mode."""

    model_config = ConfigDict(extra="forbid")
    mode: Literal["hold", "run", "stop", "reset", "recover", "home"]


class SpeedRequest(BaseModel):
    """Body of POST /api/speed."""

    model_config = ConfigDict(extra="forbid")
    speed: float = Field(ge=SLOWEST, le=1.0)


class EpisodeRequest(BaseModel):
    """Body of POST /api/episode."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["start", "success", "fail", "discard"]


class SameOrigin:
    """Refuses what the page of another site asks: any page that a browser shows could else open our sockets and fly."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            if origin is not None and origin.partition("://")[2] != headers.get("host"):
                refuse = JSONResponse({"detail": f"asked by a page of {origin}: open the console itself"}, 403)
                await (
                    _deny(scope, receive, send, refuse)
                    if scope["type"] == "websocket"
                    else refuse(scope, receive, send)
                )
                return
        await self.app(scope, receive, send)


async def _deny(scope: Scope, receive: Receive, send: Send, response: JSONResponse) -> None:
    await WebSocket(scope, receive, send).send_denial_response(response)


def app(console: Console, bus: Bus, station: Station, store: Path | None) -> FastAPI:
    """The application. store: where episodes are recorded, None if nowhere."""
    api = FastAPI(title="robot-stack", docs_url="/api/docs", redoc_url=None, openapi_url="/api/openapi.json")
    api.add_middleware(SameOrigin)
    _add_orders(api, console)
    _add_episodes(api, store)
    _add_state(api, console)
    _add_video(api, bus, station)
    _add_operator(api, bus, console)

    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-store"})

    api.mount("/console", StaticFiles(directory=PAGE), name="console")
    return api


def _add_orders(api: FastAPI, console: Console) -> None:
    def pass_on(order: Order) -> dict[str, str]:
        words = refusal(Phase(console.status["phase"]), order)
        if words is not None:
            raise HTTPException(409, words)
        console.order(order)
        return {"ordered": order.value}

    @api.post("/api/mode")
    async def mode(request: ModeRequest) -> dict[str, str]:
        return pass_on(Order(request.mode))

    @api.post("/api/speed")
    async def speed(request: SpeedRequest) -> dict[str, float]:
        console.override(request.speed)
        return {"ordered": request.speed}

    @api.post("/api/episode")
    async def episode(request: EpisodeRequest) -> dict[str, str]:
        return pass_on(Order(request.action))


def _add_episodes(api: FastAPI, store: Path | None) -> None:
    @api.get("/api/episodes")
    def episodes(limit: int = Query(20, ge=1, le=1000)) -> list[dict[str, Any]]:
        """Newest first."""
        if store is None or not store.exists():
            return []
        return [{"id": episode.id, **episode.attrs} for episode in reversed(Store.open(store).episodes[-limit:])]


def _add_state(api: FastAPI, console: Console) -> None:
    @api.get("/api/status")
    async def status() -> dict[str, Any]:
        return console.status

    @api.websocket("/api/state")
    async def state(socket: WebSocket) -> None:
        async def send() -> None:
            while True:
                await socket.send_json(console.status)
                await asyncio.sleep(1.0 / STATE_RATE)

        await socket.accept()
        await _until_closed(socket, send)


def _add_video(api: FastAPI, bus: Bus, station: Station) -> None:
    pictures = {name: _Pictures(bus, station, name) for name in station.cameras}

    @api.websocket("/api/video/{camera}")
    async def video(socket: WebSocket, camera: str) -> None:
        if camera not in pictures:
            words = f"no camera {camera!r}; there are: {', '.join(pictures) or 'none'}"
            await socket.send_denial_response(JSONResponse({"detail": words}, 404))
            return

        async def send() -> None:
            sent = -np.inf
            while True:
                time, jpeg = pictures[camera].newest()
                if time > sent:
                    await socket.send_bytes(struct.pack("<d", now() - time) + jpeg)
                    sent = time
                await asyncio.sleep(1.0 / VIDEO_RATE)

        await socket.accept()
        await _until_closed(socket, send)


class _Pictures:
    """The newest picture of one camera, compressed once for all who watch, and only if somebody does."""

    def __init__(self, bus: Bus, station: Station, camera: str) -> None:
        self._bus = bus
        self._topic = station.camera(camera)
        self._subscriber: Subscriber | None = None
        self._newest: tuple[float, bytes] = (-np.inf, b"")

    def newest(self) -> tuple[float, bytes]:
        """Capture time [s] and JPEG; time -inf before the first."""
        if self._subscriber is None:
            self._subscriber = self._bus.subscriber(self._topic)
        record = self._subscriber.latest()
        if record is not None and record["time"] > self._newest[0]:
            self._newest = (float(record["time"]), simplejpeg.encode_jpeg(record["image"], quality=QUALITY))
        return self._newest


def _add_operator(api: FastAPI, bus: Bus, console: Console) -> None:
    keys = _Keys(bus, console)

    @api.websocket("/api/operator")
    async def operator(socket: WebSocket) -> None:
        await socket.accept()
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                await socket.send_json(keys.hear(socket, message.get("text") or ""))
        except WebSocketDisconnect:
            pass
        finally:
            keys.leave(socket)


class _Keys:
    """Passes on the keys of one page at a time: the one that pressed one first, until it presses none."""

    def __init__(self, bus: Bus, console: Console) -> None:
        self._publisher = bus.publisher(KEYS)
        self._console = console
        self._flying: WebSocket | None = None
        self._engaged = False

    def hear(self, page: WebSocket, text: str) -> dict[str, str]:
        """Publish what a page says; the answer to it, with an `error` if it was not taken."""
        try:
            keys = browser.parse(text, now())
        except browser.KeysError as error:
            return {"error": str(error)}
        pressed = _pressed(keys)
        if pressed and self._flying not in (None, page):
            return {"error": "another page is flying"}
        if pressed or self._flying is page:
            self._publisher.send(keys)
            self._flying, self._engaged = page if pressed else None, bool(keys["engage"])
        return {}

    def leave(self, page: WebSocket) -> None:
        """A page that is gone holds no key; a person who was flying by it has not handed back to a policy."""
        if self._flying is page:
            if self._engaged:
                self._console.order(Order.HOLD)
            self._flying, self._engaged = None, False
            self._publisher.send(browser.record(now(), [], engage=False))


def _pressed(keys: Record) -> bool:
    return bool(keys["engage"] or keys["pressed"].any())


async def _until_closed(socket: WebSocket, send: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Send until the other side is gone, which only receiving tells."""
    tasks = [asyncio.create_task(send()), asyncio.create_task(_receive_all(socket))]
    _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


async def _receive_all(socket: WebSocket) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
