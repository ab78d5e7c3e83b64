"use strict";
// One outcome: a line that opens into its story, its plots, and a command to see it again.

const figures = new Set(data.figures);

function signOf(kind) {
  return element("span", { class: "sign", "aria-hidden": "true" }, data.signs[kind]);
}

function wordFor(kind) {
  return data.words[kind] ?? kind;
}

function outcomeLine(row, onOpen) {
  const kind = field(row, "kind");
  const place = ["backend", "device", "dtype", "part"].map((name) => field(row, name)).filter(Boolean).join(" · ");
  const head = element(
    "summary",
    {},
    element("span", { class: `status tone-${kind}` }, signOf(kind), wordFor(kind)),
    element("span", { class: "case" }, field(row, "case").split("~")[0]),
    element("span", { class: "who" }, element("b", {}, field(row, "implementation")), ` ${place}`),
    element("span", { class: "margin" }, Number.isNaN(margin(row)) ? "" : `${times(margin(row))} bound`),
  );
  const line = element("details", { class: `outcome edge-${kind}`, "data-row": String(row) }, head);
  line.addEventListener("toggle", () => {
    if (line.open && line.children.length === 1) line.append(story(row));
    if (line.dataset.unasked) delete line.dataset.unasked;
    else onOpen(row, line.open);
  });
  return line;
}

function story(row) {
  const list = element("dl", { class: "facts" });
  const told = data.story[row];
  for (let at = 0; at < told.length; at += 2) {
    const [label, text] = [data.strings[told[at]], data.strings[told[at + 1]]];
    list.append(element("dt", {}, label), element("dd", { class: figures.has(label) ? "mono" : "" }, ...unbroken(text)));
  }
  const command = data.strings[data.replay[row]].replaceAll("\u0000", idOf(row));
  if (command) {
    list.append(element("dt", {}, "replay"), element("dd", {}, copied(command)));
  }
  const body = element("div", { class: "told" }, list);
  const shown = data.evidence[row];
  if (shown) {
    const plots = element("div", { class: "figures" });
    if (shown.map) plots.append(errorMap(shown.map));
    if (shown.curve) plots.append(stepCurve(shown.curve));
    body.append(plots);
  }
  const choice = { ...chosen(), outcome: outcomeName(row) };
  body.append(
    element(
      "p",
      { class: "quiet foot" },
      `${Number(data.seconds[row])} s · `,
      element("a", { href: addressOf({ ...choice, q: "", status: new Set(data.kinds), ...Object.fromEntries(facets.map((name) => [name, ""])) }) }, "link to this outcome"),
    ),
  );
  return body;
}

/** A number such as 6.1e-17 is not to be broken at its hyphen. */
function unbroken(text) {
  return text.split(/(\d[\d.]*e[-+]\d+)/).map((part, at) => (at % 2 ? element("span", { class: "whole" }, part) : part));
}

function copied(command) {
  const button = element("button", { type: "button", class: "copy" }, "Copy");
  button.addEventListener("click", async () => {
    const done = await copyText(command);
    button.textContent = done ? "Copied" : "Select and copy";
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
  return element("div", { class: "command" }, element("code", {}, command), button);
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "off", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
