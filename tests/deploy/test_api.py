"""The interface of the service, through a real server, with real HTTP and WebSocket clients."""

import json
import struct
from pathlib import Path

import httpx
import numpy as np
import pytest
import simplejpeg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from deploy.director import Order
from deploy.recorder import open_store
from deploy.server import Server
from robot_stack.types import ConfigError
from tests.deploy.conftest import STATION, Desk, until


def socket_url(desk: Desk, path: str) -> str:
    return desk.url.replace("http", "ws") + path


def test_status_is_what_the_service_says(desk: Desk, client: httpx.Client) -> None:
    assert client.get("/api/status").json() == desk.status


@pytest.mark.parametrize(
    ("path", "body", "order"),
    [
        ("/api/mode", {"mode": "hold"}, Order.HOLD),
        ("/api/mode", {"mode": "run"}, Order.RUN),
        ("/api/mode", {"mode": "stop"}, Order.STOP),
        ("/api/mode", {"mode": "reset"}, Order.RESET),
        ("/api/mode", {"mode": "home"}, Order.HOME),
        ("/api/mode", {"mode": "recover"}, Order.RECOVER),
        ("/api/episode", {"action": "start"}, Order.START),
    ],
)
def test_order_reaches_the_service(
    desk: Desk, client: httpx.Client, path: str, body: dict[str, str], order: Order
) -> None:
    assert client.post(path, json=body).status_code == 200
    assert desk.orders == [order]


def test_speed_reaches_the_service(desk: Desk, client: httpx.Client) -> None:
    assert client.post("/api/speed", json={"speed": 0.25}).status_code == 200
    assert desk.status["speed"] == 0.25


@pytest.mark.parametrize("action", ["success", "fail", "discard"])
def test_verdict_needs_an_episode(desk: Desk, client: httpx.Client, action: str) -> None:
    answer = client.post("/api/episode", json={"action": action})
    assert answer.status_code == 409
    assert f"{action} is not possible while ready" in answer.json()["detail"]
    assert "start" in answer.json()["detail"]
    desk.status = {**desk.status, "phase": "recording"}
    assert client.post("/api/episode", json={"action": action}).status_code == 200
    assert [order.value for order in desk.orders] == [action]


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/api/mode", '{"mode": "fly"}', "'hold', 'run', 'stop', 'reset', 'recover' or 'home'"),
        ("/api/mode", "{}", "Field required"),
        ("/api/speed", '{"speed": 1.5}', "less than or equal to 1"),
        ("/api/speed", '{"speed": 0.0}', "greater than or equal to 0.02"),
        ("/api/mode", '{"mode": "hold", "speed": 2}', "Extra inputs are not permitted"),
        ("/api/mode", "{", "JSON"),
        ("/api/episode", '{"action": "quit"}', "'start', 'success', 'fail' or 'discard'"),
    ],
)
def test_malformed_order_is_refused_with_words(
    desk: Desk, client: httpx.Client, path: str, body: str, words: str
) -> None:
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert words in answer.text
    assert desk.orders == []


def test_page_of_another_site_can_neither_order_nor_watch_nor_fly(desk: Desk, client: httpx.Client) -> None:
    other = {"Origin": "http://evil.example"}
    assert client.post("/api/mode", json={"mode": "run"}, headers=other).status_code == 403
    for path in ("/api/operator", "/api/state", "/api/video/front"):
        with pytest.raises(InvalidStatus) as refused, connect(socket_url(desk, path), additional_headers=other):
            pass
        assert refused.value.response.status_code == 403
    assert client.post("/api/mode", json={"mode": "run"}, headers={"Origin": desk.url}).status_code == 200
    assert desk.orders == [Order.RUN]


def test_episodes_are_the_newest_first(desk: Desk, client: httpx.Client, tmp_path: Path) -> None:
    assert client.get("/api/episodes").json() == []
    with open_store(tmp_path / "store", STATION, "ur5e") as store:
        for verdict in ("failure", "success"):
            writer = store.writer({"kind": "collect", "task": "lift"})
            writer.append(STATION.row.record())
            writer.commit(verdict)
    listed = client.get("/api/episodes").json()
    assert [(episode["id"], episode["verdict"]) for episode in listed] == [
        ("ep-000001", "success"),
        ("ep-000000", "failure"),
    ]
    assert len(client.get("/api/episodes?limit=1").json()) == 1
    assert client.get("/api/episodes?limit=none").status_code == 422


def test_what_a_watching_page_says_is_passed_over(desk: Desk) -> None:
    with connect(socket_url(desk, "/api/state")) as socket:
        for said in ("words", b"bytes"):
            socket.send(said)
        for _ in range(5):
            assert json.loads(socket.recv(timeout=2.0))["phase"] == "ready"


def test_state_is_pushed_and_follows(desk: Desk) -> None:
    with connect(socket_url(desk, "/api/state")) as socket:
        assert json.loads(socket.recv(timeout=2.0))["source"] == "nobody"
        desk.status = {**desk.status, "source": "policy"}
        until(lambda: json.loads(socket.recv(timeout=2.0))["source"] == "policy")


def test_video_carries_the_newest_picture_and_its_age(desk: Desk) -> None:
    desk.picture("front", 50)
    with connect(socket_url(desk, "/api/video/front")) as socket:
        shades = []
        for shade in (100, 150, 200):
            message = socket.recv(timeout=2.0)
            assert isinstance(message, bytes)
            (age,) = struct.unpack("<d", message[:8])
            assert 0.0 <= age < 1.0
            shades.append(float(np.mean(simplejpeg.decode_jpeg(message[8:]))))
            desk.picture("front", 0)  # overtaken before it is looked at
            desk.picture("front", shade)
    np.testing.assert_allclose(shades, [50, 100, 150], atol=2.0)


def test_unknown_camera_is_refused_with_the_names_there_are(desk: Desk) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(socket_url(desk, "/api/video/left")):
        pass
    assert refused.value.response.status_code == 404
    assert b"no camera 'left'; there are: front, wrist" in (refused.value.response.body or b"")


def test_keys_reach_the_topic_and_are_released_when_the_page_is_gone(desk: Desk) -> None:
    with connect(socket_url(desk, "/api/operator")) as socket:
        socket.send('{"pressed": ["KeyW"], "engage": true}')
        assert json.loads(socket.recv(timeout=2.0)) == {}
        assert desk.pressed() == [{"KeyW", "Space"}]
    assert until(lambda: len(desk.pressed()) == 2 and desk.pressed()[-1] == set())
    assert desk.orders == [Order.HOLD], "a page lost while it flies does not hand over to a policy"


def test_page_that_let_go_before_it_is_gone_stops_nobody(desk: Desk) -> None:
    with connect(socket_url(desk, "/api/operator")) as socket:
        for text in ('{"pressed": [], "engage": true}', '{"pressed": [], "engage": false}'):
            socket.send(text)
            assert json.loads(socket.recv(timeout=2.0)) == {}
    until(lambda: len(desk.pressed()) == 2)
    assert desk.orders == []


def test_malformed_keys_are_answered_with_words_and_the_page_may_go_on(desk: Desk) -> None:
    with connect(socket_url(desk, "/api/operator")) as socket:
        for text in ("up!", b"up"):
            socket.send(text)
            assert "not JSON" in json.loads(socket.recv(timeout=2.0))["error"]
        socket.send('{"pressed": ["KeyP"], "engage": true}')
        assert "no key 'KeyP'" in json.loads(socket.recv(timeout=2.0))["error"]
        assert desk.pressed() == []
        socket.send('{"pressed": [], "engage": true}')
        assert json.loads(socket.recv(timeout=2.0)) == {}
        assert desk.pressed() == [{"Space"}]


def test_page_that_watches_does_not_take_the_keys_from_the_page_that_flies(desk: Desk) -> None:
    url = socket_url(desk, "/api/operator")
    with connect(url) as first, connect(url) as second:

        def say(socket: object, text: str) -> dict[str, str]:
            socket.send(text)  # type: ignore[attr-defined]
            answer: dict[str, str] = json.loads(socket.recv(timeout=2.0))  # type: ignore[attr-defined]
            return answer

        say(first, '{"pressed": ["KeyA"], "engage": true}')
        assert say(second, '{"pressed": [], "engage": false}') == {}
        assert say(second, '{"pressed": ["KeyD"], "engage": true}') == {"error": "another page is flying"}
        assert desk.pressed() == [{"KeyA", "Space"}]
        say(first, '{"pressed": [], "engage": false}')
        assert say(second, '{"pressed": ["KeyD"], "engage": true}') == {}
        assert desk.pressed()[-1] == {"KeyD", "Space"}


def test_port_in_use_says_which_and_how_to_choose_another(desk: Desk) -> None:
    port = int(desk.url.rpartition(":")[2])
    with pytest.raises(ConfigError, match=rf"port {port}: Address already in use; choose another with port=8001"):
        Server("127.0.0.1", port)
