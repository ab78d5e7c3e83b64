"use strict";
// The page's own behaviour: filters, the address, the list, the margins.

const list = document.getElementById("list");
const form = document.getElementById("filters");
const found = document.getElementById("found");
let choice = chosen();
let opened = -1; // the outcome that the address names

function buildFilters() {
  const box = (kind) =>
    element(
      "label",
      { class: `toggle tone-${kind}` },
      element("input", { type: "checkbox", name: "status", value: kind, onchange: read }),
      element("span", {}, signOf(kind), wordFor(kind)),
    );
  const statuses = element("fieldset", {}, element("legend", { class: "off" }, "Status"), ...presentKinds.map(box));
  const selects = facets.filter((name) => valuesOf(name).length > 1).map((name) =>
    element(
      "label",
      { class: "select" },
      element("span", {}, name),
      element(
        "select",
        { name, onchange: read },
        element("option", { value: "" }, "all"),
        ...valuesOf(name).map((value) => element("option", { value }, value)),
      ),
    ),
  );
  const search = element(
    "label",
    { class: "select search" },
    element("span", {}, "search"),
    element("input", { type: "search", name: "q", autocomplete: "off", spellcheck: "false", oninput: read }),
  );
  const clear = element("button", { type: "button", class: "more clear", onclick: () => go("") }, "Clear");
  form.append(statuses, element("div", { class: "selects" }, ...selects, search, clear));
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
}

/** From the form to the address; the list follows. */
function read() {
  const values = new FormData(form);
  const next = { status: new Set(values.getAll("status")), q: values.get("q"), outcome: "" };
  for (const name of facets) next[name] = values.get(name) ?? "";
  history.replaceState(null, "", addressOf(next));
  show();
}

function go(fragment) {
  history.pushState(null, "", `#${fragment}`);
  show();
}

/** From the address to the form and the list. */
function show({ focus = false } = {}) {
  choice = chosen();
  opened = outcomeNamed(choice.outcome);
  let rows = matching(choice);
  if (opened >= 0 && !rows.includes(opened)) {
    choice = { ...chosen(), status: new Set(data.kinds), q: "", ...Object.fromEntries(facets.map((name) => [name, ""])) };
    choice.clause = field(opened, "clause");
    rows = matching(choice);
  }
  for (const input of form.querySelectorAll("[name=status]")) input.checked = choice.status.has(input.value);
  for (const name of [...facets, "q"]) {
    const input = form.elements.namedItem(name);
    if (input && input.value !== choice[name]) input.value = choice[name];
  }
  const number = rows.length.toLocaleString("en");
  const missing = choice.outcome && opened < 0 ? "The outcome that the address names is not in this report. " : "";
  found.textContent = rows.length
    ? `${missing}${number} of ${total.toLocaleString("en")} outcomes`
    : `${missing}No outcome matches; clear the filters to see all ${total.toLocaleString("en")}.`;
  list.replaceChildren(outcomeList(rows, remember));
  forgetCharts();
  showMargins(choice);
  if (opened >= 0) reveal(opened, focus);
}

/** Opens an outcome, wherever in the list it is, and goes there. */
function reveal(row, focus) {
  for (;;) {
    for (const group of list.querySelectorAll("section.clause")) {
      const line = group.reach?.(row);
      if (!line) continue;
      line.open = true;
      const head = line.querySelector("summary");
      if (focus) {
        head.focus({ preventScroll: true });
        line.scrollIntoView({ block: "start" });
      }
      return;
    }
    const more = list.querySelector(":scope > div > button.more");
    if (!more) return;
    more.click();
  }
}

/** The outcome that was opened last stands in the address, so that it can be passed on. */
function remember(row, open) {
  const current = chosen();
  const name = outcomeName(row);
  if (open ? current.outcome === name : current.outcome !== name) return;
  history.replaceState(null, "", addressOf({ ...current, outcome: open ? name : "" }));
}

/** To the outcome that the address names, or to those that it filters. */
function goToChosen() {
  show({ focus: true });
  const filtered = location.hash.includes("=");
  if (filtered && opened < 0) document.getElementById("outcomes").scrollIntoView();
}

function openFirst() {
  if (!decidingKinds.length || location.hash.length > 1) return;
  const line = list.querySelector("details");
  if (!line) return;
  line.dataset.unasked = "yes";
  line.open = true;
}

for (const part of document.querySelectorAll("[data-share]")) part.style.flexGrow = part.dataset.share;
document.documentElement.classList.remove("no-script");
buildFilters();
// A place on the page is gone to without losing what is chosen from the address.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']:not([href*='='])");
  const place = link && document.getElementById(link.getAttribute("href").slice(1));
  if (!place) return;
  event.preventDefault();
  place.tabIndex = -1;
  place.focus({ preventScroll: true });
  place.scrollIntoView();
});
window.addEventListener("hashchange", () => {
  if (location.hash.length > 1 && !location.hash.includes("=")) return; // a place on the page
  goToChosen();
});
goToChosen();
openFirst();
