"use strict";
// The list of outcomes by clause, as far as it is asked for: 100,000 of them stay usable.

const groupsAtFirst = 20;
const linesAtFirst = 5;
const linesMore = 50;

function outcomeList(rows, onOpen) {
  const groups = byClause(rows);
  const list = document.createDocumentFragment();
  const rest = element("div");
  const show = (from, to) => groups.slice(from, to).map((group) => clauseGroup(group, onOpen));
  list.append(...show(0, groupsAtFirst));
  let shown = groupsAtFirst;
  if (groups.length > shown) {
    const button = moreButton(`Show ${groups.length - shown} more clauses`, () => {
      const next = show(shown, shown + groupsAtFirst);
      shown += groupsAtFirst;
      rest.before(...next);
      next[0].querySelector("summary").focus();
      if (shown >= groups.length) rest.remove();
      else button.textContent = `Show ${groups.length - shown} more clauses`;
    });
    rest.append(button);
    list.append(rest);
  }
  return list;
}

function clauseGroup(rows, onOpen) {
  const first = rows[0];
  const clause = field(first, "clause");
  const counts = new Map();
  for (const row of rows) counts.set(field(row, "kind"), (counts.get(field(row, "kind")) ?? 0) + 1);
  const tally = data.kinds
    .filter((kind) => counts.has(kind))
    .map((kind) => element("span", { class: `tone-${kind}` }, `${data.signs[kind]} ${counts.get(kind)} ${wordFor(kind)}`));
  const lines = element("div", { class: "lines" });
  const group = element(
    "section",
    { class: "clause", "aria-label": clause },
    element("h3", {}, element("code", {}, clause), element("span", { class: "level" }, field(first, "level"))),
    element("p", { class: "statement" }, statementOf(first)),
    element("p", { class: "tally" }, ...tally),
    lines,
  );
  let shown = 0;
  const more = moreButton("", () => {
    const before = lines.childElementCount;
    extend(linesMore);
    lines.children[before]?.querySelector("summary").focus();
  });
  const extend = (number) => {
    for (const row of rows.slice(shown, shown + number)) lines.append(outcomeLine(row, onOpen));
    shown = Math.min(rows.length, shown + number);
    more.textContent = `Show ${Math.min(linesMore, rows.length - shown)} more of ${rows.length}`;
    if (shown >= rows.length) more.remove();
  };
  extend(linesAtFirst);
  if (shown < rows.length) group.append(more);
  group.reach = (row) => {
    const place = rows.indexOf(row);
    if (place >= shown) extend(place + 1 - shown);
    return lines.querySelector(`details[data-row="${row}"]`);
  };
  return group;
}

/** The clause's sentence, without the level that stands beside it. */
function statementOf(row) {
  const told = data.story[row];
  const at = told.findIndex((number, place) => place % 2 === 0 && data.strings[number] === "clause");
  return at < 0 ? "" : data.strings[told[at + 1]].replace(/\s*\((MUST|SHOULD|DECLARED)\)$/, "");
}

function moreButton(text, onClick) {
  return element("button", { type: "button", class: "more", onclick: onClick }, text);
}
