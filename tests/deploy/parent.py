"""A parent with three workers, to be killed: `python parent.py SESSION FOLDER`. Prints their process ids."""

import os
import sys
import threading
import time
from pathlib import Path

from deploy.worker import Worker, spawn


def main() -> None:
    session, folder = sys.argv[1], Path(sys.argv[2])
    workers: list[Worker] = []

    def start() -> None:
        for kind in ("turn", "deaf", "stuck_in_c"):
            workers.append(spawn(f"children:{kind}", session, {"left": str(folder / "left")}, folder, kind))

    thread = threading.Thread(target=start)  # a child must not end with the thread that started it
    thread.start()
    thread.join()
    print(os.getpid(), *(worker.pid for worker in workers), flush=True)
    time.sleep(60.0)


if __name__ == "__main__":
    main()
