"""How near a compressed picture is to the original: what every figure about picture quality here is measured by."""

import numpy as np
from numpy.typing import NDArray

_WINDOW, _SIGMA = 11, 1.5  # of the Gaussian [px]
_K1, _K2 = 0.01, 0.03


def ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Structural similarity of two pictures (h, w) or (h, w, channels), at least 11x11; 1 when they are equal.

    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", 2004, equation 13 with their constants, averaged over all whole windows and all channels.
    """
    x, y = a.astype(np.float64), b.astype(np.float64)
    c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    variance_x, variance_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((luminance * structure).mean())


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures [dB]; infinite when they are equal."""
    error = np.square(a.astype(np.float64) - b).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def _blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gaussian mean around each point whose window is whole: (h, w, ...) to (h - 10, w - 10, ...)."""
    import cv2  # 0.1 s that only who measures waits for

    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA)
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))
    blurred: NDArray[np.float64] = cv2.sepFilter2D(values, -1, kernel, kernel)[inside, inside]
    return blurred
