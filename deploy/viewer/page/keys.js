// The keyboard. While something is typed, its keys are letters.

const help = document.getElementById("help");

export function connectKeys(does) {
  const keys = {
    " ": () => does.play(),
    ArrowLeft: (event) => does.move(event.shiftKey ? -10 : -1),
    ArrowRight: (event) => does.move(event.shiftKey ? 10 : 1),
    Home: () => does.goTo("start"),
    End: () => does.goTo("end"),
    ArrowUp: () => does.neighbour(-1),
    ArrowDown: () => does.neighbour(1),
    "[": () => does.mark("first"),
    "]": () => does.mark("last"),
    Escape: () => does.forget(),
    t: () => does.trim(),
    x: () => does.split(),
    d: () => does.remove(),
    u: () => does.undo(),
    s: () => does.verdict("success"),
    f: () => does.verdict("failure"),
    n: () => does.verdict("unknown"),
    "?": () => help.showModal(),
  };
  const once = ["t", "x", "d", "u", "s", "f", "n", " "]; // not again and again while held

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || document.body.classList.contains("empty")) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in keys)) return;
    event.preventDefault();
    document.activeElement?.blur(); // or the space bar would press a button again
    if (!(event.repeat && once.includes(key))) keys[key](event);
  });
  document.getElementById("keys").onclick = () => help.showModal();
}
