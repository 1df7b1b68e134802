"""Processes that use a store which others use too."""

import os
import sys
import time
from pathlib import Path

from deploy.bench.known import known, problems, record
from robot_stack.store import Store
from robot_stack.types import StoreError


def take_turns(path: Path, first: int, count: int) -> None:
    """Record episodes of the numbers from `first` on, each as soon as no other process writes; print the refusals."""
    refused = set()
    while count:
        try:
            with Store.open(path) as store:
                record(store, first, 2)
            first, count = first + 1, count - 1
        except StoreError as error:
            refused.add(str(error))
            time.sleep(0.002)
    print(*refused, sep="\n")


def look_without_permission(path: Path) -> None:
    """Read a store that cannot be written, then try to; print what is read and what is said."""
    list(problems(Store.open(path)))  # what is imported late, while files of root can be read
    for folder, _, files in os.walk(path):
        os.chmod(folder, 0o555)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)
    if os.geteuid() == 0:
        os.setuid(65534)  # nobody; root may write anywhere
    store = Store.open(path)
    print([*map(known, store.episodes)], *problems(store))
    for change in (lambda: record(store, 9, 1), lambda: store.delete(["ep-000000"]), store.undo, store.salvage):
        try:
            change()
        except StoreError as error:
            print(error)


if __name__ == "__main__":
    if sys.argv[1] == "take turns":
        take_turns(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        look_without_permission(Path(sys.argv[2]))
