"""Brings a data set from the Hugging Face hub onto this machine."""

import re
from pathlib import Path

from robot_stack.types import StoreError

_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def find(path_or_id: str) -> Path:
    """The folder of a data set: a path as it is, a hub id `owner/name` after a download that continues if cut off."""
    path = Path(path_or_id)
    if path.exists() or not _ID.fullmatch(path_or_id):
        return path
    return _download(path_or_id)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(name, repo_type="dataset", ignore_patterns=["images/*"]))
    except GatedRepoError as error:
        raise StoreError(
            f"{name} is gated: ask for access on its page on the hub, then `hf auth login` and import again"
        ) from error
    except RepositoryNotFoundError as error:
        raise StoreError(
            f"there is no data set {name!r} on the hub and no folder of that name here, or it is private: "
            "check the spelling, or `hf auth login`"
        ) from error
    except (LocalEntryNotFoundError, ConnectionError) as error:
        raise StoreError(
            f"{name} is not a folder here, not in the download cache, and the hub cannot be reached: connect this "
            f"machine, or `hf download {name} --repo-type dataset --local-dir DIR` on another, and import from DIR"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise StoreError(f"{name} cannot be downloaded ({error}); import again: it continues where it was") from error
