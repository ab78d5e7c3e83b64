"use strict";
// The outcomes as html_outcomes.py wrote them: columns that hold numbers of strings.

const data = JSON.parse(document.getElementById("data").textContent);
const total = data.story.length;
const numberOf = new Map(data.strings.map((text, number) => [text, number]));
const lowered = [];

const facets = ["backend", "dtype", "family", "clause", "implementation", "part"];

// family is the first part of a clause.
data.columns.family = (() => {
  const known = new Map();
  const familyOf = (clause) => {
    if (!known.has(clause)) {
      const family = data.strings[clause].split(".")[0];
      if (!numberOf.has(family)) numberOf.set(family, data.strings.push(family) - 1);
      known.set(clause, numberOf.get(family));
    }
    return known.get(clause);
  };
  return data.columns.clause.map(familyOf);
})();

function field(row, name) {
  return data.strings[data.columns[name][row]];
}

/** The outcome's address on the command line: clause/case@dtype. */
function idOf(row) {
  return `${field(row, "clause")}/${field(row, "case")}@${field(row, "dtype")}`;
}

/** Error / bound; NaN where no inequality was tested. */
function margin(row) {
  return data.margin[row] === null ? NaN : Number(data.margin[row]);
}

function valuesOf(name) {
  const numbers = new Set(data.columns[name]);
  return [...numbers].map((number) => data.strings[number]).sort();
}

/** The rows that match a choice {status: Set, q, backend, dtype, …}. */
function matching(choice) {
  const kinds = new Set([...choice.status].map((kind) => numberOf.get(kind)));
  const wanted = facets
    .filter((name) => choice[name])
    .map((name) => [data.columns[name], numberOf.get(choice[name]) ?? -1]);
  const searched = words(choice.q).map(stringsWith);
  const rows = [];
  for (let row = 0; row < total; row += 1) {
    if (!kinds.has(data.columns.kind[row])) continue;
    if (!wanted.every(([column, number]) => column[row] === number)) continue;
    if (searched.every((found) => says(row, found))) rows.push(row);
  }
  return rows;
}

function words(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

function stringsWith(word) {
  if (!lowered.length) for (const text of data.strings) lowered.push(text.toLowerCase());
  return lowered.map((text) => text.includes(word));
}

const searchedColumns = ["clause", "case", "implementation", "backend", "device", "dtype", "part", "kind"];

function says(row, found) {
  return (
    searchedColumns.some((name) => found[data.columns[name][row]]) ||
    data.story[row].some((number) => found[number])
  );
}

/** Rows by clause, the worst clause first, and in each the worst outcome. */
function byClause(rows) {
  const rank = new Map(data.kinds.map((kind, place) => [numberOf.get(kind), place]));
  const severity = (row) => rank.get(data.columns.kind[row]);
  const groups = new Map();
  for (const row of rows) {
    const clause = data.columns.clause[row];
    if (!groups.has(clause)) groups.set(clause, []);
    groups.get(clause).push(row);
  }
  for (const group of groups.values()) group.sort((a, b) => severity(a) - severity(b) || a - b);
  return [...groups.values()].sort((a, b) => severity(a[0]) - severity(b[0]) || a[0] - b[0]);
}
