"""The one exporter: writes episodes in another format at a temporary place, reads them back, then renames."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from robot_stack.store.formats.protocol import Exported
from robot_stack.store.store import Store
from robot_stack.types import StoreError

EXPORTS = {
    "lerobot": "robot_stack.store.formats.lerobot_export:LeRobotExport",
    "lerobot2.1": "robot_stack.store.formats.lerobot_export:LeRobot21Export",
    "diffusion_policy": "robot_stack.store.formats.diffusion_policy_export:ReplayBufferExport",
    "robomimic": "robot_stack.store.formats.robomimic_export:RobomimicExport",
    "csv": "robot_stack.store.formats.tables:CsvExport",
    "parquet": "robot_stack.store.formats.tables:ParquetExport",
}
"""Format -> module:class of the protocol `Export`. The module is imported when it is needed."""


def export(
    store: Store,
    destination: str | Path,
    format: str,
    progress: Callable[[float, str], None] = lambda done, note: None,
    **options: Any,
) -> Exported:
    """Write all episodes of a store (or view) to `destination`, each read back from disk and compared.

    progress: called with episodes done (a half each for written and for read back) and a word. options: of the format.
    Nothing is under the final name before it is whole; an interrupted export continues at `<destination>.partial`.
    """
    raise NotImplementedError  # in work


def compare(where: str, name: str, wanted: NDArray[Any], got: NDArray[Any]) -> None:
    """Raise StoreError unless two blocks of a field are the same bit for bit."""
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        found, expected = f"{got.dtype}{list(got.shape)}", f"{wanted.dtype}{list(wanted.shape)}"
        raise StoreError(f"{where} does not read back as it was written: {name} is {found}, expected {expected}")
    if wanted.tobytes() != got.tobytes():
        raise StoreError(f"{where} does not read back as it was written: {name} differs; check the disk, export again")
