"""What holds for every test: no screen, no sound, few threads, nothing fetched from anywhere."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two cores; threads that spin between calls starve the other processes
os.environ.setdefault("HF_HUB_OFFLINE", "1")
