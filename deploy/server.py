"""Serves the page from a thread of its own, so that the supervisor keeps the main thread and its signals."""

import socket
import threading

import uvicorn
from fastapi import FastAPI

from robot_stack.types import ConfigError


class Server:
    """Takes the port when it is made, serves from `start` to `stop`. port 0: a free one. `url` says where."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = _listen(host, port)
        shown = "127.0.0.1" if host in ("", "0.0.0.0") else host
        self.url = f"http://{shown}:{self._socket.getsockname()[1]}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, api: FastAPI) -> None:
        """Begin to serve; returns at once."""
        config = uvicorn.Config(
            api,
            log_config=None,
            log_level="warning",
            lifespan="off",
            ws="websockets-sansio",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)  # installs no signal handlers outside the main thread
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="server", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and the port; may be called again."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=3.0)
        self._socket.close()


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        reason = error.strerror if isinstance(error, OSError) else "a port is a number from 0 to 65535"
        words = f"cannot serve the page on {host} port {port}: {reason or error}"
        raise ConfigError(f"{words}; choose another with port=8001, or port=0 for a free one") from error
    return listening
