"""What is recorded in `bench store`: a simulated arm at work, seen by cameras that have noise, over and over."""

import numpy as np
from numpy.typing import NDArray

FRAMES = 60
"""Different pictures of each camera. They are shown forwards and backwards, so that there is no cut in the film."""

FILMED = 30.0
"""Pictures a second [Hz]."""

NOISE, SMOOTHED = 1.0, 0.7
"""Of a pixel, standard deviation [grey levels], and how far a camera spreads it [px]: a lit room, demosaiced."""

_SWING = np.array([0.25, -0.2, 0.25, 0.2, 0.3, 0.4])  # of the joints about where they begin [rad]


def film(cameras: int, size: tuple[int, int], frames: int = FRAMES, seed: int = 0) -> NDArray[np.uint8]:
    """Pictures (frames, cameras, height, width, 3). size: (height, width) [px].

    The cameras see the robot from the front, from its wrist, and from the front again, mirrored and shifted.
    """
    from robot_stack.sim.world import World  # MuJoCo, for this part alone

    world = World("ur5e", "lift", {"front": size, "wrist": size})
    generator = np.random.default_rng(seed)
    pictures = np.empty((frames, cameras, *size, 3), np.uint8)
    try:
        home = world.arm(0.0).q
        for number in range(frames):
            world.servo(home + _SWING * np.sin(2 * np.pi * number / FRAMES))
            world.step(1 / FILMED)
            seen = [world.render("front"), world.render("wrist")]
            seen.append(np.roll(seen[0][:, ::-1], size[1] // 8, axis=1))
            for camera in range(cameras):
                pictures[number, camera] = _noisy(seen[camera], generator)
    finally:
        world.close()
    return pictures


def shown(number: NDArray[np.int64] | int, frames: int) -> NDArray[np.int64]:
    """Which picture of a film of `frames` is shown as the `number`-th: 0, 1, … and back."""
    step = np.asarray(number) % max(1, 2 * frames - 2)
    return np.minimum(step, 2 * frames - 2 - step) if frames > 1 else np.zeros_like(step)


def _noisy(picture: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    import cv2  # 0.1 s that only who films waits for

    noise = cv2.GaussianBlur(generator.standard_normal(picture.shape, np.float32), (0, 0), SMOOTHED)
    noisy: NDArray[np.uint8] = np.clip(np.rint(picture + noise * (NOISE / noise.std())), 0, 255).astype(np.uint8)
    return noisy


def motion(rows: int, joints: int = 6) -> NDArray[np.float64]:
    """Where the joints are in each row (rows, joints) [rad]."""
    return np.sin(0.02 * np.arange(rows)[:, None] + np.arange(joints))
