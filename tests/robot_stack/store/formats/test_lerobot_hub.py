"""Data sets come from the hub, here a small server that speaks as it does; without one, it is said what to do."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import export

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OPEN = """
import sys
from robot_stack.store.formats import open_source
from robot_stack.types import StoreError
try:
    source = open_source(sys.argv[1])
    print(len(source), source.name, source.station["rate"])
except StoreError as error:
    print(error)
"""


class Hub(BaseHTTPRequestHandler):
    """Serves the data set `test/lift` from a folder; `test/closed` is gated, and there is nothing else."""

    root: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if "closed" in parts:
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif "lift" not in parts:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
        elif parts[0] == "api":
            files = [path for path in self.root.rglob("*") if path.is_file()]
            names = [str(path.relative_to(self.root)) for path in files]
            tree = [
                {"type": "file", "path": name, "size": path.stat().st_size, "oid": f"{number:040x}"}
                for number, (name, path) in enumerate(zip(names, files, strict=True))
            ]
            info = {"id": "test/lift", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self.answer(200, json.dumps(tree if "tree" in parts else info).encode(), {})
        else:
            path = self.root.joinpath(*parts[5:])
            self.answer(200, path.read_bytes(), {"X-Repo-Commit": COMMIT, "ETag": f'"{hash(path)}"'})

    def answer(self, code: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hub")
    spec = Spec([Field("time", unit="s"), Field("observation.state", (2,), "f4"), Field("action", (2,), "f4")])
    with Store.create(folder / "s", spec, {"name": "cell", "robot": "", "rate": 20.0}) as store:
        for _ in range(2):
            writer = store.writer({"kind": "collect", "task": "lift"})
            for step in range(4):
                writer.append(spec.record(time=step / 20))
            writer.commit("success")
    export(Store.open(folder / "s"), folder / "lift", "lerobot")
    Hub.root = folder / "lift"
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def opened(name: str, cache: Path, endpoint: str = "", offline: str = "0") -> str:
    """What a process of its own says of a data set: the address of the hub is read when its library is imported."""
    proxies = {key: "" for key in os.environ if key.lower().endswith("_proxy")}
    settings = {"HF_HOME": str(cache), "HF_HUB_OFFLINE": offline, "HF_ENDPOINT": endpoint, **proxies}
    run = subprocess.run(
        [sys.executable, "-c", OPEN, name], env={**os.environ, **settings}, capture_output=True, text=True, timeout=100
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_a_data_set_comes_from_the_hub_and_then_from_the_cache(hub: str, tmp_path: Path) -> None:
    assert opened("test/lift", tmp_path, hub) == "2 test/lift 20.0"
    assert opened("test/lift", tmp_path, hub, offline="1") == "2 test/lift 20.0"


def test_an_id_that_does_not_exist_is_said_so(hub: str, tmp_path: Path) -> None:
    found = opened("test/nothing", tmp_path, hub)
    assert found.startswith("there is no data set 'test/nothing' on the hub and no folder of that name here")


def test_a_gated_one_says_how_to_get_in(hub: str, tmp_path: Path) -> None:
    assert opened("test/closed", tmp_path, hub).startswith("test/closed is gated: ask for access")


@pytest.mark.parametrize(("endpoint", "offline"), [("http://127.0.0.1:9", "0"), ("", "1")])
def test_without_a_network_it_is_said_what_to_do(tmp_path: Path, endpoint: str, offline: str) -> None:
    found = opened("test/lift", tmp_path, endpoint, offline)
    assert "the hub cannot be reached: connect this machine, or `hf download test/lift --repo-type dataset" in found
