"""The action `robot-stack data view`: a local page to look through the episodes of a store, and to correct them."""

from collections.abc import Mapping
from contextlib import suppress
from threading import Event
from typing import Any

from deploy.server import Server
from deploy.viewer.library import Library
from robot_stack.terminal import console
from robot_stack.types import ConfigError


def run(cfg: Mapping[str, Any]) -> int:
    """Serve the page until Ctrl-C."""
    if not cfg.get("store"):
        raise ConfigError("data view needs store=<path>, as in: robot-stack data view store=data/lift")
    library = Library(str(cfg["store"]))
    server = Server(str(cfg["host"]), int(cfg["port"]))
    try:
        from deploy.viewer.api import app  # FastAPI takes 0.5 s, and a wrong path is said without it

        server.start(app(library))
        console().print(f"{library.store.name} is shown on {server.url} until Ctrl-C", highlight=False, soft_wrap=True)
        with suppress(KeyboardInterrupt):
            Event().wait()
    finally:
        server.stop()
    return 0
