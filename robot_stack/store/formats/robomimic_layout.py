"""Where a field lies in a demonstration of robomimic, for the way in and the way out.

`demo_0/obs/agentview_image` is our `image.agentview`; other observations keep their names. What is no observation
(`actions`, `rewards`, `dones`, `states`, our commands, times and labels) lies beside `obs`.
Layout: https://robomimic.github.io/docs/datasets/overview.html
"""

from robot_stack.spec import Field, Spec
from robot_stack.store.timing import SUFFIX

_STEP = ("time", "source", "mode", "limited", "actions", "rewards", "dones", "states")
_COMMANDS = ("requested.", "proposed.", "target.")
_CAMERA, _PICTURE = "image.", "_image"


def field_name(path: str) -> str:
    """The field of the data set at a path in a demonstration."""
    key = path.removeprefix("obs/").replace("/", ".")
    if path.startswith("obs/") and key.endswith(_PICTURE) and key != _PICTURE:
        return _CAMERA + key.removesuffix(_PICTURE)
    return key if path.startswith("obs/") or key not in ("obs", "next_obs") else f"{key}_"


def field_path(name: str, spec: Spec) -> str:
    """Where a field goes that was not in a file of robomimic before."""
    if name in _STEP or name.startswith(_COMMANDS):
        return name
    picture = name.removeprefix(_CAMERA) + _PICTURE
    is_picture = name.startswith(_CAMERA) and not name.endswith(SUFFIX) and picture not in spec
    return f"obs/{picture if is_picture else name}"


def paths_of(spec: Spec, known: dict[str, str]) -> dict[str, str]:
    """Field -> path. known: where they lay in the file that they came from."""
    return {name: known.get(name, field_path(name, spec)) for name in spec.fields}


def observed(paths: dict[str, str]) -> list[str]:
    """Paths of the observations."""
    return [path for path in paths.values() if path.startswith("obs/")]


def base_fields() -> Spec:
    """What every row has."""
    return Spec([Field("time", unit="s"), Field("source", dtype="u1")])
