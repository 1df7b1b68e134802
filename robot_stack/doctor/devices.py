"""Checks of what is plugged in."""

import os
from pathlib import Path

from robot_stack.doctor.finding import Finding, ok, warn
from robot_stack.doctor.software import attempt, last_line

INTEL = "8086"
"""USB vendor number of RealSense cameras."""

LIST_REALSENSE = """
import pyrealsense2 as rs
for device in rs.context().query_devices():
    print(device.get_info(rs.camera_info.name), device.get_info(rs.camera_info.serial_number))
"""


def realsense() -> Finding:
    """The library loads (it needs libusb), and what it sees."""
    trial = attempt(LIST_REALSENSE)
    if trial.returncode:
        remedy = "apt-get install libusb-1.0-0 libudev1 (make does it as root)"
        return warn("RealSense", last_line(trial.stderr), "no RealSense camera can be used", remedy)
    cameras = trial.stdout.strip().splitlines()
    plugged = _usb_products(INTEL, "RealSense")
    if len(cameras) < len(plugged):
        cost = f"{len(plugged)} plugged in, {len(cameras)} can be opened"
        remedy = "install librealsense's udev rules, or end the program that holds it; then plug it in again"
        return warn("RealSense", ", ".join(plugged), cost, remedy)
    return ok("RealSense", ", ".join(cameras) or "library works; no camera plugged in")


def _usb_products(vendor: str, name: str) -> list[str]:
    """Product names of the plugged-in USB devices of a vendor."""
    devices = [
        file.parent for file in Path("/sys/bus/usb/devices").glob("*/idVendor") if file.read_text().strip() == vendor
    ]
    products = [(device / "product").read_text().strip() for device in devices if (device / "product").exists()]
    return [product for product in products if name in product]


def video() -> Finding:
    """UVC cameras, and the permission to open them."""
    nodes = sorted(Path("/dev").glob("video*"))
    if denied := [node.name for node in nodes if not os.access(node, os.R_OK | os.W_OK)]:
        cost, remedy = (
            "they cannot be opened",
            f"sudo usermod -aG video {os.environ.get('USER', 'you')}, and log in again",
        )
        return warn("USB cameras", f"no permission for {', '.join(denied)}", cost, remedy)
    return ok("USB cameras", ", ".join(node.name for node in nodes) or "none plugged in")
