"""Exports to LeRobot that are killed at every n-th call to the file system; see `killed`."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from killed import main
from sources import fill, same

from robot_stack.spec import Field, Spec
from robot_stack.store import Store
from robot_stack.store.formats import export, import_source, open_source

SPEC = Spec([Field("time", unit="s"), Field("q", (2,)), Field("image.front", (36, 40, 3), "u1")])


def send(folder: Path) -> None:
    export(Store.open(folder.parent / "store"), folder / "out", "lerobot", pictures="image")


def check(folder: Path) -> None:
    if not (folder / "out").exists():
        send(folder)
    import_source(open_source(folder / "out"), folder / "again")
    same(Store.open(folder.parent / "store"), Store.open(folder / "again"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        fill(Path(temporary) / "store", SPEC, [3, 5])
        main(send, check, Path(temporary), int(sys.argv[1]))
