// The list of episodes. Only the lines in sight exist, and a page of them is asked for when it comes into sight.

import { element, get } from "./server.js";

const HEIGHT = 44; // of a line [px]
const PAGE = 200; // lines asked for at once

const $ = (id) => document.getElementById(id);

export class Episodes {
  constructor(box, open) {
    this.box = box;
    this.open = open;
    this.restore = null; // what to do with the number of the edit that deleted an episode: set by edits.js
    this.current = null;
    this.reset();
    box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(box);
    for (const select of document.querySelectorAll("[data-facet]")) select.onchange = () => this.load();
    $("deleted").onchange = () => this.load();
    $("text").oninput = () => { clearTimeout(this.typing); this.typing = setTimeout(() => this.load(), 150); };
  }

  reset() {
    this.matching = 0;
    this.pages = new Map(); // number -> promise of its lines, or the lines
  }

  // Ask anew, after an edit or with other filters.
  async load() {
    const { path, station, facets, broken } = await get("/api/store");
    document.title = `${path.split("/").pop()} · robot-stack data view`;
    $("store").textContent = path;
    $("station").textContent = [station.name, station.robot, `${station.rate} Hz`].filter(Boolean).join(" · ");
    for (const select of document.querySelectorAll("[data-facet]")) fill(select, facets[select.dataset.facet]);
    this.broken = Object.entries(broken);
    this.reset();
    await this.page(0);
    this.draw();
  }

  query(offset) {
    const query = new URLSearchParams({ offset, limit: PAGE, text: $("text").value, deleted: $("deleted").checked });
    for (const select of document.querySelectorAll("[data-facet]"))
      if (select.selectedIndex > 0) query.set(select.dataset.facet, select.value);
    return query;
  }

  async page(number) {
    const pages = this.pages;
    if (!pages.has(number)) {
      pages.set(number, get(`/api/episodes?${this.query(number * PAGE)}`).then((answer) => {
        pages.set(number, answer.episodes);
        if (pages === this.pages) this.counted(answer);
        return answer.episodes;
      }));
    }
    return pages.get(number);
  }

  counted({ matching, seconds }) {
    this.matching = matching;
    $("lines").style.height = `${matching * HEIGHT}px`;
    const unread = this.broken.length ? `; ${this.broken.length} cannot be read` : "";
    $("count").textContent = `${matching.toLocaleString("en")} episode${matching === 1 ? "" : "s"}, ${duration(seconds)}${unread}`;
    $("count").title = this.broken.map(([id, why]) => `${id}: ${why}`).join("\n");
  }

  draw() {
    const first = Math.floor(this.box.scrollTop / HEIGHT);
    const last = Math.min(this.matching, first + Math.ceil(this.box.clientHeight / HEIGHT) + 1);
    const lines = [];
    for (let index = first; index < last; index++) {
      const page = this.pages.get(Math.floor(index / PAGE));
      if (Array.isArray(page)) lines.push(this.line(page[index % PAGE], index));
      else if (!page) this.page(Math.floor(index / PAGE)).then(() => this.draw());
    }
    $("lines").replaceChildren(...lines.filter(Boolean));
  }

  line(episode, index) {
    if (!episode) return null;
    const badges = ["salvaged", "edited", "deleted"].filter((name) => episode[name]).map((name) => element("span", `badge ${name}`, name));
    const name = element("span", "", element("b", "", episode.id), ...badges);
    const about = [episode.task, episode.operator, episode.kind].filter(Boolean).join(" · ");
    const line = element("div", "line", element("i", episode.verdict), name, element("span", "muted", duration(episode.rows / episode.rate)), element("small", "", about));
    line.style.top = `${index * HEIGHT}px`;
    line.title = `${episode.id}: ${episode.verdict}, ${episode.rows} rows`;
    line.classList.toggle("current", episode.id === this.current);
    line.classList.toggle("deleted", Boolean(episode.deleted));
    if (episode.deleted) {
      const back = element("button", "", "Bring back");
      back.onclick = () => this.restore(episode.deleted);
      line.children[2].replaceWith(back);
    } else {
      line.onclick = () => this.open(episode.id);
    }
    return line;
  }

  // Mark the episode that is shown, and bring its line into sight.
  mark(id) {
    this.current = id;
    this.draw();
    const top = this.index() * HEIGHT;
    if (top < 0) return;
    const { scrollTop, clientHeight } = this.box;
    if (top < scrollTop) this.box.scrollTop = top;
    if (top + HEIGHT > scrollTop + clientHeight) this.box.scrollTop = top + HEIGHT - clientHeight;
  }

  async openFirst() {
    const [first] = await this.page(0);
    document.body.classList.toggle("empty", !first);
    if (first) await this.open(first.id);
  }

  // Where the shown episode is in the list as loaded so far; -1 if it is not.
  index() {
    for (const [number, lines] of this.pages) {
      const found = Array.isArray(lines) ? lines.findIndex((episode) => episode.id === this.current) : -1;
      if (found >= 0) return number * PAGE + found;
    }
    return -1;
  }

  // Open the next episode in a direction (1 or -1).
  async move(direction) {
    const id = await this.neighbour(direction);
    if (id !== null) await this.open(id);
  }

  // The next episode in a direction that is not deleted; null if there is none.
  async neighbour(direction) {
    for (let index = this.index() + direction; index >= 0 && index < this.matching; index += direction) {
      const episode = (await this.page(Math.floor(index / PAGE)))[index % PAGE];
      if (!episode.deleted) return episode.id;
    }
    return null;
  }
}

function fill(select, counts) {
  const chosen = select.selectedIndex > 0 ? select.value : null;
  const options = Object.entries(counts).map(([value, count]) => new Option(`${value || "not named"} (${count})`, value));
  select.replaceChildren(new Option(select.dataset.facet, ""), ...options);
  const index = options.findIndex((option) => option.value === chosen);
  select.selectedIndex = chosen === null ? 0 : index + 1;
}

function duration(seconds) {
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
