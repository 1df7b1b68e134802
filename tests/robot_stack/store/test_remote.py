"""A store behind a real S3 server on this machine: read as if it were here."""

import os
import pickle
import socket
import urllib.request
from collections.abc import Iterator
from multiprocessing import get_context

import numpy as np
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store

from robot_stack.spec import Field, Spec
from robot_stack.store import Episode, Store, cli
from robot_stack.types import StoreError

SPEC = Spec([Field("time"), Field("source", dtype="u1"), Field("q", (6,)), Field("image.front", (48, 64, 3), "u1")])


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ALLOW_HTTP", "true")
        patch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_REGION", "us-east-1")
        make = urllib.request.Request(f"http://{host}:{port}/lab", method="PUT")
        urllib.request.urlopen(make).close()
        yield "s3://lab"
    server.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Three episodes, one trimmed, one in no view."""
    path = tmp_path_factory.mktemp("local") / "lift"
    rng = np.random.default_rng(0)
    with Store.create(path, SPEC, {"name": "cell", "rate": 10.0}, "zstd") as store:
        for number in range(3):
            writer = store.writer({"kind": "collect"}, {"control": ["time", "load"]})
            for step in range(20):
                row = SPEC.record(time=100 * number + step / 10)
                row["image.front"] = rng.integers(0, 256, (48, 64, 3))
                writer.append(row)
            writer.log("control", rng.random((50, 2)))
            writer.commit("success")
        store.trim("ep-000001", 3, 17)
        store.filter("rows == 20", "long")
    return store


@pytest.fixture(scope="module")
def remote(local: Store, bucket: str) -> str:
    """The address of a copy of it."""
    client = S3Store("lab")
    for file in sorted(local.path.rglob("*")):
        if file.is_file():
            obstore.put(client, f"data/lift/{file.relative_to(local.path)}", file.read_bytes())
    return f"{bucket}/data/lift"


def assert_same(there: Episode, here: Episode) -> None:
    assert (there.id, there.attrs) == (here.id, here.attrs)
    assert np.array_equal(there.rows(), here.rows())
    assert np.array_equal(there.stream("control"), here.stream("control"))
    assert np.array_equal(there.read("image.front", 5, 7), here.read("image.front", 5, 7))


def test_every_episode_reads_as_it_does_here_with_its_edits(local: Store, remote: str) -> None:
    for there, here in zip(Store.open(remote).episodes, local.episodes, strict=True):
        assert_same(there, here)
    assert [len(episode) for episode in Store.open(remote).episodes] == [20, 14, 20]


def test_a_view_is_opened_by_its_name(remote: str) -> None:
    assert [episode.id for episode in Store.open(f"{remote}@long").episodes] == ["ep-000000", "ep-000002"]


def test_without_its_index_it_reads_the_same(local: Store, remote: str) -> None:
    client = S3Store("lab")
    obstore.delete(client, "data/lift/catalog/index.jsonl")
    try:
        for there, here in zip(Store.open(remote).episodes, local.episodes, strict=True):
            assert there.attrs == here.attrs
    finally:
        obstore.put(client, "data/lift/catalog/index.jsonl", (local.path / "catalog" / "index.jsonl").read_bytes())


def test_an_episode_is_read_by_worker_processes(local: Store, remote: str) -> None:
    episode = pickle.loads(pickle.dumps(Store.open(remote).episodes[0]))
    with get_context("spawn").Pool(1) as pool:
        there = pool.apply(episode.read, ("image.front", 3, 9))
    assert np.array_equal(there, local.episodes[0].read("image.front", 3, 9))


def test_it_is_checked_where_it_is_and_mended_where_it_can_be_written(
    remote: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.check({"store": remote}) == 0
    assert "3 episodes checked" in capsys.readouterr().out
    with pytest.raises(StoreError, match="can be read only"):
        cli.check({"store": remote, "fix": True})


def test_writing_to_it_is_refused(remote: str) -> None:
    with pytest.raises(StoreError, match="can be read only; copy it to this machine"):
        Store.open(remote).delete(["ep-000000"])


def test_a_store_that_is_not_there_and_a_server_that_is_not_there_are_errors(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="there is no store at s3://lab/nothing"):
        Store.open(f"{bucket}/nothing")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(StoreError, match=r"cannot read s3://other.*AWS_ENDPOINT_URL"):
            Store.open("s3://other/lift")


def test_a_missing_file_is_named(local: Store, remote: str) -> None:
    client = S3Store("lab")
    name = next(p for p in sorted((local.episodes[0].path / "q").iterdir()) if p.name.startswith("c."))
    key = f"data/lift/{name.relative_to(local.path)}"
    obstore.delete(client, key)
    try:
        with pytest.raises(StoreError, match=rf"{os.path.basename(key)} is missing"):
            Store.open(remote).episodes[0]["q"]
    finally:
        obstore.put(client, key, name.read_bytes())
