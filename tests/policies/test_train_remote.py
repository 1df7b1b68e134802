"""Training from a store behind a real S3 server on this machine."""

import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
import torch
from moto.server import ThreadedMotoServer
from obstore.store import S3Store
from rich.console import Console
from safetensors.torch import load_file

from policies import checkpoint, train
from policies.train import Stop
from robot_stack.cli import main
from robot_stack.store import Store


@pytest.fixture
def remote(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a copy of the store."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ALLOW_HTTP": "true", "REGION": "us-east-1"}
    for name, value in {**settings, "ACCESS_KEY_ID": "somebody", "SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    urllib.request.urlopen(urllib.request.Request(f"http://{host}:{port}/training", method="PUT")).close()
    bucket = S3Store("training")
    for file in store.path.rglob("*"):
        if file.is_file():
            obstore.put(bucket, f"toy/{file.relative_to(store.path)}", file.read_bytes())
    yield "s3://training/toy"
    server.stop()


def test_a_store_far_away_trains_to_the_same_bits_and_is_verified_there(
    remote: str, training: dict[str, Any], config_of: Callable[[str], dict[str, Any]], tmp_path: Path
) -> None:
    training["policy"] = config_of("bc_images")
    folders = []
    for name, where in (("here", training["store"]), ("there", remote)):
        config = {**training, "store": where, "out": str(tmp_path / name), "memory": 0.0}
        folders.append(train.train(config, Stop(), Console(quiet=True)))
    here, there = (load_file(folder / "model.safetensors") for folder in folders)
    assert [name for name in here if not torch.equal(here[name], there[name])] == []
    assert checkpoint.load(folders[1]).card["stores"][0]["store"] == remote
    assert main(["data", "verify", f"checkpoint={folders[1]}"]) == 0
