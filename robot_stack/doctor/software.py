"""Checks of what is installed. What could crash the process is tried in a process of its own."""

import importlib.metadata
import os
import platform
import subprocess
import sys
import time

from robot_stack.doctor.finding import Finding, fail, ok, warn

TRIAL = 20.0
"""How long a trial in a process of its own may take on a busy machine [s]."""


def python() -> Finding:
    """The one Python that the locked packages are made for."""
    found = platform.python_version()
    if found.startswith("3.12."):
        return ok("Python", found)
    return fail(
        "Python", found, "the locked packages are made for 3.12", "run through make, which makes .venv with 3.12"
    )


def simulator() -> Finding:
    """MuJoCo, which also computes the kinematics."""
    version = importlib.metadata.version("mujoco")
    if int(version.split(".")[0]) < 4:
        return ok("MuJoCo", version)
    return fail(
        "MuJoCo",
        version,
        "4.0.0 has a wrong sparse solver: scenes diverge",
        "make setup, after deleting .venv/made-from",
    )


def opencv() -> Finding:
    """One cv2, and one that can calibrate: two wheels own the same folder, and 5.0 lost a function."""
    wheels = [d.name for d in importlib.metadata.distributions() if d.name.startswith("opencv")]
    trial = attempt("import cv2; print(cv2.__version__, hasattr(cv2, 'calibrateHandEye'))")
    if trial.returncode:
        return fail("OpenCV", last_line(trial.stderr), "no UVC cameras, no calibration", "make setup names the package")
    version, calibrates = trial.stdout.split()
    if calibrates == "True" and len(wheels) == 1:
        return ok("OpenCV", version)
    return fail(
        "OpenCV",
        f"{version} from {', '.join(sorted(wheels))}; calibrateHandEye: {calibrates}",
        "no hand-eye calibration, or a cv2 mixed of two versions",
        "delete .venv and call make again: it holds one wheel, 4.13",
    )


def shared_memory_bus() -> Finding:
    """The bus comes up; what killed processes left behind is cleared away."""
    from robot_stack.bus import clean_dead_nodes

    cleaned = clean_dead_nodes()
    return ok(
        "bus", "iceoryx2 works; " + (f"cleared up after {cleaned} killed processes" if cleaned else "no leftovers")
    )


def rendering() -> Finding:
    """Really renders one pixel without a screen."""
    start = time.monotonic()
    trial = attempt(RENDER_ONE_PIXEL, MUJOCO_GL="egl")
    seconds = time.monotonic() - start
    if trial.returncode:
        return fail(
            "rendering",
            f"EGL does not work: {last_line(trial.stderr)}",
            "no camera pictures in simulation",
            "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri (make does it as root)",
        )
    renderer = trial.stdout.strip()
    found = f"EGL without a screen: {renderer} (first picture after {seconds:.1f} s)"
    if "llvmpipe" in renderer:
        return warn(
            "rendering",
            found,
            "the simulated cameras are drawn by the processor: each takes part of a core",
            "nothing for the demo; a GPU with its driver's EGL makes it free",
        )
    return ok("rendering", found)


def ur_driver() -> Finding:
    """The driver of Universal Robots' arms."""
    trial = attempt("import rtde_control, rtde_receive")
    if trial.returncode == 0:
        return ok("UR driver", f"ur_rtde {importlib.metadata.version('ur-rtde')}")
    return warn("UR driver", last_line(trial.stderr), "no UR arm can be driven", "delete .venv and call make again")


RENDER_ONE_PIXEL = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><geom size="1" rgba="1 1 1 1"/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 16, 16) as renderer:
    renderer.update_scene(data)
    assert renderer.render().any(), "the picture is black"
    from OpenGL import GL
    print(GL.glGetString(GL.GL_RENDERER).decode())
"""


def attempt(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own, which may crash or hang without harm."""
    command = [sys.executable, "-c", code]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TRIAL, env={**os.environ, **environment})
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {TRIAL:.0f} s")


def last_line(text: str) -> str:
    """The line of a traceback that says what happened."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "it crashed without a word"
