"use strict";
// Error / bound of every outcome, a line per clause: how near each came to breaking.

const lowest = 1e-4; // what is smaller, or 0, stands at the edge
const highest = 1e4; // and so does what is larger, or infinite
const rowHeight = 20;
const marginBox = document.getElementById("margin-plot");
let marginPlot = null;

function showMargins(choice) {
  const every = { ...choice, status: new Set(data.kinds) };
  const rows = matching(every).filter((row) => !Number.isNaN(margin(row)));
  const section = document.getElementById("margins");
  section.hidden = rows.length === 0;
  if (marginPlot) charts.delete(marginPlot);
  marginPlot?.destroy();
  marginPlot = null;
  marginBox.replaceChildren();
  if (!rows.length) return;
  const clauses = [...new Set(rows.map((row) => field(row, "clause")))].sort();
  const labels = element("div", { class: "labels" }, ...clauses.map((clause) =>
    element("a", { href: addressOf({ ...choice, clause, family: "", outcome: "", status: new Set(data.kinds) }), title: clause }, clause)));
  const canvas = element("div", { class: "strip", role: "img", "aria-label": marginWords(rows) });
  canvas.style.height = `${clauses.length * rowHeight + 24}px`;
  marginBox.append(labels, canvas);
  whenSeen(canvas, () => { marginPlot = drawMargins(canvas, rows, clauses); });
}

function marginWords(rows) {
  const beyond = rows.filter((row) => margin(row) > 1).length;
  return `Error over bound of ${rows.length} outcomes; ${beyond} are beyond 1.`;
}

/** Spreads the outcomes of a clause over the height of its line, always in the same way. */
function jitter(row) {
  return (((row * 0.618033988749895) % 1) - 0.5) * 0.6;
}

function drawMargins(box, rows, clauses) {
  const place = new Map(clauses.map((clause, at) => [clause, at]));
  const points = rows
    .map((row) => ({
      row,
      x: Math.min(Math.max(margin(row), lowest), highest),
      y: place.get(field(row, "clause")) + jitter(row),
      kind: field(row, "kind"),
    }))
    .sort((a, b) => a.x - b.x);
  const kinds = [...presentKinds].reverse(); // the worst are drawn last, over the others
  const columns = kinds.map((kind) => points.map((point) => (point.kind === kind ? point.y : null)));
  const many = points.length > 4000;
  const plot = chart(
    box,
    {
      height: clauses.length * rowHeight + 24,
      padding: [0, 22, 0, 22],
      scales: {
        x: { time: false, distr: 3, log: 10, range: () => [lowest / 1.6, highest * 1.6] },
        y: { range: () => [-0.5, clauses.length - 0.5], dir: -1 },
      },
      axes: [
        logAxis(44, {
          side: 0,
          size: 24,
          values: (u, splits) => splits.map((value) =>
            value <= lowest ? `≤ ${powerOfTen(value)}` : value >= highest ? `≥ ${powerOfTen(value)}` : powerOfTen(value)),
        }),
        { show: false },
      ],
      series: [
        {},
        ...kinds.map((kind) => ({
          paths: () => null,
          points: { show: true, size: many ? 3 : 5, width: 0, space: 0, fill: () => `${colour(`--${kind}`)}${kind === "passed" ? "88" : "dd"}` },
        })),
      ],
      hooks: {
        drawAxes: [(u) => {
          const x = u.valToPos(1, "x", true);
          line(u, x, u.bbox.top, x, u.bbox.top + u.bbox.height, colour("--text"));
        }],
      },
    },
    [points.map((point) => point.x), ...columns],
  );
  followPointer(plot, points);
  return plot;
}

/** Names the outcome under the pointer, and leads to it. */
function followPointer(plot, points) {
  const near = (event) => {
    const rect = plot.over.getBoundingClientRect();
    const [left, top] = [event.clientX - rect.left, event.clientY - rect.top];
    let best = null;
    let nearest = 64;
    for (const point of points) {
      const dy = plot.valToPos(point.y, "y") - top;
      if (dy * dy > nearest) continue;
      const dx = plot.valToPos(point.x, "x") - left;
      if (dx * dx + dy * dy < nearest) [best, nearest] = [point, dx * dx + dy * dy];
    }
    return best;
  };
  plot.over.addEventListener("mousemove", (event) => {
    const point = near(event);
    plot.over.style.cursor = point ? "pointer" : "default";
    plot.over.title = point ? `${data.signs[point.kind]} ${idOf(point.row)}\n${field(point.row, "implementation")} · ${times(margin(point.row))} the bound` : "";
  });
  plot.over.addEventListener("click", (event) => {
    const point = near(event);
    if (point) location.hash = addressOf({ ...choice, outcome: outcomeName(point.row) });
  });
}
