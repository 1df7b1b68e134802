// The pictures of the shown row. Those of the next rows are fetched before they are wanted.

import { element } from "./server.js";

const AHEAD = 24; // rows fetched before they are wanted
const AT_ONCE = 4; // requests under way, of the six that a browser allows
const KEPT_BYTES = 192 * 2 ** 20; // of decoded pictures

export class Cameras {
  constructor(box, shown) {
    this.box = box;
    this.shown = shown;
    this.names = [];
    this.pictures = new Map(); // "camera step" -> ImageBitmap, or a string that says why there is none; oldest first
    this.underWay = new Map(); // "camera step" -> AbortController
    this.bytes = 0;
  }

  open() {
    const { cameras } = this.shown.episode;
    for (const picture of this.pictures.values()) picture.close?.();
    for (const request of this.underWay.values()) request.abort();
    this.pictures.clear();
    this.underWay.clear();
    this.bytes = 0;
    this.names = Object.keys(cameras);
    this.figures = this.names.map((name) => {
      const [height, width] = cameras[name];
      const canvas = Object.assign(document.createElement("canvas"), { width, height, id: `camera-${name}` });
      const figure = element("figure", "", canvas, element("figcaption", "", name.replace(/^image\./, "")));
      return { name, figure, canvas };
    });
    this.box.replaceChildren(...this.figures.map(({ figure }) => figure));
    this.box.hidden = this.names.length === 0;
  }

  // Whether all pictures of that row are here, or can never be.
  has(step) {
    return step >= this.shown.rows || this.names.every((name) => this.pictures.has(`${name} ${step}`));
  }

  show(step) {
    for (const { name, figure, canvas } of this.figures) {
      const picture = this.pictures.get(`${name} ${step}`);
      if (picture instanceof ImageBitmap) canvas.getContext("2d").drawImage(picture, 0, 0);
      figure.classList.toggle("broken", typeof picture === "string");
      figure.title = typeof picture === "string" ? picture : "";
      figure.dataset.step = picture instanceof ImageBitmap ? step : "";
    }
    this.fetchFrom(step);
  }

  // Fetch what is missing from that row on, nearest first; forget requests for rows that nobody waits for any more.
  fetchFrom(step) {
    const wanted = [];
    for (let next = step; next < Math.min(step + AHEAD, this.shown.rows); next++)
      for (const name of this.names) if (!this.pictures.has(`${name} ${next}`)) wanted.push([name, next]);
    const keys = new Set(wanted.map((pair) => pair.join(" ")));
    for (const [key, request] of this.underWay) if (!keys.has(key)) request.abort();
    for (const [name, next] of wanted) {
      if (this.underWay.size >= AT_ONCE) return;
      if (!this.underWay.has(`${name} ${next}`)) this.fetch(name, next);
    }
  }

  async fetch(name, step) {
    const { episode } = this.shown;
    const key = `${name} ${step}`;
    const request = new AbortController();
    this.underWay.set(key, request);
    try {
      const path = `/api/episodes/${episode.id}/frames/${encodeURIComponent(name)}/${step}?version=${episode.version}`;
      const answer = await fetch(path, { signal: request.signal });
      const picture = answer.ok ? await createImageBitmap(await answer.blob()) : (await answer.json()).detail;
      if (this.shown.episode === episode && this.underWay.get(key) === request) this.keep(key, picture);
    } catch (error) {
      if (error.name !== "AbortError") return; // the server is gone: whoever asks for more says so
    } finally {
      if (this.underWay.get(key) === request) this.underWay.delete(key);
    }
    if (this.shown.episode !== episode) return;
    if (step === this.shown.step) this.show(step);
    else this.fetchFrom(this.shown.step);
  }

  keep(key, picture) {
    this.pictures.set(key, picture);
    this.bytes += size(picture);
    for (const [old, forgotten] of this.pictures) {
      if (this.bytes <= KEPT_BYTES) return;
      this.pictures.delete(old);
      this.bytes -= size(forgotten);
      forgotten.close?.();
    }
  }
}

const size = (picture) => (picture instanceof ImageBitmap ? 4 * picture.width * picture.height : 0);
