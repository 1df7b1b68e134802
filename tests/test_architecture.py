"""The arrows of the imports, and the promises that no single module can keep."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("robot_stack", "policies", "teleop", "deploy")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

MAY_IMPORT = {
    "robot_stack": {"robot_stack"},
    "policies": {"policies", "robot_stack"},
    "teleop": {"teleop", "robot_stack"},
    "deploy": set(PACKAGES),
}
GROUND = {"types", "spec", "station", "clock", "bus", "pose", "kinematics", "robots", "tcp"}  # of a device driver
DEVICES = ("robot_stack.arms", "robot_stack.grippers", "robot_stack.cameras")
LEARNING = {"torch", "torchvision", "diffusers", "lerobot"}
PICKLES = {"pickle", "dill", "cloudpickle", "shelve", "marshal"}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, *, at_import_time: bool = False) -> Iterator[str]:
    """Full names of the modules that a file imports: anywhere in it, or only when it is itself imported."""
    todo: list[ast.AST] = [ast.parse(path.read_text())]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif at_import_time and (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_typing_only(node)):
            continue
        todo.extend(ast.iter_child_nodes(node))


def is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def ids(path: Path) -> str:
    return name_of(path)


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_packages_import_along_the_arrows(path: Path) -> None:
    package = name_of(path).split(".")[0]
    crossing = (roots(path) & set(PACKAGES)) - MAY_IMPORT[package]
    assert not crossing, f"{package} imports {crossing}"


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_only_policies_import_torch(path: Path) -> None:
    if not re.match(r"policies|deploy\.bench\.\w+_rival", name_of(path)):  # a bench's rivals, in their own process
        assert not roots(path) & LEARNING


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_nothing_is_pickled(path: Path) -> None:
    assert not roots(path) & PICKLES
    assert "allow_pickle=True" not in path.read_text()


@pytest.mark.parametrize("path", MODULES, ids=ids)
def test_every_module_is_named_for_a_concept(path: Path) -> None:
    assert not set(name_of(path).split(".")) & {
        "utils",
        "util",
        "common",
        "helpers",
        "helper",
        "manager",
        "misc",
        "base",
    }


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith(DEVICES)], ids=ids)
def test_devices_know_the_ground_only(path: Path) -> None:
    own = {name for name in imports(path) if name.startswith("robot_stack.")}
    kind = name_of(path).split(".")[1]
    allowed = GROUND | {kind} | ({"sim"} if path.stem == "sim" else set())
    assert {name.split(".")[1] for name in own} <= allowed


def test_the_control_step_waits_for_nobody() -> None:
    """What control.py imports, and what that imports in turn, holds no network, no web, no store, no picture."""
    loaded = modules_after("import robot_stack.control")
    assert not loaded & {"torch", "fastapi", "zarr", "cv2", "uvicorn", "hydra", "matplotlib"}


def test_the_page_never_touches_a_device() -> None:
    path = ROOT / "deploy" / "api.py"
    used = {name for name in imports(path) if name.startswith((*DEVICES, "teleop", "policies"))}
    assert used <= {"teleop", "teleop.browser"}, "what the browser says is parsed in teleop.browser; nothing else"


@pytest.mark.parametrize(
    "module", ["robot_stack", *(f"robot_stack.{name}" for name in sorted(GROUND | {"observe", "trajectory", "safety"}))]
)
def test_the_ground_is_light(module: str) -> None:
    assert not modules_after(f"import {module}") & {"torch", "cv2", "zarr", "fastapi", "lerobot", "matplotlib"}


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith(DEVICES)], ids=ids)
def test_a_driver_loads_its_vendors_library_only_when_it_is_used(path: Path) -> None:
    vendors = {"rtde_control", "rtde_receive", "pyrealsense2", "cv2", "franky", "panda_py", "mujoco"}
    assert not {name.split(".")[0] for name in imports(path, at_import_time=True)} & vendors


def modules_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listing.returncode:
        pytest.skip("not a git repository")
    return [ROOT / name for name in listing.stdout.split("\0") if name]


def test_no_file_names_a_private_place() -> None:
    """No home of a machine and no address of a package registry: they differ from machine to machine."""
    private = re.compile(
        r"/(?:home|Users)/\w+|/root/|/work/(?!\w*\.)|pypi\.org|pythonhosted|registry\.npmjs|deb\.debian"
    )
    own = Path(__file__)
    for path in tracked_files():
        if (
            path != own
            and path.exists()
            and path.suffix in {"", ".py", ".md", ".yaml", ".toml", ".lock", ".sh", ".html", ".js"}
        ):
            found = private.search(path.read_text(errors="ignore"))
            assert not found, f"{path.relative_to(ROOT)} names {found.group()}"


def required(project: dict[str, Any]) -> list[str]:
    return [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]


def test_every_dependency_says_what_it_is_for() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    for requirement in required(project):
        line = next(line for line in text.splitlines() if f'"{requirement}"' in line)
        assert re.search(r"#\s*\w+", line), f"{requirement} has no comment"


def test_every_dependency_is_locked_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = re.findall(r"^([a-z0-9._-]+)==", lock, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in required(project):
        name = re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-")
        assert name in pinned, f"{name} is not in requirements.lock: make lock"
    assert lock.count("--hash=sha256:") >= len(pinned)


def test_every_yaml_belongs_to_a_verb_or_a_group() -> None:
    from robot_stack.cli import VERBS

    commands = {name for name, verb in VERBS.items() if not verb.actions}
    commands |= {f"{name}_{action}" for name, verb in VERBS.items() for action in verb.actions}
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} == commands


def test_the_newcomers_path_through_the_code_is_short() -> None:
    table = (ROOT / "README.md").read_text().split("The path, in this order")[1].split("After it")[0]
    files = re.findall(r"^\| `(\S+\.py)`", table, re.MULTILINE)
    assert len(files) > 4
    assert sum(len((ROOT / file).read_text().splitlines()) for file in files) < 1000
