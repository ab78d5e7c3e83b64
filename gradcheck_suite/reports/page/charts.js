"use strict";
// Plots: uPlot on a canvas, in the page's own colours, which change with the scheme.

const charts = new Set();
const chartFont = "11px system-ui, sans-serif";

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";

function powerOfTen(value) {
  const power = Math.round(Math.log10(value));
  if (power === 0) return "1";
  const digits = [...String(Math.abs(power))].map((digit) => superscripts[digit]).join("");
  return `10${power < 0 ? "⁻" : ""}${digits}`;
}

/** Every decade, or every second, third, … where there are many. */
function decades(u, axis, low, high, room) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const along = axis === 0 ? u.bbox.width : u.bbox.height;
  const every = Math.max(1, Math.ceil(((last - first) * room) / (along / devicePixelRatio)));
  const found = [];
  for (let power = first; power <= last; power += 1) {
    if (power % every === 0) found.push(10 ** power);
  }
  return found;
}

function logAxis(room, extra = {}) {
  return {
    stroke: () => colour("--quiet"),
    grid: { stroke: () => colour("--line"), width: 1 },
    ticks: { show: false },
    font: chartFont,
    splits: (u, axis, low, high) => decades(u, axis, low, high, room),
    filter: (u, splits) => splits,
    values: (u, splits) => splits.map(powerOfTen),
    ...extra,
  };
}

/** Draws when it is seen, follows the width of its box and the colour scheme. */
function chart(box, options, points) {
  const width = () => Math.max(160, Math.floor(box.clientWidth));
  const plot = new uPlot(
    { width: width(), legend: { show: false }, cursor: { show: false }, ...options },
    points,
    box,
  );
  charts.add(plot);
  new ResizeObserver(() => {
    if (box.isConnected && width() !== plot.width) plot.setSize({ width: width(), height: plot.height });
  }).observe(box);
  return plot;
}

/** Plots of stories that are no longer in the list. */
function forgetCharts() {
  for (const plot of charts) {
    if (plot.root.isConnected) continue;
    plot.destroy();
    charts.delete(plot);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const plot of charts) plot.redraw(false, true);
});

function line(u, x0, y0, x1, y1, stroke, dash = []) {
  const context = u.ctx;
  context.save();
  context.beginPath();
  context.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  context.clip();
  context.strokeStyle = stroke;
  context.lineWidth = devicePixelRatio;
  context.setLineDash(dash.map((part) => part * devicePixelRatio));
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
  context.restore();
}

/** Error of the finite difference against the step, with the slopes that are expected. */
function stepCurve(curve) {
  const steps = curve.steps;
  const toGot = curve.to_got.map(Number);
  const toSpecified = curve.to_specified.map(Number);
  const finite = [...toGot, ...toSpecified].filter((value) => value > 0 && Number.isFinite(value));
  const low = 10 ** Math.floor(Math.log10(Math.min(...finite, Number(curve.rounding) || Infinity)) - 0.3);
  const high = 10 ** Math.ceil(Math.log10(Math.max(...finite)) + 0.3);
  const shown = (values) => values.map((value) => (Number.isFinite(value) ? Math.max(value, low) : null));
  const guides = (u) => {
    const at = (h, error) => [u.valToPos(h, "x", true), u.valToPos(error, "y", true)];
    const guide = (error, power) => {
      if (!(error > 0)) return;
      const [first, last] = [steps[0], steps[steps.length - 1]];
      const end = (h) => at(h, Math.max(error * (h / curve.chosen) ** power, 1e-300));
      line(u, ...end(first), ...end(last), colour("--quiet"), [2, 4]);
    };
    guide(Number(curve.rounding), -1);
    guide(Number(curve.truncation), curve.order);
    const x = u.valToPos(curve.chosen, "x", true);
    line(u, x, u.bbox.top, x, u.bbox.top + u.bbox.height, colour("--quiet"), [1, 0]);
  };
  const series = (stroke, extra) => ({
    stroke: () => colour(stroke),
    width: 2,
    points: { show: true, size: 5, width: 0, fill: () => colour(stroke) },
    ...extra,
  });
  const box = element("div", {
    class: "plot",
    role: "img",
    "aria-label":
      `Finite-difference error against step. Distance to what is specified: at least ` +
      `${exponent(Math.min(...toSpecified))}; to what came back: at least ${exponent(Math.min(...toGot))}.`,
  });
  const caption = element(
    "figcaption",
    {},
    element("strong", {}, "The value's own slope"),
    ` along ${curve.along}, by finite differences: its distance to `,
    element("span", { class: "key key-specified" }, "what is specified"),
    " and to ",
    element("span", { class: "key key-got" }, "what came back"),
    `, over the step h. Dotted: rounding ∝ 1/h, truncation ∝ h${superscripts[curve.order] ?? ""}. Upright: h = ${exponent(curve.chosen)}, where the check begins.`,
  );
  const figure = element("figure", {}, caption, box);
  whenSeen(box, () =>
    chart(
      box,
      {
        height: 244,
        padding: [8, 8, 0, 0],
        scales: {
          x: { time: false, distr: 3, log: 10, range: () => [steps[0] / 1.5, steps[steps.length - 1] * 1.5] },
          y: { distr: 3, log: 10, range: () => [low, high] },
        },
        axes: [logAxis(46, { size: 26, label: "step h", labelSize: 18, labelFont: chartFont }), logAxis(24, { size: 48 })],
        series: [{}, series("--got", { dash: [6, 3] }), series("--specified")],
        hooks: { drawAxes: [guides] },
      },
      [steps, shown(toGot), shown(toSpecified)],
    ),
  );
  return figure;
}

/** The error, cell by cell: the sign by colour and letter, the size by depth. */
function errorMap(map) {
  const errors = map.errors.map((row) => row.map(Number));
  const margins = map.margins.map((row) => row.map(Number));
  const sizes = errors.flat().map(Math.abs).filter((size) => size > 0 && Number.isFinite(size));
  const largest = Math.max(...sizes, 0);
  const isVector = map.shape.length === 1;
  const columns = isVector ? errors.length : errors[0].length;
  const rows = isVector ? [errors.map((row) => row[0])] : errors;
  const marginAt = (row, column) => (isVector ? margins[column][0] : margins[row][column]);
  const [high, wide] = map.block;
  const numbers = columns <= 6;
  const body = rows.map((row, r) =>
    row.map((error, c) => {
      const broken = marginAt(r, c) > 1;
      const depth = Number.isFinite(error) && largest > 0
        ? Math.max(0.15, 1 + Math.log10(Math.abs(error) / largest) / 4)
        : 1;
      const tone = !broken ? "held" : Number.isNaN(error) ? "nan" : error < 0 ? "minus" : "plus";
      const place = isVector
        ? span("row", c, high, map.shape[0])
        : `${span("row", r, high, map.shape[0])}, ${span("class", c, wide, map.shape[1])}`;
      const sign = tone === "nan" ? "×" : tone === "minus" ? "−" : "+";
      const said = numbers ? short(error) : broken ? sign : "";
      const cell = element("i", { class: tone }, broken || numbers ? said : "");
      cell.style.setProperty("--depth", String(depth));
      cell.title = `${place}: error ${short(error)}, ${times(marginAt(r, c))} the bound`;
      return cell;
    }),
  ).flat();
  const grid = element(
    "div",
    {
      class: `map ${numbers ? "with-numbers" : ""}`,
      role: "img",
      "aria-label": `Error by element, ${map.shape.join(" × ")}: ${margins.flat().filter((each) => each > 1).length} of ${margins.flat().length} cells beyond the bound.`,
    },
    ...body,
  );
  grid.style.setProperty("--columns", String(columns));
  const blocks = high * wide > 1 ? ` A cell is ${high} × ${wide} elements and shows the worst.` : "";
  const axes = isVector ? "rows" : `${map.shape[0]} rows × ${map.shape[1]} classes`;
  const caption = element(
    "figcaption",
    {},
    element("strong", {}, `got − ${map.against}`),
    ` over ${axes}: `,
    element("span", { class: "key key-plus" }, "+ too large"),
    ", ",
    element("span", { class: "key key-minus" }, "− too small"),
    `, plain where the bound holds.${blocks}`,
  );
  return element("figure", {}, caption, grid);
}

function span(name, cell, block, size) {
  const first = cell * block;
  const last = Math.min(first + block, size) - 1;
  return first === last ? `${name} ${first}` : `${name} ${first}–${last}`;
}

function exponent(value) {
  return Number.isFinite(value) ? value.toExponential(1).replace("e+", "e") : String(value);
}

function short(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value < 0 ? "−∞" : "∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 0.01 && size < 1000 ? String(Number(value.toPrecision(2))) : exponent(value);
  return text.replaceAll("-", "−");
}

function times(value) {
  if (Number.isNaN(value)) return "";
  if (!Number.isFinite(value)) return "∞ ×";
  if (value >= 1000) return `${powerOfTen(value)} ×`;
  return `${value >= 10 ? Math.round(value) : Number(value.toPrecision(2))} ×`;
}

/** A plot in a closed story or far down the page is drawn when it comes into view. */
function whenSeen(box, draw) {
  const observer = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    draw();
  }, { rootMargin: "400px" });
  observer.observe(box);
}
