"""An episode as a film in the page: what its cameras saw, side by side, over the colour of who flew."""

import base64
import io
from collections.abc import Iterator

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.report import figures
from robot_stack.interventions import Label, labels
from robot_stack.store import Episode
from robot_stack.store.arrays import is_frame
from robot_stack.types import Image

HEIGHT = 240  # of the pictures [px]
BAND = 12  # of the colour below them [px]
LONGEST = 600  # rows: a minute at 10 Hz; what is longer is shown faster


def film(episode: Episode) -> str:
    """The episode as a `<video>` that needs nothing beside the page; empty where it has no camera in colour.

    It plays as fast as it happened, unless it has more than `LONGEST` rows.
    """
    cameras = [f.name for f in episode.spec if is_frame(f) and f.dtype == "|u1" and f.shape[2:] == (3,)]
    if not cameras:
        return ""
    tags = labels(episode["source"], float(episode.attrs["rate"]), episode.attrs["kind"])
    names = ", ".join(name.removeprefix("image.") for name in cameras)
    faster = -(-len(episode) // LONGEST)
    words = f"{episode.id}: {names}" + (f", {faster} times as fast" if faster > 1 else "")
    source = "data:video/mp4;base64," + base64.b64encode(_encode(episode, cameras, tags, faster)).decode()
    video = f'<video controls loop muted src="{source}"></video>'
    return f'<figure class="film">{video}<figcaption>{words} {_legend(tags)}</figcaption></figure>'


def _legend(tags: NDArray[np.uint8]) -> str:
    present = [Label(int(tag)) for tag in np.unique(tags)]
    return " ".join(f'<i style="background:{figures.LABEL_COLOURS[t]}"></i>{figures.label_name(t)}' for t in present)


def _encode(episode: Episode, cameras: list[str], tags: NDArray[np.uint8], faster: int) -> bytes:
    """The film as an mp4 file: H.264, which every browser plays."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = None
        for image in _frames(episode, cameras, tags, faster):
            if stream is None:
                stream = container.add_stream("libx264", round(float(episode.attrs["rate"])), {"crf": "24"})
                stream.height, stream.width, stream.pix_fmt = image.shape[0], image.shape[1], "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        if stream is not None:
            container.mux(stream.encode(None))
    return file.getvalue()


def _frames(episode: Episode, cameras: list[str], tags: NDArray[np.uint8], faster: int) -> Iterator[Image]:
    for row in range(0, len(episode), faster):
        pictures = [_scaled(episode.read(name, row, row + 1)[0]) for name in cameras]
        yield np.vstack([np.hstack(pictures), _band(tags[row], sum(picture.shape[1] for picture in pictures))])


def _scaled(image: Image) -> Image:
    """At `HEIGHT`, and of an even width, as H.264 wants it."""
    width = 2 * round(image.shape[1] * HEIGHT / image.shape[0] / 2)
    return np.asarray(cv2.resize(image, (width, HEIGHT), interpolation=cv2.INTER_AREA))


def _band(label: int, width: int) -> NDArray[np.uint8]:
    colour = figures.LABEL_COLOURS[Label(int(label))]
    return np.full((BAND, width, 3), [int(colour[k : k + 2], 16) for k in (1, 3, 5)], np.uint8)
