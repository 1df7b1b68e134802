"""Pictures without a screen: MuJoCo's renderer on EGL (a GPU, or Mesa's software) or OSMesa."""

import os
import weakref

import mujoco
import numpy as np

from robot_stack.types import DeviceError, Image


class Renderer:
    """Draws what one camera of a model sees, without shadows and reflections."""

    def __init__(self, model: mujoco.MjModel, camera: str, height: int, width: int) -> None:
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        self._model = model
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._context = _gl_context(width, height)
        self._context.make_current()
        self._mjr = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._mjr)
        self._scene = mujoco.MjvScene(model, maxgeom=model.ngeom + 50)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_HAZE):
            self._scene.flags[flag] = 0
        self._option = mujoco.MjvOption()
        self._option.sitegroup[:] = 0
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = model.camera(camera).id
        self._image = np.zeros((height, width, 3), np.uint8)
        self.close = weakref.finalize(self, _free, self._mjr, self._context)  # at exit, too, while OpenGL is there

    def render(self, data: mujoco.MjData) -> Image:
        """A picture (height, width, 3) of the model in this state, whose kinematics are up to date."""
        mujoco.mj_camlight(self._model, data)
        everything = mujoco.mjtCatBit.mjCAT_ALL.value
        mujoco.mjv_updateScene(self._model, data, self._option, None, self._camera, everything, self._scene)
        self._context.make_current()
        mujoco.mjr_render(self._rect, self._scene, self._mjr)
        mujoco.mjr_readPixels(self._image, None, self._rect, self._mjr)
        return np.ascontiguousarray(self._image[::-1])  # OpenGL counts rows from below


def _free(mjr: mujoco.MjrContext, context: "mujoco.GLContext") -> None:
    context.make_current()
    mjr.free()
    context.free()


def _gl_context(width: int, height: int) -> "mujoco.GLContext":
    """A context of the kind that MUJOCO_GL names, else EGL, else OSMesa."""
    wanted = os.environ.get("MUJOCO_GL")
    failures = []
    for kind in [wanted] if wanted in ("egl", "osmesa") else ["egl", "osmesa"]:
        try:
            if kind == "egl":
                from mujoco.egl import GLContext
            else:
                from mujoco.osmesa import GLContext
            return GLContext(width, height)
        except Exception as error:  # PyOpenGL raises whatever its loader happens to meet
            failures.append(f"{kind}: {error}")
    raise DeviceError(
        "no way to draw without a screen (" + "; ".join(failures) + "); on Debian install libegl1 libgl1-mesa-dri"
    )
