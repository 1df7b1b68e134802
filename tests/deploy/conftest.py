"""A console without a robot: the real page and server, with topics that a test fills."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from deploy.api import app
from deploy.director import ORDERS, Order, Phase
from deploy.server import Server
from robot_stack.bus import LocalBus
from robot_stack.clock import now
from robot_stack.station import KEYS, Station
from teleop.keyboard import CODES

STATION = Station("test", 6, {"front": (48, 64), "wrist": (48, 64)})


class Desk:
    """The page's service, without one: `status` is what it shows, `orders` what was asked of it."""

    def __init__(self, store: Path | None) -> None:
        self.bus = LocalBus()
        self.keys = self.bus.subscriber(KEYS, keep=1000)
        self.cameras = {name: self.bus.publisher(STATION.camera(name)) for name in STATION.cameras}
        self.orders: list[Order] = []
        self.status: dict[str, Any] = {
            "verb": "collect",
            "session": "test",
            "station": "test",
            "task": "lift",
            "phase": "ready",
            "note": "ready: start an episode",
            "mode": "hold",
            "source": "nobody",
            "reason": "",
            "fault": "",
            "speed": 1.0,
            "allowed": [order.value for order in ORDERS[Phase.READY]],
            "finished": 0,
            "wanted": 20,
            "keys": True,
            "episode": {"number": 1, "elapsed": 0.0, "rows": 0, "missed": 0},
            "control": {"rate": 500.0},
            "cameras": {name: list(size) for name, size in STATION.cameras.items()},
            "workers": [
                {"name": "control", "state": "up", "rate": 500.0, "restarts": 0},
                {"name": "camera.front", "state": "down", "rate": None, "restarts": 2},
            ],
        }
        self.server = Server("127.0.0.1", 0)
        self.server.start(app(self, self.bus, STATION, store))

    @property
    def url(self) -> str:
        return self.server.url

    def override(self, speed: float) -> None:
        self.status = {**self.status, "speed": speed}

    def order(self, order: Order) -> None:
        self.orders.append(order)
        if order is Order.STOP:
            self.status = {**self.status, "mode": "stop", "reason": "stop requested"}

    def picture(self, camera: str, shade: int) -> None:
        topic = STATION.camera(camera)
        self.cameras[camera].send(topic.spec.record(time=now(), image=np.full((48, 64, 3), shade)))

    def pressed(self) -> list[set[str]]:
        """The keys of each record heard so far, with "Space" for engaged."""
        heard = self.keys.history()
        return [
            {code for code, down in zip(CODES, keys["pressed"], strict=True) if down}
            | ({"Space"} if keys["engage"] else set())
            for keys in heard
        ]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "store")
    yield desk
    desk.server.stop()


@pytest.fixture
def client(desk: Desk) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=desk.url, timeout=5.0) as client:
        yield client


def until(condition: Callable[[], Any], limit: float = 5.0) -> Any:
    """Wait for something to become true; its value."""
    deadline = now() + limit
    while not (value := condition()):
        assert now() < deadline, f"not within {limit:.0f} s"
        time.sleep(0.02)
    return value


class Browser:
    """A real headless Chromium with one page, driven over its DevTools protocol."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0

    def open(self, url: str) -> None:
        """Show a page, and wait until it is there."""
        self.call("Emulation.clearDeviceMetricsOverride")
        self.call("Page.enable")
        self.call("Page.navigate", url=url)
        until(lambda: self.run("location.href + document.readyState") == f"{url}/complete")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; its result."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv(timeout=10.0))).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def text(self, element: str) -> str:
        """What an element says."""
        return str(self.run(f"document.getElementById({element!r}).textContent"))

    def key(self, kind: str, code: str, key: str) -> None:
        """kind: keyDown or keyUp."""
        self.call("Input.dispatchKeyEvent", type=kind, code=code, key=key)

    def click(self, selector: str) -> None:
        """A real click of the mouse in the middle of an element."""
        x, y = self.run(
            f"(() => {{ const box = document.querySelector({selector!r}).getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs a Chromium: apt-get install chromium")
    profile = tmp_path_factory.mktemp("chromium")
    switches = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --hide-scrollbars --window-size=1440,900 --remote-debugging-port=0"
    )
    process = subprocess.Popen(
        [program, *switches.split(), f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = profile / "DevToolsActivePort"
        port = until(lambda: address.exists() and address.read_text().partition("\n")[0], 30.0)
        targets = httpx.get(f"http://127.0.0.1:{port}/json").json()
        page = next(target for target in targets if target["type"] == "page")
        with connect(page["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.terminate()
        process.wait(10.0)


@pytest.fixture
def page(desk: Desk, browser: Browser) -> Browser:
    browser.open(desk.url)
    return browser
