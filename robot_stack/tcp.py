"""A TCP connection to a device, or the reason why there is none."""

import socket

from robot_stack.types import DeviceError


def connect(host: str, port: int, what: str, timeout: float = 2.0) -> socket.socket:
    """A connection whose later calls also end after `timeout` [s]; DeviceError says what to look at.

    what: what should listen there, in words: "the dashboard of the UR controller".
    """
    where = f"{what} at {host}, port {port}"
    try:
        connection = socket.create_connection((host, port), timeout)
    except socket.gaierror as error:
        raise DeviceError(f"cannot reach {where}: no address of that name ({error.strerror}). Check `host`") from error
    except TimeoutError as error:
        raise DeviceError(
            f"cannot reach {where}: no answer in {timeout:.0f} s. Is it switched on, on this network, and not behind a "
            "firewall?"
        ) from error
    except ConnectionRefusedError as error:
        raise DeviceError(
            f"cannot reach {where}: the connection was refused. Nothing listens there: is the address the right one, "
            "and has the device finished starting?"
        ) from error
    except OSError as error:
        raise DeviceError(f"cannot reach {where}: {error.strerror or error}. Check `host` and the cable") from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
