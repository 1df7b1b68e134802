// Corrections: each is one request, after which the list and the episode are asked for anew.

import { element, get, post, toast } from "./server.js";

const $ = (id) => document.getElementById(id);

// Connect buttons and inputs; returns what the keys may do.
export function connectEdits(shown, episodes, open) {
  const id = () => shown.episode.id;

  async function edit(name, body, next = {}) {
    const { done, ids } = await post(`/api/edits/${name}`, body);
    toast(done);
    await Promise.all([episodes.load(), showEdits()]);
    const wanted = next.id ?? ids[0] ?? id();
    await open(wanted, next.step ?? shown.step).catch(() => episodes.openFirst());
  }

  const relabel = (labels) => edit("relabel", { ids: [id()], labels });
  const undo = (number = null) => edit("undo", { edit: number });

  async function remove() {
    const next = (await episodes.neighbour(1)) ?? (await episodes.neighbour(-1));
    await edit("delete", { ids: [id()] }, { id: next, step: 0 });
  }

  function trim() {
    const { first, last, rows } = shown;
    if (first === null && last === null) return toast("mark the first row to keep with [ and the last with ]", true);
    return edit("trim", { id: id(), start: first ?? 0, stop: (last ?? rows - 1) + 1 }, { step: shown.step - (first ?? 0) });
  }

  const split = () => edit("split", { id: id(), at: shown.step }, { step: 0 });

  async function showEdits() {
    const found = await get("/api/edits");
    $("undo").disabled = !found.some((line) => line.can_undo);
    $("edits").replaceChildren(...found.map((line) => {
      const when = element("small", "", `${line.time.slice(0, 19).replace("T", " ")} by ${line.by}`);
      const item = element("li", line.undone ? "undone" : "", element("div", "", line.what, when));
      if (line.can_undo) {
        const button = element("button", "", "Undo");
        button.onclick = () => undo(line.number);
        item.append(button);
      }
      return item;
    }));
    if (!found.length) $("edits").replaceChildren(element("li", "muted", "none yet"));
  }

  episodes.restore = undo;
  for (const button of document.querySelectorAll("[data-verdict]")) button.onclick = () => relabel({ verdict: button.dataset.verdict });
  for (const input of document.querySelectorAll("[data-label]"))
    input.onchange = () => { relabel({ [input.dataset.label]: input.value.trim() }); input.blur(); };
  $("delete").onclick = remove;
  $("undo").onclick = () => undo();
  $("trim").onclick = trim;
  $("split").onclick = split;
  showEdits();
  return { verdict: (verdict) => relabel({ verdict }), remove, undo: () => undo(), trim, split };
}
