"use strict";
// The operator's page. Shows what /api/state says, shows pictures, and sends orders and keys. Keeps no state of the robot.

const $ = (id) => document.getElementById(id);
const CONFIRM = 50; // held keys are confirmed so often [ms]; the robot releases them when this stops
const MINUTE = 60000; // shown of who flew [ms]
const SILENCE = 1000; // without a status for so long the page says so [ms]

const PHASES = {
  idle: "Waiting", homing: "Going home", ready: "Ready", recording: "Recording", ending: "Saving the episode", done: "Done",
};

let heard = -Infinity; // when the last status came
let finished = -1;

// --- state -----------------------------------------------------------------------------------------------------------

function connect(path, onmessage, onclose) {
  const socket = new WebSocket(`ws${location.protocol === "https:" ? "s" : ""}://${location.host}${path}`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = onmessage;
  socket.onclose = onclose;
  return socket;
}

function watchState() {
  connect("/api/state", (event) => { heard = performance.now(); show(JSON.parse(event.data)); }, () => setTimeout(watchState, 500));
}

function show(status) {
  const stopped = status.mode === "stop";
  const who = stopped ? "stopped" : status.source;
  document.body.classList.remove("offline");
  $("flies").dataset.source = who;
  $("source").textContent = who.toUpperCase();
  showRibbon(who, status.phase === "recording");
  $("phase").textContent = (stopped && status.phase === "idle" ? "Stopped" : PHASES[status.phase]) + (status.phase === "recording" ? ` episode ${status.episode.number}` : "");
  $("phase").dataset.phase = status.phase;
  $("note").textContent = status.note;
  $("reason").textContent = status.fault ? "" : status.reason; // the fault has a panel of its own
  $("reason").className = stopped ? "" : "mild";
  $("elapsed").textContent = status.phase === "recording" ? `${status.episode.elapsed.toFixed(1)} s` : "";
  $("rows").textContent = status.phase === "recording" ? `${status.episode.rows} rows, ${status.episode.missed} missed` : "";
  $("station").textContent = `${status.verb}: ${status.station}, ${status.task}`;
  $("session").textContent = status.session;
  $("rate").textContent = status.control.rate === null ? "–" : `${status.control.rate.toFixed(0)} Hz`;
  $("count").textContent = status.wanted ? `${status.finished} of ${status.wanted}` : `${status.finished} recorded`;
  $("keys").hidden = $("engage").hidden = !status.keys;
  $("fault").hidden = !status.fault;
  $("words").textContent = status.fault;
  showSpeed(status.speed);
  showWorkers(status.workers);
  showCameras(status.cameras);
  for (const button of document.querySelectorAll("button[data-mode], button[data-action]"))
    button.disabled = !status.allowed.includes(button.dataset.mode ?? button.dataset.action) || (button.dataset.mode === "reset" && Boolean(status.fault));
  if (status.finished !== finished) { finished = status.finished; showEpisodes(); }
}

function showSpeed(speed) {
  if ($("speed") !== document.activeElement) $("speed").value = Math.round(100 * speed);
  $("percent").textContent = `${Math.round(100 * speed)} %`;
}

function item(dot, name, value) {
  const li = document.createElement("li");
  li.append(Object.assign(document.createElement("i"), { className: dot }));
  for (const text of [name, value]) li.append(Object.assign(document.createElement("span"), { textContent: text }));
  return li;
}

function showWorkers(workers) {
  $("workers").replaceChildren(...workers.map((worker) => {
    const rate = worker.rate === null ? worker.state : `${worker.rate.toFixed(worker.rate < 20 ? 1 : 0)} Hz`;
    return item(worker.state, worker.name, worker.restarts ? `${rate}, restarted ${worker.restarts}×` : rate);
  }));
}

const ribbon = []; // of the last minute: [when, who flew, whether it was recorded]

function showRibbon(who, recorded) {
  const time = performance.now();
  ribbon.push([time, who, recorded]);
  while (ribbon[0][0] < time - MINUTE) ribbon.shift();
  const canvas = $("ribbon");
  const width = (canvas.width = canvas.clientWidth);
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const x = (when) => Math.round(width * (1 - (time - when) / MINUTE));
  ribbon.forEach(([when, who, recorded], k) => {
    const end = k + 1 < ribbon.length ? x(ribbon[k + 1][0]) : width;
    pen.fillStyle = style.getPropertyValue(`--${who}`);
    pen.fillRect(x(when), 0, end - x(when), 26);
    pen.fillStyle = style.getPropertyValue(recorded ? "--ink" : "--ground");
    pen.fillRect(x(when), 30, end - x(when), 4);
  });
}

async function showEpisodes() {
  const episodes = await (await fetch("/api/episodes?limit=12")).json();
  $("episodes").replaceChildren(...episodes.map((episode) =>
    item(episode.verdict, `${episode.id} ${episode.verdict}`, `${(episode.rows / episode.rate).toFixed(1)} s`)));
}

setInterval(() => {
  if (performance.now() - heard < SILENCE) return;
  $("flies").dataset.source = "offline";
  $("source").textContent = "NO CONTACT";
  $("phase").textContent = "The service does not answer";
  $("phase").dataset.phase = "";
  document.body.classList.add("offline");
  for (const id of ["note", "reason", "elapsed", "rows"]) $(id).textContent = "";
}, 250);

// --- pictures --------------------------------------------------------------------------------------------------------

const figures = {};

function showCameras(cameras) {
  for (const name of Object.keys(cameras)) figures[name] ??= watch(name, cameras[name]);
}

function watch(name, [height, width]) {
  const figure = document.createElement("figure");
  const canvas = Object.assign(document.createElement("canvas"), { width, height, id: `camera-${name}` });
  const caption = Object.assign(document.createElement("figcaption"), { textContent: name });
  figure.append(canvas, caption);
  $("cameras").append(figure);
  let shown = -Infinity;
  const open = () => connect(`/api/video/${name}`, async (event) => {
    const age = new DataView(event.data).getFloat64(0, true);
    const picture = await createImageBitmap(new Blob([new Uint8Array(event.data, 8)], { type: "image/jpeg" }));
    canvas.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    shown = performance.now();
    caption.textContent = `${name} · ${(age * 1000).toFixed(0)} ms`;
  }, () => setTimeout(open, 1000));
  open();
  setInterval(() => {
    const stale = performance.now() - shown > SILENCE;
    figure.classList.toggle("stale", stale);
    if (stale) caption.textContent = `${name} · no picture`;
  }, 500);
  return figure;
}

// --- orders ----------------------------------------------------------------------------------------------------------

async function order(path, body) {
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) toast((await answer.json()).detail);
  } catch {
    toast("the service does not answer");
  }
}

function toast(words) {
  $("toast").textContent = typeof words === "string" ? words : JSON.stringify(words);
  $("toast").classList.add("shown");
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => $("toast").classList.remove("shown"), 4000);
}

for (const button of document.querySelectorAll("button[data-mode], button[data-action]"))
  button.addEventListener("click", () => {
    button.blur(); // or the space bar would press it again
    const { mode, action } = button.dataset;
    if (mode === "recover" && !confirm("Is the arm free, and is nobody in its reach? Its controller is told to go on; the arm stays where it is until Reset and Run.")) return;
    mode ? order("/api/mode", { mode }) : order("/api/episode", { action });
  });

$("speed").addEventListener("change", (event) => {
  order("/api/speed", { speed: event.target.value / 100 });
  event.target.blur(); // or the arrow keys would change it again
});

// --- keys ------------------------------------------------------------------------------------------------------------

const CAPS = [ // [code, label, what it does], as teleop.keyboard.KEYS
  ["KeyW", "W", "away"], ["KeyS", "S", "near"], ["KeyA", "A", "left"], ["KeyD", "D", "right"],
  ["KeyR", "R", "up"], ["KeyF", "F", "down"], ["KeyQ", "Q", "turn left"], ["KeyE", "E", "turn right"],
  ["ArrowUp", "↑", "tip away"], ["ArrowDown", "↓", "tip near"], ["ArrowLeft", "←", "tip left"], ["ArrowRight", "→", "tip right"],
  ["KeyG", "G", "gripper"], ["ShiftLeft", "⇧", "slowly"], ["Enter", "⏎", "success"], ["Backspace", "⌫", "failure"],
];
const caps = Object.fromEntries(CAPS.map(([code, label, does]) => {
  const cap = document.createElement("div");
  cap.append(Object.assign(document.createElement("b"), { textContent: label }), does);
  $("caps").append(cap);
  return [code, cap];
}));

const down = new Set();
let engaged = false;
let operator = null;
let asked = 0;

function speak() {
  if (operator?.readyState === WebSocket.OPEN) { asked = performance.now(); operator.send(JSON.stringify({ pressed: [...down], engage: engaged })); }
  for (const [code, cap] of Object.entries(caps)) cap.classList.toggle("down", down.has(code));
  $("engage").classList.toggle("down", engaged);
}

function answered(event) {
  $("latency").textContent = `${(performance.now() - asked).toFixed(0)} ms`;
  const { error } = JSON.parse(event.data);
  if (error) toast(error);
}

function watchKeys() {
  operator = connect("/api/operator", answered, () => setTimeout(watchKeys, 500));
  operator.onopen = speak;
}

function press(event, isDown) {
  if (event.code === "Escape" && isDown && !event.repeat) order("/api/mode", { mode: "stop" });
  if (isDown && (event.ctrlKey || event.metaKey || event.altKey)) return; // but a key that goes up is up
  if (event.code === "Space") engaged = isDown;
  else if (event.code in caps) isDown ? down.add(event.code) : down.delete(event.code);
  else return;
  event.preventDefault();
  if (!event.repeat) speak();
}

function release() {
  if (engaged) order("/api/mode", { mode: "hold" }); // to look away is not to hand over to a policy
  engaged = false;
  down.clear();
  speak();
}

addEventListener("keydown", (event) => press(event, true));
addEventListener("keyup", (event) => press(event, false));
addEventListener("blur", release); // a page that does not see a key go up must not hold it down
document.addEventListener("visibilitychange", release);
$("engage").addEventListener("pointerdown", (event) => { event.target.setPointerCapture(event.pointerId); engaged = true; speak(); });
for (const type of ["pointerup", "pointercancel"]) $("engage").addEventListener(type, () => { engaged = false; speak(); });
setInterval(() => { if (engaged || down.size) speak(); }, CONFIRM);
setInterval(() => { if (!engaged && !down.size) speak(); }, 1000); // measures the latency

watchKeys();
watchState();
