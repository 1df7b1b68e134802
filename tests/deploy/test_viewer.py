"""The viewer: its answers over HTTP, and its page in a real headless Chromium, against real stores."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import simplejpeg

from deploy.server import Server
from deploy.viewer.api import app
from deploy.viewer.frames import encode
from deploy.viewer.library import Library
from deploy.viewer.plots import quantities, thinned
from robot_stack.cli import main
from robot_stack.spec import Field, Record, Spec
from robot_stack.station import Station
from robot_stack.store import Store
from robot_stack.types import Source
from tests.deploy.conftest import Browser, until

RATE = 20.0
SPEC = Spec(
    [
        Field("time", unit="s"),
        Field("q", (2,), unit="rad"),
        Field("requested.q", (2,), unit="rad"),
        Field("target.q", (2,), unit="rad"),
        Field("source", dtype="u1"),
        Field("image.front", (48, 64, 3), "u1"),
        Field("image.front.time", unit="s"),
    ]
)


def row(step: int, source: Source) -> Record:
    """A row whose values and picture tell its step."""
    record = SPEC.record(time=step / RATE, source=source, image__front=4 * step, image__front__time=step / RATE - 0.03)
    record["q"], record["target.q"], record["requested.q"] = step, step + 1, step + 2
    return record


def record(store: Store, sources: list[Source], verdict: str = "success", **attrs: str) -> None:
    writer = store.writer({"kind": "collect", "task": "stack", "operator": "ada", **attrs})
    for step, source in enumerate(sources):
        writer.append(row(step, source))
    writer.commit(verdict)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes: by ada, by a policy and bob who takes over, and by bob."""
    path = tmp_path_factory.mktemp("recorded") / "store"
    with Store.create(path, SPEC, {"name": "cell", "robot": "test", "rate": RATE}) as store:
        record(store, [Source.OPERATOR] * 60)
        record(store, [Source.POLICY] * 30 + [Source.OPERATOR] * 20, "failure", kind="deploy", operator="bob")
        record(store, [Source.OPERATOR] * 25, "unknown", operator="bob", task="pour")
    return path


@pytest.fixture
def place(recorded: Path, tmp_path: Path) -> Path:
    """A copy to edit."""
    return Path(shutil.copytree(recorded, tmp_path / "store"))


@pytest.fixture
def url(place: Path) -> Iterator[str]:
    server = Server("127.0.0.1", 0)
    server.start(app(Library(str(place))))
    yield server.url
    server.stop()


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}/api", timeout=10.0) as client:
        yield client


def ids(client: httpx.Client, **query: Any) -> list[str]:
    return [line["id"] for line in client.get("/episodes", params=query).json()["episodes"]]


# --- what it answers -------------------------------------------------------------------------------------------------


def test_list_is_filtered_by_what_a_person_remembers(client: httpx.Client) -> None:
    assert ids(client) == ["ep-000000", "ep-000001", "ep-000002"]
    assert ids(client, verdict="failure") == ["ep-000001"]
    assert ids(client, operator="bob", task="pour") == ["ep-000002"]
    assert ids(client, text="POUR") == ["ep-000002"]
    assert ids(client, text="nowhere") == []
    assert client.get("/store").json()["facets"]["verdict"] == {"success": 1, "failure": 1, "unknown": 1}


def test_list_comes_a_page_at_a_time_and_says_how_much_there_is(client: httpx.Client) -> None:
    page = client.get("/episodes", params={"offset": 1, "limit": 1}).json()
    assert [line["id"] for line in page["episodes"]] == ["ep-000001"]
    assert (page["matching"], page["seconds"]) == (3, (60 + 50 + 25) / RATE)


def test_episode_recorded_meanwhile_is_listed(client: httpx.Client, place: Path) -> None:
    assert len(ids(client)) == 3
    with Store.open(place) as store:
        record(store, [Source.SCRIPT] * 5)
    until(lambda: len(ids(client)) == 4)


def test_timeline_says_who_flew_and_who_took_over(client: httpx.Client) -> None:
    episode = client.get("/episodes/ep-000001").json()
    assert episode["sources"] == [["policy", 0, 30], ["operator", 30, 50]]
    assert episode["labels"] == [["pre_intervention", 15, 30], ["intervention", 30, 50]]
    assert episode["cameras"] == {"image.front": [48, 64]}


def test_missing_rows_and_findings_are_told(client: httpx.Client, place: Path) -> None:
    with Store.open(place) as store:
        writer = store.writer({"kind": "collect"})
        for step in (0, 1, 2, 6, 7):
            writer.append(row(step, Source.OPERATOR))
        writer.commit()
    episode = until(lambda: client.get("/episodes/ep-000003").json())
    assert episode["gaps"] == [[3, 3]]
    answer = until(lambda: (found := client.get("/episodes/ep-000003/findings").json())["done"] and found)
    findings = answer["findings"]
    assert [(f["step"], f["severity"]) for f in findings if "missing" in f["what"]] == [(3, "warning")]


@pytest.mark.parametrize("step", [0, 7, 8, 59])
def test_picture_is_that_of_its_row(client: httpx.Client, place: Path, step: int) -> None:
    answer = client.get(f"/episodes/ep-000000/frames/image.front/{step}")
    stored = Store.open(place)["ep-000000"].read("image.front", step, step + 1)[0]
    shown = simplejpeg.decode_jpeg(answer.content)
    assert np.abs(shown.astype(int) - stored).max() <= 3
    assert abs(int(shown[24, 32, 0]) - 4 * step) <= 4


def test_pictures_ahead_of_whoever_plays_are_those_of_their_rows(client: httpx.Client) -> None:
    for step in range(20):
        jpeg = client.get(f"/episodes/ep-000000/frames/image.front/{step}").content
        assert abs(int(simplejpeg.decode_jpeg(jpeg)[0, 0, 0]) - 4 * step) <= 4


def test_browser_keeps_a_picture_of_known_rows_only(client: httpx.Client) -> None:
    version = client.get("/episodes/ep-000000").json()["version"]
    frame = "/episodes/ep-000000/frames/image.front/3"
    assert "immutable" in client.get(frame, params={"version": version}).headers["cache-control"]
    assert client.get(frame, params={"version": "other"}).headers["cache-control"] == "no-store"


def test_row_says_values_ages_and_who_flew(client: httpx.Client) -> None:
    row = client.get("/episodes/ep-000001/rows/31").json()
    assert row["source"] == "operator"
    assert row["time"] == pytest.approx(31 / RATE)
    assert row["ages"] == {"image.front": pytest.approx(0.03)}
    assert row["values"]["q"] == {"measured": [31, 31], "target": [32, 32], "requested": [33, 33]}
    assert row["values"]["age"]["measured"] == [pytest.approx(30.0)]


def test_curves_of_some_rows_are_those_rows(client: httpx.Client) -> None:
    curves = client.get("/episodes/ep-000000/curves/q", params={"start": 10, "stop": 13}).json()
    assert curves["target"] == {"steps": [10, 11, 12], "low": [[11, 12, 13], [11, 12, 13]]}


def test_thinned_curve_keeps_each_extreme_and_says_null_where_there_is_no_number() -> None:
    rows = np.zeros((60_000, 2))
    rows[41_234, 0], rows[7, 1] = 5.0, -3.0
    rows[:100, 0] = np.nan
    curve = thinned(rows, 0, 60_000, 600)
    assert len(curve["steps"]) == 600
    assert curve["high"][0][412] == 5.0
    assert curve["low"][0][0] is None
    assert curve["low"][1][0] == -3.0
    assert max(curve["high"][1]) == 0.0


def test_measured_sent_and_requested_values_of_one_thing_are_drawn_together() -> None:
    found = {quantity.name: quantity for quantity in quantities(Station("cell", 6, {"front": (48, 64)}).row)}
    assert found["q"].roles == {
        "measured": "q",
        "target": "target.q",
        "requested": "requested.q",
        "proposed": "proposed.q",
    }
    assert found["pose"].components == ("x", "y", "z", "qx", "qy", "qz", "qw")
    assert found["pose"].units == ("m", "m", "m", "", "", "", "")
    assert found["wrench"].units == ("N", "N", "N", "Nm", "Nm", "Nm")
    assert found["age"].components == ("state", "grip", "image.front")
    assert not {"time", "source", "image.front"} & found.keys()


def test_depth_is_shown_in_grey_with_the_farthest_white() -> None:
    depth = np.zeros((48, 64), "u2")
    depth[:, 32:] = 4000
    shown = simplejpeg.decode_jpeg(encode(depth), colorspace="GRAY")[..., 0]
    assert shown[24, 16] < 5
    assert shown[24, 48] > 250


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("episodes/ep-000009", 404, "no episode 'ep-000009'"),
        (
            "episodes/ep-000000/frames/image.wrist/0",
            404,
            "no camera 'image.wrist' in ep-000000; there are: image.fr",
        ),
        ("episodes/ep-000000/frames/image.front/60", 422, "no row 60 in ep-000000: expected 0 to 59"),
        ("episodes/ep-000000/frames/image.front/-1", 422, "no row -1"),
        ("episodes/ep-000000/frames/image.front/x", 422, "valid integer"),
        ("episodes/ep-000000/rows/60", 422, "expected 0 to 59"),
        ("episodes/ep-000000/curves/torque", 404, "no curves 'torque' of ep-000000; there are: q, age"),
        ("episodes/ep-000000/curves/q?start=5&stop=5", 422, "expected 0 <= start < stop <= 60"),
        ("episodes/ep-000000/curves/q?points=0", 422, "greater than or equal to 2"),
        ("episodes?limit=0", 422, "greater than or equal to 1"),
        ("episodes?verdit=success", 422, "verdit"),
    ],
)
def test_what_is_not_there_is_refused_with_words(client: httpx.Client, path: str, status: int, words: str) -> None:
    answer = client.get(f"/{path}")
    assert answer.status_code == status
    assert words in json.dumps(answer.json()["detail"], ensure_ascii=False)


def test_page_of_another_site_may_not_edit(client: httpx.Client, place: Path) -> None:
    answer = client.post("/edits/delete", json={"ids": ["ep-000000"]}, headers={"Origin": "http://elsewhere.example"})
    assert answer.status_code == 403
    assert len(Store.open(place)) == 3


def test_picture_that_cannot_be_read_says_why(client: httpx.Client, place: Path) -> None:
    for shard in (place / "episodes" / "ep-000000" / "image.front").glob("c.*"):
        shard.write_bytes(b"damaged")
    answer = client.get("/episodes/ep-000000/frames/image.front/0")
    assert answer.status_code == 500
    assert "image.front of ep-000000 cannot be read" in answer.json()["detail"]


# --- edits -----------------------------------------------------------------------------------------------------------


def test_label_given_on_the_page_is_in_the_store(client: httpx.Client, place: Path) -> None:
    labels = {"verdict": "failure", "task": "lift", "language": "lift the cube"}
    assert client.post("/edits/relabel", json={"ids": ["ep-000000"], "labels": labels}).status_code == 200
    assert labels.items() <= Store.open(place)["ep-000000"].attrs.items()


def test_trimmed_episode_has_other_pictures_under_another_version(client: httpx.Client, place: Path) -> None:
    before = client.get("/episodes/ep-000000").json()["version"]
    assert client.post("/edits/trim", json={"id": "ep-000000", "start": 10, "stop": 20}).json()["ids"] == ["ep-000000"]
    after = client.get("/episodes/ep-000000").json()
    assert (after["attrs"]["rows"], len(Store.open(place)["ep-000000"])) == (10, 10)
    assert after["version"] != before
    jpeg = client.get("/episodes/ep-000000/frames/image.front/0").content
    assert abs(int(simplejpeg.decode_jpeg(jpeg)[0, 0, 0]) - 40) <= 4


def test_split_episode_is_listed_as_two_where_it_was(client: httpx.Client) -> None:
    made = client.post("/edits/split", json={"id": "ep-000000", "at": 25}).json()["ids"]
    assert ids(client) == [*made, "ep-000001", "ep-000002"]
    assert client.get(f"/episodes/{made[1]}/rows/0").json()["values"]["q"]["measured"] == [25, 25]


def test_deleted_episode_is_listed_on_demand_and_brought_back_by_its_edit(client: httpx.Client, place: Path) -> None:
    client.post("/edits/delete", json={"ids": ["ep-000001"]})
    client.post("/edits/relabel", json={"ids": ["ep-000000"], "labels": {"verdict": "failure"}})
    assert ids(client) == ["ep-000000", "ep-000002"]
    lines = client.get("/episodes", params={"deleted": True}).json()["episodes"]
    assert [line["id"] for line in lines] == ["ep-000000", "ep-000001", "ep-000002"]
    edit = lines[1]["deleted"]
    answer = client.post("/edits/undo", json={"edit": edit}).json()
    assert answer == {"done": "undid: delete ep-000001", "ids": ["ep-000001"]}
    assert ids(client) == ["ep-000000", "ep-000001", "ep-000002"]
    assert Store.open(place)["ep-000000"].attrs["verdict"] == "failure"


def test_edits_are_listed_newest_first_with_what_can_still_be_undone(client: httpx.Client) -> None:
    client.post("/edits/delete", json={"ids": ["ep-000001"]})
    client.post("/edits/relabel", json={"ids": ["ep-000000"], "labels": {"task": "lift"}})
    client.post("/edits/undo", json={})
    found = [(edit["what"], edit["undone"], edit["can_undo"]) for edit in client.get("/edits").json()]
    assert found == [("relabel ep-000000: task=lift", True, False), ("delete ep-000001", False, True)]


@pytest.mark.parametrize(
    ("action", "body", "status", "words"),
    [
        ("trim", {"id": "ep-000000", "start": 5, "stop": 500}, 409, "it has 60 rows"),
        ("split", {"id": "ep-000000", "at": 0}, 409, "expected a row from 1 to 59"),
        ("delete", {"ids": ["ep-000009"]}, 409, "no episode 'ep-000009'"),
        ("undo", {}, 409, "no edit to undo"),
        ("relabel", {"ids": ["ep-000000"], "labels": {"verdict": "great"}}, 409, "no verdict 'great'"),
        ("relabel", {"ids": ["ep-000000"], "labels": {"robot": "ur5e"}}, 422, "verdict"),
        ("delete", {"ids": []}, 422, "at least 1 item"),
    ],
)
def test_edit_that_cannot_be_is_refused_with_words(
    client: httpx.Client, action: str, body: dict[str, Any], status: int, words: str
) -> None:
    answer = client.post(f"/edits/{action}", json=body)
    assert answer.status_code == status
    assert words in str(answer.json()["detail"])


def test_edit_is_refused_while_somebody_records_and_taken_after_it(client: httpx.Client, place: Path) -> None:
    delete = {"ids": ["ep-000000"]}
    with Store.open(place) as recording:
        recording.writer({"kind": "collect"})
        refused = client.post("/edits/delete", json=delete)
        assert refused.status_code == 409
        assert "is being written by process" in refused.json()["detail"]
        assert ids(client, verdict="success") == ["ep-000000"]
    assert client.post("/edits/delete", json=delete).status_code == 200


# --- how it starts ---------------------------------------------------------------------------------------------------


def test_taken_port_and_missing_store_are_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    taken = Server("127.0.0.1", 0)
    port = taken.url.rpartition(":")[2]
    assert main(["data", "view", f"store={place}", f"port={port}"]) == 2
    taken.stop()
    assert main(["data", "view", f"store={place}-not", "port=0"]) == 1
    said = capsys.readouterr().err
    assert f"cannot serve the page on 127.0.0.1 port {port}" in said
    assert "there is no store" in said


# --- the page --------------------------------------------------------------------------------------------------------

FAULTS = """
window.faults = [];
addEventListener('error', event => faults.push(event.message ?? event.target.src), true);
addEventListener('unhandledrejection', event => faults.push(String(event.reason)));
for (const name of ['error', 'warn']) console[name] = (...words) => faults.push(words.join(' '));
"""
PIXEL = "document.getElementById('camera-image.front')?.getContext('2d').getImageData(32, 24, 1, 1).data[0]"
STEP = "Number(document.getElementById('step').textContent.split(' ')[1])"


@pytest.fixture
def page(url: str, browser: Browser) -> Iterator[Browser]:
    """The page, at its first episode."""
    browser.call("Emulation.clearDeviceMetricsOverride")
    browser.call("Page.enable")
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source=FAULTS)["identifier"]
    browser.call("Page.navigate", url=url)
    until(lambda: browser.run("location.hash") == "#ep-000000@0" and browser.text("findingCount") != "looking")
    yield browser
    assert browser.run("faults") == []
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    browser.call("Page.navigate", url="about:blank")


def press(page: Browser, key: str, times: int = 1) -> None:
    for _ in range(times):
        page.key("keyDown", "", key)
        page.key("keyUp", "", key)


def shows(page: Browser, step: int) -> bool:
    """Whether the picture of a row is on the page: its grey says which it is."""
    return page.run(STEP) == step and abs((page.run(PIXEL) or 0) - 4 * step) <= 4


def test_scrubbing_shows_the_picture_of_the_row(page: Browser) -> None:
    until(lambda: shows(page, 0))
    press(page, "ArrowRight", 3)
    until(lambda: shows(page, 3))
    press(page, "End")
    until(lambda: shows(page, 59))
    assert page.text("clock") == "2.95 s"
    page.click("#timeline")
    until(lambda: shows(page, 30))


def test_playing_goes_on_at_the_rate_of_the_recording_and_stops_at_the_end(page: Browser) -> None:
    until(lambda: shows(page, 0))
    began = time.monotonic()
    press(page, " ")
    until(lambda: page.run(STEP) > 10)
    until(lambda: shows(page, 59), limit=10.0)
    assert time.monotonic() - began >= 59 / RATE - 0.1
    assert page.text("play") == "▶"


def test_verdict_of_a_key_is_in_the_store(page: Browser, place: Path) -> None:
    press(page, "f")
    until(lambda: page.run("document.querySelector('[data-verdict=failure].on') !== null"))
    assert Store.open(place)["ep-000000"].attrs["verdict"] == "failure"
    assert page.run("document.querySelector('.line.current i').className") == "failure"


def test_deleted_episode_leaves_the_list_and_undo_brings_it_back(page: Browser, place: Path) -> None:
    press(page, "d")
    until(lambda: page.text("name") == "ep-000001")
    assert [episode.id for episode in Store.open(place).episodes] == ["ep-000001", "ep-000002"]
    press(page, "u")
    until(lambda: page.text("name") == "ep-000000")
    assert len(Store.open(place)) == 3


def test_marks_trim_the_episode(page: Browser, place: Path) -> None:
    press(page, "ArrowRight", 5)
    press(page, "[")
    press(page, "ArrowRight", 10)
    press(page, "]")
    press(page, "t")
    until(lambda: len(Store.open(place)["ep-000000"]) == 11)
    until(lambda: page.text("step") == "row 10 / 10")
    press(page, "Home")
    until(lambda: abs(page.run(PIXEL) - 20) <= 4)


def test_letters_that_are_typed_are_no_orders(page: Browser, place: Path) -> None:
    page.click("#language")
    press(page, "d")
    page.call("Input.insertText", text="pick the red cube")
    page.key("keyDown", "Enter", "Enter")
    page.run("document.getElementById('language').dispatchEvent(new Event('change'))")
    until(lambda: Store.open(place)["ep-000000"].attrs.get("language") == "pick the red cube")
    assert len(Store.open(place)) == 3


def test_next_episode_is_a_key_away_and_tells_who_took_over(page: Browser) -> None:
    press(page, "ArrowDown")
    until(lambda: page.text("name") == "ep-000001")
    press(page, "End")
    until(lambda: page.text("source") == "operator")
    colour = "[...document.getElementById('timeline').getContext('2d').getImageData(40, 20, 1, 1).data].join()"
    assert page.run(colour) == "77,141,255,255"
