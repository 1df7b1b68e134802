// The right column: what is known of the episode, of its shown row, and what is wrong with it.

import { element, glance } from "./server.js";

const $ = (id) => document.getElementById(id);
const ORDER = ["kind", "operator", "started", "rows", "rate", "drops", "station", "robot", "scene", "checkpoint", "software", "time_source", "content"];
const ELSEWHERE = ["verdict", "task", "language", "salvaged", "edited", "place", "clock_offset", "streams"];
const UNITS = { rate: " Hz" };
const PAUSE = 60; // between two questions: nobody reads numbers faster [ms]
const OLD = 2; // an age of more rows than this is marked

export class Facts {
  constructor(shown, go, showNumbers) {
    Object.assign(this, { shown, go, showNumbers, asking: false });
  }

  open() {
    const { id, attrs, streams } = this.shown.episode;
    $("name").textContent = id;
    $("badges").replaceChildren(...["salvaged", "edited"].filter((name) => attrs[name]).map((name) => element("span", `badge ${name}`, name)));
    for (const button of document.querySelectorAll("[data-verdict]")) button.classList.toggle("on", button.dataset.verdict === attrs.verdict);
    for (const input of document.querySelectorAll("[data-label]")) input.value = attrs[input.dataset.label] ?? "";
    const names = [...ORDER, ...Object.keys(attrs).filter((name) => !ORDER.includes(name) && !ELSEWHERE.includes(name))];
    $("attrs").replaceChildren(...names.filter((name) => !isEmpty(attrs[name])).flatMap((name) => fact(name, attrs[name])));
    $("streamPanel").hidden = Object.keys(streams).length === 0;
    $("streams").replaceChildren(...Object.entries(streams).map(([name, columns]) => {
      const { count, rate } = attrs.streams?.[name] ?? {};
      const size = count === undefined ? `${columns.length} columns` : `${count.toLocaleString("en")} · ${rate.toFixed(rate < 100 ? 1 : 0)} Hz`;
      const line = element("li", "", element("span", "", name), element("span", "muted", size));
      line.title = columns.join(", ");
      return line;
    }));
    $("agePanel").hidden = true;
  }

  // found: null while they are being looked for.
  showFindings(found) {
    $("findingCount").textContent = found === null ? "looking" : found.length ? String(found.length) : "";
    $("findings").replaceChildren(...(found ?? []).map((finding) => {
      const where = finding.step >= 0 ? `${(finding.step / this.shown.rate).toFixed(1)} s: ` : "";
      const line = element("li", finding.severity, `${where}${finding.what}`, element("small", "", finding.advice));
      if (finding.step >= 0) line.onclick = () => this.go(finding.step);
      return line;
    }));
    if (found?.length === 0) $("findings").replaceChildren(element("li", "muted", "nothing wrong found"));
  }

  // Ask for the shown row, one at a time: while playing, some are passed over.
  async showRow() {
    if (this.asking) return;
    this.asking = true;
    const { episode, step } = this.shown;
    const row = await glance(`/api/episodes/${episode.id}/rows/${step}`);
    if (row && this.shown.episode === episode) this.show(row);
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
    this.asking = false;
    if (this.shown.episode !== episode || this.shown.step !== step) this.showRow();
  }

  show(row) {
    $("source").textContent = row.source;
    $("source").dataset.source = row.source;
    this.showNumbers(row.values);
    const ages = Object.entries(row.ages);
    $("agePanel").hidden = ages.length === 0;
    $("ages").replaceChildren(...ages.map(([name, age]) =>
      element("li", age * this.shown.rate > OLD ? "old" : "", element("span", "", name), element("span", "", `${(age * 1000).toFixed(1)} ms`))));
  }
}

const isEmpty = (value) => value === undefined || value === null || value === "" || (typeof value === "object" && !Object.keys(value).length);

function fact(name, value) {
  const long = name === "content" || name === "source_hash";
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  const term = element("dt", "", name.replace("_", " "));
  const described = element("dd", "", (long ? `${text.slice(0, 12)}…` : readable(name, text)) + (UNITS[name] ?? ""));
  described.title = text;
  return [term, described];
}

function readable(name, text) {
  if (name === "started") return text.replace("T", " ").slice(0, 19);
  const number = Number(text);
  return text.includes(".") && Number.isFinite(number) ? String(Number(number.toFixed(3))) : text;
}
