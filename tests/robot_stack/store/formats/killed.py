"""Imports or exports that are killed at every n-th call to the file system, each followed by one that goes on.

Prints at how many calls it was killed; fails when one does not come to the same end.
"""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[4]))
sys.path.insert(0, str(Path(__file__).parent))

from sources import SPEC, Numbers, fill, same

from robot_stack.store import Store
from robot_stack.store.formats import export, import_source, open_source


def die_at(number: int) -> None:
    """Kill this process at the `number`-th call to the file system."""
    calls = 0

    def fatal(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **options)

        return call

    for name in ("rename", "replace", "fsync", "mkdir", "unlink", "rmdir"):
        setattr(os, name, fatal(getattr(os, name)))


def in_child(work: Callable[[], None], kill: int = 0) -> int:
    """Do it in a child process, killed at a call; its exit status."""
    child = os.fork()
    if child == 0:
        if kill:
            die_at(kill)
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def bring(folder: Path) -> None:
    import_source(Numbers((4, 0, 5)), folder / "s")


def check_import(folder: Path) -> None:
    bring(folder)
    store = Store.open(folder / "s")
    assert [(len(e), e.attrs["source_episode"]) for e in store.episodes] == [(4, 0), (5, 2)]
    assert not any(e.attrs["salvaged"] for e in store.episodes)
    assert all((e["q"] == e.attrs["source_episode"] + e["time"][:, None]).all() for e in store.episodes)


def send(folder: Path) -> None:
    export(Store.open(folder.parent / "store"), folder / "out.zarr", "diffusion_policy", action=["q"])


def check_export(folder: Path) -> None:
    if not (folder / "out.zarr").exists():
        send(folder)
    assert os.listdir(folder) == ["out.zarr"] or Path(folder / "out.zarr.partial").exists()
    import_source(open_source(folder / "out.zarr"), folder / "again")
    same(Store.open(folder.parent / "store"), Store.open(folder / "again"))


def main(work: Callable[[Path], None], check: Callable[[Path], None], folder: Path, every: int) -> None:
    status, kill, killed = 0, 1, 0
    while kill == 1 or os.WIFSIGNALED(status):
        place = folder / str(kill)
        place.mkdir()
        status = in_child(lambda place=place: work(place), kill)
        killed += os.WIFSIGNALED(status)
        if in_child(lambda place=place: check(place)):
            sys.exit(f"killed at call {kill}, it did not come to the same end")
        shutil.rmtree(place)
        kill += every
    print(killed)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        if sys.argv[1] == "import":
            main(bring, check_import, Path(temporary), int(sys.argv[2]))
        else:
            fill(Path(temporary) / "store", SPEC, [3, 5])
            main(send, check_export, Path(temporary), int(sys.argv[2]))
