// Curves of the chosen quantities, a panel a component: measured, sent (target), asked for (requested).

import { colour, pen, plot, point, scrubs } from "./canvas.js";
import { element, get } from "./server.js";

const LEFT = 46; // room for the numbers [px]
const ROLES = ["proposed", "requested", "target", "measured"]; // the last is drawn on top
const MOST = 24; // panels of one quantity

const $ = (id) => document.getElementById(id);

export class Curves {
  constructor(shown, go, zoom) {
    Object.assign(this, { shown, go, zoom, panels: [], values: {} });
    this.chosen = new Set(JSON.parse(localStorage.getItem("quantities") ?? "[]"));
  }

  open() {
    const { quantities } = this.shown.episode;
    if (!quantities.some(({ name }) => this.chosen.has(name)))
      this.chosen = new Set(quantities.slice(0, 2).map(({ name }) => name));
    this.lay();
    this.load();
  }

  // Chips, legend and empty panels for what is chosen.
  lay() {
    const { quantities } = this.shown.episode;
    $("quantities").replaceChildren(...quantities.map(({ name }) => {
      const chip = element("button", this.chosen.has(name) ? "on" : "", name);
      chip.onclick = () => this.choose(name);
      return chip;
    }));
    const drawn = quantities.filter(({ name }) => this.chosen.has(name));
    const roles = ROLES.toReversed().filter((role) => drawn.some((quantity) => role in quantity.roles));
    $("roles").replaceChildren(...roles.map((role) => {
      const line = element("i", "role");
      line.style.background = colour(role);
      return element("span", "", line, role);
    }));
    this.panels = drawn.flatMap((quantity) =>
      quantity.components.slice(0, MOST).map((component, index) => this.panel(quantity, component, index)));
    $("panels").replaceChildren(...this.panels.map(({ box }) => box));
  }

  panel(quantity, component, index) {
    const canvas = document.createElement("canvas");
    const unit = quantity.units[index];
    const name = `${quantity.name} ${component}${unit ? ` [${unit}]` : ""}`;
    const numbers = element("span");
    const { box: drawn, line } = plot(canvas);
    const box = element("div", "", element("div", "head", element("span", "muted", name), numbers), drawn);
    scrubs(canvas, LEFT, this.shown, this.go, this.zoom);
    return { quantity, index, canvas, line, numbers, box, curves: null };
  }

  choose(name) {
    if (!this.chosen.delete(name)) this.chosen.add(name);
    localStorage.setItem("quantities", JSON.stringify([...this.chosen]));
    this.lay();
    this.load();
  }

  async load() {
    const { episode, from, to } = this.shown;
    const asked = (this.asked = Symbol());
    const points = Math.max(100, this.panels[0]?.canvas.clientWidth ?? 0);
    const names = [...new Set(this.panels.map(({ quantity }) => quantity.name))];
    await Promise.all(names.map(async (name) => {
      const path = `/api/episodes/${episode.id}/curves/${encodeURIComponent(name)}`;
      const curves = await get(`${path}?start=${from}&stop=${to}&points=${points}`);
      if (this.asked !== asked) return;
      for (const panel of this.panels) if (panel.quantity.name === name) panel.curves = curves;
    }));
    if (this.asked === asked) this.draw();
  }

  draw() {
    for (const panel of this.panels) if (panel.curves) this.drawPanel(panel);
    this.point();
  }

  point() {
    for (const { canvas, line } of this.panels) point(canvas, line, LEFT, this.shown);
  }

  drawPanel(panel) {
    const { from, to } = this.shown;
    const { context, width, height } = pen(panel.canvas);
    const roles = ROLES.filter((role) => role in panel.curves);
    const [low, high] = extent(roles.flatMap((role) => lines(panel.curves[role], panel.index)));
    const x = (row) => LEFT + ((row + 0.5 - from) / (to - from)) * (width - LEFT);
    const y = (value) => height - 5 - ((value - low) / (high - low)) * (height - 10);
    this.drawGrid(context, y, low, high, width);
    for (const role of roles) this.drawCurve(context, panel.curves[role], panel.index, role, x, y);
  }

  drawGrid(context, y, low, high, width) {
    const digits = Math.max(0, Math.min(4, 2 - Math.floor(Math.log10(high - low))));
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const share of [0.06, 0.5, 0.94]) {
      const value = low + share * (high - low);
      context.fillStyle = colour("line");
      context.fillRect(LEFT, Math.round(y(value)), width - LEFT, 1);
      context.fillStyle = colour("muted");
      context.fillText((Math.round(value * 10 ** digits) / 10 ** digits + 0).toFixed(digits), LEFT - 5, y(value));
    }
  }

  // A line through the rows; where a point stands for several, a band from their lowest to their highest.
  drawCurve(context, curve, index, role, x, y) {
    const { steps } = curve;
    const low = curve.low[index];
    const high = curve.high?.[index] ?? low;
    context.strokeStyle = colour(role);
    context.lineWidth = role === "measured" ? 1.4 : 1.2;
    context.setLineDash(role === "proposed" ? [3, 3] : []);
    context.beginPath();
    let begun = false;
    steps.forEach((row, k) => {
      if (low[k] === null) { begun = false; return; }
      begun ? context.lineTo(x(row), y(low[k])) : context.moveTo(x(row), y(low[k]));
      if (high[k] !== low[k]) context.lineTo(x(row), y(high[k]));
      begun = true;
    });
    context.stroke();
  }

  // The numbers of the shown row, beside the name of each panel. values: quantity -> role -> components.
  showNumbers(values) {
    for (const { quantity, index, numbers } of this.panels) {
      const roles = values[quantity.name];
      numbers.replaceChildren(...ROLES.toReversed().filter((role) => role in roles).map((role) => {
        const number = element("span", "", format(roles[role][index]));
        number.style.color = colour(role);
        number.title = role;
        return number;
      }));
    }
  }
}

const lines = (curve, index) => [...curve.low[index], ...(curve.high?.[index] ?? [])];

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) if (value !== null) { low = Math.min(low, value); high = Math.max(high, value); }
  if (low > high) return [0, 1];
  const margin = high > low ? (high - low) * 0.06 : Math.max(Math.abs(low) * 0.05, 0.01);
  return [low - margin, high + margin];
}

function format(value) {
  if (value === null) return "no number";
  return Math.abs(value) >= 100 ? value.toFixed(1) : value.toFixed(3);
}
