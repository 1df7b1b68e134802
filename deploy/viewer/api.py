"""What the viewer's page asks: episodes, curves and pictures out, corrections in.

    GET  /api/store                                     what the store is, and what can be filtered by
    GET  /api/episodes?verdict=&task=&operator=&text=&deleted=&offset=&limit=      a page of the list, oldest first
    GET  /api/episodes/{id}                             attributes, cameras, curves, who flew when, missing rows
    GET  /api/episodes/{id}/findings                    what is wrong with it; done: false while it is looked for
    GET  /api/episodes/{id}/curves/{quantity}?start=&stop=&points=
    GET  /api/episodes/{id}/rows/{step}                 time, source, ages and values of one row
    GET  /api/episodes/{id}/frames/{camera}/{step}      JPEG
    POST /api/edits/{delete|relabel|trim|split|undo}    see deploy/viewer/edits.py
    GET  /api/edits                                     the newest edits, newest first

What is not there is answered 404, what cannot be asked 422, an edit that the store refuses 409; all with words.
"""

from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel

from deploy.api import SameOrigin
from deploy.viewer import edits
from deploy.viewer.catalogue import Filter, facets, page_of
from deploy.viewer.checker import Checker
from deploy.viewer.frames import Frames
from deploy.viewer.library import Library, OpenEpisode, pictures
from deploy.viewer.plots import Quantity, numbers, quantities, thinned, values
from deploy.viewer.timeline import timeline
from robot_stack.store.timing import streams
from robot_stack.types import RobotStackError, Source, StoreError

PAGE = FilePath(__file__).parent / "page"
FOREVER = {"Cache-Control": "private, max-age=86400, immutable"}
"""For what is asked for by the version of its episode: other rows have another address."""


def app(library: Library) -> FastAPI:
    """The application."""
    api = FastAPI(title="robot-stack data view", docs_url="/api/docs", redoc_url=None, openapi_url="/api/openapi.json")
    api.add_middleware(SameOrigin)
    _add_store(api, library)
    _add_episode(api, library)
    _add_frames(api, library)
    edits.add(api, library)

    @api.exception_handler(RobotStackError)
    async def damaged(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 409 if request.method == "POST" else 500)

    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-store"})

    api.mount("/viewer", StaticFiles(directory=PAGE), name="viewer")
    return api


def _opened(library: Library, episode: str) -> OpenEpisode:
    try:
        return library.open(episode)
    except KeyError:
        words = f"no episode {episode!r} in {library.store.name}; it has {len(library.episodes)}, see the list"
        raise HTTPException(404, words) from None


def _check_step(opened: OpenEpisode, step: int) -> None:
    if not 0 <= step < len(opened.episode):
        words = f"no row {step} in {opened.episode.id}: expected 0 to {len(opened.episode) - 1}"
        raise HTTPException(422, words)


class Range(BaseModel):
    """Rows start..stop, in at most so many points."""

    start: Annotated[int, Query(ge=0)] = 0
    stop: int | None = None
    points: Annotated[int, Query(ge=2, le=10_000)] = 600

    def of(self, rows: int) -> tuple[int, int]:
        """The rows of an episode of so many; 422 if it has them not."""
        stop = rows if self.stop is None else self.stop
        if not self.start < stop <= rows:
            raise HTTPException(422, f"no rows {self.start}:{stop}: expected 0 <= start < stop <= {rows}")
        return self.start, stop


def _add_store(api: FastAPI, library: Library) -> None:
    @api.get("/api/store")
    def store() -> dict[str, Any]:
        found = library.store
        broken = found.catalog.broken
        return {"path": found.name, "station": found.station, "facets": facets(library), "broken": broken}

    @api.get("/api/episodes")
    def episodes(
        chosen: Annotated[Filter, Query()],
    ) -> dict[str, Any]:
        return page_of(library, chosen)


def _add_episode(api: FastAPI, library: Library) -> None:
    checker = Checker()

    @api.get("/api/episodes/{episode}")
    def episode(episode: str) -> dict[str, Any]:
        opened = _opened(library, episode)
        found = opened.episode
        cameras = {field.name: list(field.shape[:2]) for field in pictures(list(found.spec))}
        return {
            "id": found.id,
            "version": opened.version,
            "attrs": found.attrs,
            "cameras": cameras,
            "quantities": [vars(quantity) for quantity in quantities(found.spec)],
            "streams": found.streams,
            **timeline(opened),
        }

    @api.get("/api/episodes/{episode}/findings")
    def findings(episode: str) -> dict[str, Any]:
        found = checker.findings(_opened(library, episode))
        return {"done": found is not None, "findings": [vars(finding) for finding in found or []]}

    @api.get("/api/episodes/{episode}/curves/{quantity}")
    def curves(episode: str, quantity: str, rows: Annotated[Range, Depends()]) -> dict[str, Any]:
        opened = _opened(library, episode)
        start, stop = rows.of(len(opened.episode))
        roles = _quantity(opened, quantity).roles
        spec = opened.episode.spec
        return {role: thinned(values(opened, spec, name), start, stop, rows.points) for role, name in roles.items()}

    @api.get("/api/episodes/{episode}/rows/{step}")
    def row(episode: str, step: int) -> dict[str, Any]:
        opened = _opened(library, episode)
        _check_step(opened, step)
        return _row(opened, step)


def _quantity(opened: OpenEpisode, name: str) -> Quantity:
    found = {quantity.name: quantity for quantity in quantities(opened.episode.spec)}
    if name not in found:
        raise HTTPException(404, f"no curves {name!r} of {opened.episode.id}; there are: {', '.join(found)}")
    return found[name]


def _row(opened: OpenEpisode, step: int) -> dict[str, Any]:
    """One row in numbers: time since the first [s], ages of the streams [s], values of all curves by role."""
    spec, time = opened.episode.spec, opened["time"]
    source = int(opened["source"][step]) if "source" in spec else Source.NOBODY
    return {
        "time": float(time[step] - time[0]),
        "source": Source(source).name.lower() if source in set(Source) else f"unknown {source}",
        "ages": {name: float(time[step] - opened[field][step]) for name, field in streams(spec).items()},
        "values": {
            quantity.name: {role: numbers(values(opened, spec, name)[step]) for role, name in quantity.roles.items()}
            for quantity in quantities(spec)
        },
    }


def _add_frames(api: FastAPI, library: Library) -> None:
    frames = Frames()

    @api.get("/api/episodes/{episode}/frames/{camera}/{step}")
    def frame(episode: str, camera: str, step: Annotated[int, Path()], version: str = "") -> Response:
        opened = _opened(library, episode)
        cameras = [field.name for field in pictures(list(opened.episode.spec))]
        if camera not in cameras:
            raise HTTPException(404, f"no camera {camera!r} in {episode}; there are: {', '.join(cameras) or 'none'}")
        _check_step(opened, step)
        headers = FOREVER if version == opened.version else {"Cache-Control": "no-store"}
        try:
            return Response(frames.jpeg(opened, camera, step), media_type="image/jpeg", headers=headers)
        except (StoreError, OSError) as error:
            raise HTTPException(500, f"{camera} of {episode} cannot be read: {error}") from error
