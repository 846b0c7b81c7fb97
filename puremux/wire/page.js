// Keys, a filter, and a field's bytes lit up beside it.  Without any of this the page can be read all the same.
"use strict";
document.documentElement.classList.add("scripted");

const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const arrows = () => all("summary").filter((each) => each.offsetParent);

function go(step) {
  const list = arrows();
  const at = list.indexOf(document.activeElement.closest("li")?.querySelector("summary"));
  const next = list[Math.min(Math.max(at + step, 0), list.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const moves = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 };

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input") || event.ctrlKey || event.altKey || event.metaKey) return;
  const details = document.activeElement.closest("details");
  if (event.key in moves) go(moves[event.key]);
  else if (event.key === "ArrowRight" && details) details.open = true;
  else if (event.key === "ArrowLeft" && details) (details.open = false), details.firstElementChild.focus();
  else if (event.key === "/") document.querySelector("#filter").focus();
  else return;
  event.preventDefault();
});

function light(event) {
  const key = event.target.closest?.("[data-k]")?.dataset.k;
  all(".lit").forEach((each) => each.dataset.k !== key && each.classList.remove("lit"));
  if (key) all(`[data-k="${key}"]`).forEach((each) => each.classList.add("lit"));
}
document.addEventListener("mouseover", light);
document.addEventListener("focusin", light);

document.querySelector("#filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/);
  for (const item of all("ol > li")) {
    const text = item.querySelector("summary").textContent.toLowerCase();
    item.hidden = !words.every((word) => text.includes(word));
  }
});

document.querySelector("#open").addEventListener("click", (event) => {
  const open = event.target.getAttribute("aria-pressed") !== "true";
  event.target.setAttribute("aria-pressed", open);
  all("li:not([hidden]) > details").forEach((each) => (each.open = open));
});
