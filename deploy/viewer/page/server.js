// Asking the server; what goes wrong is said at the bottom of the page.

const toastElement = document.getElementById("toast");
let hide = 0;

// Say something for a few seconds.
export function toast(words, refused = false) {
  toastElement.textContent = words;
  toastElement.classList.toggle("refused", refused);
  toastElement.classList.add("shown");
  clearTimeout(hide);
  hide = setTimeout(() => toastElement.classList.remove("shown"), refused ? 6000 : 3000);
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    toast("the viewer does not answer: is `robot-stack data view` still running?", true);
    throw new Error(`no answer to ${path}`);
  }
  if (answer.ok) return answer.json();
  const { detail } = await answer.json();
  toast(typeof detail === "string" ? detail : detail.map((fault) => `${fault.loc.at(-1)}: ${fault.msg}`).join("; "), true);
  throw new Error(`${answer.status} for ${path}`);
}

export const get = (path) => ask(path);

// What is asked for all the time: null where it is refused, as for a row that an edit has just cut off.
export async function glance(path) {
  const answer = await fetch(path).catch(() => null);
  return answer?.ok ? answer.json() : null;
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// Make an element: its class, and what is in it (elements or text).
export function element(tag, className = "", ...content) {
  const made = document.createElement(tag);
  made.className = className;
  made.append(...content);
  return made;
}
