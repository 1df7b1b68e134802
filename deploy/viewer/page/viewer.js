// The page of `robot-stack data view`. This file keeps what is shown now, and tells the parts when it changes.

import { get, glance } from "./server.js";
import { Cameras } from "./cameras.js";
import { Curves } from "./curves.js";
import { Episodes } from "./episodes.js";
import { Facts } from "./facts.js";
import { Timeline } from "./timeline.js";
import { connectEdits } from "./edits.js";
import { connectKeys } from "./keys.js";

const $ = (id) => document.getElementById(id);
const FINDINGS_PERIOD = 400; // between two questions whether they are found [ms]

// What is shown: an episode as /api/episodes/{id} gives it, a row of it, the rows zoomed in on, the marks for a trim.
const shown = { episode: null, rows: 0, rate: 1, step: 0, from: 0, to: 0, first: null, last: null, findings: [] };

const go = (step) => player.go(step);
const timeline = new Timeline($("timeline"), shown, go, zoom);
const curves = new Curves(shown, go, zoom);
const cameras = new Cameras($("cameras"), shown);
const facts = new Facts(shown, go, (values) => curves.showNumbers(values));
const episodes = new Episodes($("list"), open);

// --- the player: which row is shown, and when the next ---------------------------------------------------------------

const player = {
  playing: false,
  began: 0, // when playing began, or was last moved [ms]
  origin: 0, // the row it began with

  go(step) {
    shown.step = Math.max(0, Math.min(shown.rows - 1, Math.round(step)));
    this.began = performance.now();
    this.origin = shown.step;
    refresh();
  },

  toggle() {
    this.playing = !this.playing;
    if (this.playing && shown.step >= shown.rows - 1) shown.step = 0;
    $("play").textContent = this.playing ? "❚❚" : "▶";
    this.go(shown.step);
    if (this.playing) requestAnimationFrame(() => this.tick());
  },

  tick() {
    if (!this.playing) return;
    const due = this.origin + Math.floor(((performance.now() - this.began) / 1000) * shown.rate * Number($("speed").value));
    if (due >= shown.rows - 1) {
      shown.step = shown.rows - 1;
      refresh();
      return this.toggle();
    }
    if (due > shown.step && cameras.has(shown.step + 1)) {
      shown.step = cameras.has(due) ? due : shown.step + 1; // rather slower than without its pictures
      refresh();
    }
    requestAnimationFrame(() => this.tick());
  },
};

// --- showing ---------------------------------------------------------------------------------------------------------

async function open(id, step = 0) {
  if (player.playing) player.toggle();
  const asked = (open.asked = Symbol());
  const episode = await get(`/api/episodes/${id}`);
  if (open.asked !== asked) return; // another one has been asked for since
  const rows = episode.attrs.rows;
  Object.assign(shown, { episode, rows, rate: episode.attrs.rate, first: null, last: null, findings: [], from: 0, to: rows });
  episodes.mark(id);
  cameras.open();
  curves.open();
  facts.open();
  showMarks();
  go(step);
  findings(episode);
}

async function findings(episode) {
  facts.showFindings(null);
  let answer = null;
  do {
    await new Promise((resolve) => setTimeout(resolve, FINDINGS_PERIOD));
    if (shown.episode === episode) answer = await glance(`/api/episodes/${episode.id}/findings`);
  } while (shown.episode === episode && !answer?.done);
  if (shown.episode !== episode) return;
  shown.findings = answer.findings;
  facts.showFindings(answer.findings);
  timeline.draw();
}

// Put the shown row into the address, when it has rested for a while: browsers refuse to do that for every row.
function remember() {
  clearTimeout(remember.timer);
  remember.timer = setTimeout(() => history.replaceState(null, "", `#${shown.episode.id}@${shown.step}`), 200);
}

// Show rows from..to only.
function zoom(from, to) {
  const width = Math.max(10, Math.min(shown.rows, to - from));
  shown.from = Math.round(Math.max(0, Math.min(shown.rows - width, from)));
  shown.to = Math.min(shown.rows, Math.round(shown.from + width));
  curves.load();
  timeline.draw();
}

function mark(name) {
  shown[name] = shown[name] === shown.step ? null : shown.step;
  if (shown.first !== null && shown.last !== null && shown.first > shown.last) shown[name === "first" ? "last" : "first"] = null;
  showMarks();
}

function showMarks() {
  $("trim").disabled = shown.first === null && shown.last === null;
  timeline.draw();
}

function refresh() {
  const { step, rows, rate } = shown;
  $("clock").textContent = `${(step / rate).toFixed(2)} s`;
  $("step").textContent = `row ${step} / ${rows - 1}`;
  cameras.show(step);
  timeline.point();
  curves.point();
  facts.showRow();
  remember();
}

// --- what a person does ----------------------------------------------------------------------------------------------

const edits = connectEdits(shown, episodes, open);
connectKeys({
  play: () => player.toggle(),
  move: (rows) => go(shown.step + rows),
  goTo: (step) => go(step === "end" ? shown.rows - 1 : 0),
  neighbour: (by) => episodes.move(by),
  mark,
  forget: () => { shown.first = shown.last = null; showMarks(); },
  ...edits,
});
$("play").onclick = () => player.toggle();
$("speed").onchange = () => go(shown.step);
$("markIn").onclick = () => mark("first");
$("markOut").onclick = () => mark("last");
addEventListener("resize", () => { timeline.draw(); curves.draw(); });

// --- start -----------------------------------------------------------------------------------------------------------

const [id, step] = location.hash.slice(1).split("@");
await episodes.load();
if (id) await open(id, Number(step) || 0).catch(() => episodes.openFirst());
else await episodes.openFirst();
