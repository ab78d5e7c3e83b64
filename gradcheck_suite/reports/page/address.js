"use strict";
// What is chosen stands in the address: #status=failed&backend=torch&outcome=…

const presentKinds = valuesOf("kind").sort((a, b) => data.kinds.indexOf(a) - data.kinds.indexOf(b));
const decidingKinds = presentKinds.filter((kind) => data.deciding.includes(kind));

/** What is shown where the address says nothing: what stands in the way, else everything. */
const usualKinds = decidingKinds.length ? decidingKinds : presentKinds;

function chosen() {
  const fragment = location.hash.slice(1);
  const given = new URLSearchParams(fragment.includes("=") ? fragment : "");
  const status = given.get("status");
  const choice = {
    status: new Set(status === "all" ? data.kinds : status ? status.split(",") : usualKinds),
    q: given.get("q") ?? "",
    outcome: given.get("outcome") ?? "",
  };
  for (const name of facets) choice[name] = given.get(name) ?? "";
  return choice;
}

function addressOf(choice) {
  const parts = [];
  const add = (name, value) => parts.push(`${name}=${encodeURIComponent(value).replaceAll("%2F", "/")}`);
  const kinds = presentKinds.filter((kind) => choice.status.has(kind)).join();
  if (kinds !== usualKinds.join()) {
    parts.push(`status=${kinds === presentKinds.join() ? "all" : kinds || "none"}`);
  }
  for (const name of [...facets, "q", "outcome"]) if (choice[name]) add(name, choice[name]);
  return parts.length ? `#${parts.join("&")}` : "#";
}

/** One outcome's name in an address; a merged report may hold one id many times. */
function outcomeName(row) {
  const place = ["implementation", "backend", "device", "part"].map((name) => field(row, name));
  return [idOf(row), ...place.filter(Boolean)].join(" ");
}

function outcomeNamed(name) {
  if (!name) return -1;
  const id = (row) => outcomeName(row) === name || idOf(row) === name;
  for (let row = 0; row < total; row += 1) if (id(row)) return row;
  return -1;
}
