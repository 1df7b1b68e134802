"""Ways into the store and out of it: a format a file, one importer, one exporter.

    source = open_source("pusht_cchi_v7_replay.zarr")            # the format is recognised by looking
    import_source(source, "data/pusht")                          # streaming, resumable, read back and compared
    export(Store.open("data/pusht"), "pusht.zarr", "diffusion_policy")

A new format is a class of the protocol `Source` or `Export` and a line in the tables here.
"""

from robot_stack.store.formats.exporting import EXPORTS, export
from robot_stack.store.formats.importing import SOURCES, import_source, open_source
from robot_stack.store.formats.protocol import Export, Exported, Imported, Source, Stream

__all__ = [
    "EXPORTS",
    "SOURCES",
    "Export",
    "Exported",
    "Imported",
    "Source",
    "Stream",
    "export",
    "import_source",
    "open_source",
]
