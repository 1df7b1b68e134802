// What timeline and curves have in common: a sharp canvas, rows to pixels, and a pointer that scrubs and zooms.

const style = getComputedStyle(document.documentElement);

// A colour of the style sheet.
export const colour = (name) => style.getPropertyValue(`--${name}`).trim() || style.getPropertyValue("--nobody");

// A cleared pen for a canvas as large as it is shown; its unit is a CSS pixel.
export function pen(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  context.font = '10.5px system-ui, "DejaVu Sans", sans-serif';
  return { context, width, height };
}

// A canvas with a line across it that shows a row: moving the line draws nothing anew.
export function plot(canvas) {
  const line = document.createElement("div");
  line.className = "cursor";
  const box = document.createElement("div");
  box.className = "plot";
  box.append(canvas, line);
  return { box, line };
}

// Put the line of a plot whose rows from..to lie between `left` and the right edge.
export function point(canvas, line, left, { from, to, step }) {
  const x = left + ((step + 0.5 - from) / (to - from)) * (canvas.clientWidth - left);
  line.hidden = step < from || step >= to;
  line.style.transform = `translateX(${Math.round(x)}px)`;
}

// Pointer on a canvas whose rows from..to lie between `left` and the right edge: drag scrubs, wheel zooms.
export function scrubs(canvas, left, shown, go, zoom) {
  const row = (event) => {
    const share = (event.offsetX - left) / (canvas.clientWidth - left);
    return shown.from + Math.max(0, Math.min(1, share)) * (shown.to - shown.from);
  };
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); go(Math.floor(row(event))); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons & 1) go(Math.floor(row(event))); });
  canvas.addEventListener("dblclick", () => zoom(0, shown.rows));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const at = row(event);
    const factor = event.deltaY < 0 ? 0.8 : 1.25;
    zoom(at - (at - shown.from) * factor, at + (shown.to - at) * factor);
  }, { passive: false });
}
