"""The page, in a real headless Chromium, against the real server."""

import pytest

from deploy.director import Order
from tests.deploy.conftest import Browser, Desk, until


def test_page_says_who_flies_in_the_colour_of_the_source(desk: Desk, page: Browser) -> None:
    colours = set()
    for source in ("nobody", "operator", "policy", "script"):
        desk.status = {**desk.status, "source": source}
        until(lambda source=source: page.text("source") == source.upper())  # type: ignore[misc]
        assert page.run("parseFloat(getComputedStyle(document.getElementById('source')).fontSize)") >= 90
        colours.add(page.run("getComputedStyle(document.getElementById('source')).color"))
    assert len(colours) == 4


def test_stop_button_stops_and_the_page_shows_why(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("phase") == "Ready")
    page.click("#stop")
    until(lambda: page.text("source") == "STOPPED")
    assert desk.orders == [Order.STOP]
    assert page.text("reason") == "stop requested"


def test_escape_stops_too(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("phase") == "Ready")
    page.key("keyDown", "Escape", "Escape")
    until(lambda: desk.orders == [Order.STOP])


def test_keys_of_the_person_reach_the_topic_while_held_and_no_longer(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("latency").endswith("ms"))
    page.key("keyDown", "Space", " ")
    page.key("keyDown", "KeyW", "w")
    until(lambda: desk.pressed() and desk.pressed()[-1] == {"Space", "KeyW"})
    page.key("keyUp", "KeyW", "w")
    until(lambda: desk.pressed()[-1] == {"Space"})
    page.run("window.dispatchEvent(new Event('blur'))")
    until(lambda: desk.pressed()[-1] == set())
    until(lambda: desk.orders == [Order.HOLD])


def test_key_that_goes_up_together_with_another_program_s_shortcut_is_up(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("latency").endswith("ms"))
    page.key("keyDown", "Space", " ")
    page.key("keyDown", "KeyW", "w")
    until(lambda: desk.pressed() and desk.pressed()[-1] == {"Space", "KeyW"})
    page.run("window.dispatchEvent(new KeyboardEvent('keyup', {code: 'KeyW', ctrlKey: true}))")
    until(lambda: desk.pressed()[-1] == {"Space"})
    page.run("window.dispatchEvent(new KeyboardEvent('keydown', {code: 'Escape', altKey: true}))")
    until(lambda: desk.orders == [Order.STOP])


def test_held_key_is_confirmed_many_times_a_second(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("latency").endswith("ms"))
    page.key("keyDown", "Space", " ")
    until(lambda: len([keys for keys in desk.pressed() if keys == {"Space"}]) > 10, limit=2.0)


def test_camera_shows_the_newest_picture(desk: Desk, page: Browser) -> None:
    pixel = "document.getElementById('camera-front')?.getContext('2d').getImageData(32, 24, 1, 1).data[0]"
    for shade in (60, 180):
        desk.picture("front", shade)
        until(lambda shade=shade: abs((page.run(pixel) or 0) - shade) < 4)  # type: ignore[misc]


def test_buttons_that_mean_nothing_now_are_disabled(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("phase") == "Ready")
    disabled = "[...document.querySelectorAll('button:disabled')].map(b => b.dataset.mode ?? b.dataset.action).join()"
    until(lambda: page.run(disabled) == "success,fail,discard")
    page.click("button[data-action=start]")
    until(lambda: desk.orders == [Order.START])


def test_refused_order_is_explained(desk: Desk, page: Browser) -> None:
    desk.status = {**desk.status, "allowed": ["start", "success"]}
    until(lambda: page.run("!document.querySelector('button[data-action=success]').disabled"))
    page.click("button[data-action=success]")
    until(lambda: "success is not possible while ready" in page.text("toast"))


def test_workers_are_listed_with_their_state(desk: Desk, page: Browser) -> None:
    until(lambda: "control" in page.text("workers"))
    assert page.run("document.querySelector('#workers i.down').nextSibling.textContent") == "camera.front"
    assert "restarted 2×" in page.text("workers")


def test_page_says_so_when_the_service_is_gone(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("phase") == "Ready")
    desk.server.stop()
    until(lambda: page.text("source") == "NO CONTACT", limit=6.0)


@pytest.mark.parametrize("width", [1440, 1100, 700])
def test_nothing_is_wider_than_the_page(desk: Desk, page: Browser, width: int) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    until(lambda: page.text("phase") == "Ready")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_a_fault_of_the_arms_controller_is_shown_with_the_way_out_of_it(desk: Desk, page: Browser) -> None:
    until(lambda: page.text("phase") == "Ready")
    assert page.run("document.getElementById('fault').hidden")
    words = "protective stop (safety mode 3): free the arm"
    allowed = ["stop", "reset", "recover"]
    desk.status = {**desk.status, "mode": "stop", "phase": "idle", "fault": words, "allowed": allowed}
    until(lambda: page.text("words") == words)
    assert page.text("phase") == "Stopped"
    assert not page.run("document.getElementById('fault').hidden")
    assert page.run("document.querySelector('[data-mode=reset]').disabled"), "first recover, then reset"
    page.run("window.confirm = () => false")
    page.click("#recover")
    page.run("window.confirm = () => true")
    page.click("#recover")
    until(lambda: desk.orders == [Order.RECOVER])


def test_the_speed_is_shown_and_changed_on_the_page(desk: Desk, page: Browser) -> None:
    desk.status = {**desk.status, "speed": 0.1}
    until(lambda: page.text("percent") == "10 %")
    page.run("(e => { e.value = 25; e.dispatchEvent(new Event('change')); })(document.getElementById('speed'))")
    until(lambda: desk.status["speed"] == 0.25)
    until(lambda: page.text("percent") == "25 %")
