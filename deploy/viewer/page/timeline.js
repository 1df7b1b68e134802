// Who flew when, take-overs, missing rows, findings, trim marks, and where we are.

import { colour, pen, plot, point, scrubs } from "./canvas.js";

const LABELS = { intervention: "takeover", pre_intervention: "before" };
const TOP = 14; // findings above it [px]
const BAND = 22; // of the sources

export class Timeline {
  constructor(canvas, shown, go, zoom) {
    Object.assign(this, { canvas, shown });
    const place = canvas.parentElement;
    const next = canvas.nextSibling;
    const { box, line } = plot(canvas);
    this.line = line;
    place.insertBefore(box, next);
    scrubs(canvas, 0, shown, go, zoom);
  }

  draw() {
    const { episode, from, to, findings } = this.shown;
    if (!episode) return;
    const { context, width, height } = pen(this.canvas);
    const x = (row) => ((row - from) / (to - from)) * width;
    const bar = (name, start, stop, top, tall) => {
      context.fillStyle = colour(name);
      context.fillRect(x(start), top, Math.max(1, x(stop) - x(start)), tall);
    };
    for (const [name, start, stop] of episode.sources) bar(name, start, stop, TOP, BAND);
    for (const [name, start, stop] of episode.labels) bar(LABELS[name], start, stop, TOP + BAND + 2, 4);
    for (const [row] of episode.gaps) this.tick(context, x(row));
    for (const finding of findings) if (finding.step >= 0) this.flag(context, x(finding.step), finding.severity);
    this.drawMarks(context, x, width);
    this.drawSeconds(context, x, width, height);
    this.point();
  }

  point() {
    point(this.canvas, this.line, 0, this.shown);
  }

  tick(context, x) {
    context.fillStyle = "#ff5d62";
    context.fillRect(Math.round(x) - 1, TOP - 2, 2, BAND + 4);
  }

  flag(context, x, severity) {
    context.fillStyle = { error: colour("bad"), warning: colour("warning"), advice: colour("advice") }[severity];
    context.beginPath();
    context.moveTo(x - 5, 2);
    context.lineTo(x + 5, 2);
    context.lineTo(x, 11);
    context.fill();
  }

  // What a trim would take away is darkened.
  drawMarks(context, x, width) {
    const { first, last } = this.shown;
    context.fillStyle = "rgb(13 16 21 / .72)";
    if (first !== null) context.fillRect(0, TOP, x(first), BAND);
    if (last !== null) context.fillRect(x(last + 1), TOP, width - x(last + 1), BAND);
    context.fillStyle = "#fff";
    for (const [row, foot] of [[first, 5], [last === null ? null : last + 1, -5]]) {
      if (row === null) continue;
      context.fillRect(x(row) - 1, TOP - 2, 2, BAND + 4);
      for (const y of [TOP - 2, TOP + BAND]) context.fillRect(Math.min(x(row), x(row) + foot), y, 5, 2);
    }
  }

  drawSeconds(context, x, width, height) {
    const { from, to, rate } = this.shown;
    const every = nice(((to - from) / rate / width) * 80);
    context.fillStyle = colour("muted");
    context.textBaseline = "bottom";
    for (let k = Math.ceil(from / rate / every); k * every * rate <= to; k++) {
      const seconds = k * every;
      const text = `${Number(seconds.toFixed(3))} s`;
      const at = x(seconds * rate);
      const wide = context.measureText(text).width;
      context.fillRect(Math.round(at), height - 18, 1, 4);
      context.fillText(text, Math.max(0, Math.min(width - wide, at - wide / 2)), height);
    }
  }
}

// The next of 1, 2, 5 times a power of ten.
function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((factor) => factor * power >= value) * power;
}
