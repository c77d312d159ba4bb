/* The kit of the book's interactive figures: no dependency, no network, nothing moves by itself.
   The static image of <figure class="interactive" data-figure=NAME> is hidden, on screens, only
   while a drawing stands.

     DeriveFigures.register("demo-decay", (figure, data) => {
       const rate = figure.slider("rate *λ*", data.rates, { start: 2, unit: "per s" });
       figure.plot({
         x: { label: "time (s)" },
         y: { label: "mass (g)", scale: "log" },
         cursor: data.t, // where the crosshair may stand: pointer, arrow keys
         marks: () => [{ type: "line", label: "measured", x: data.t, y: data.mass[rate.index] }],
         say: (i) => `After ${figure.number(data.t[i])} s …`,
       });
     });

   slider(label, values, {start, unit, format}) and choice(label, options, {start}) have .index and
   .value; button(label, action). plot({x, y, cursor, start, marks, say, height}): axes are {label,
   scale: "linear" | "log", domain}; cursor and entries of axes may be functions. Marks (null is a
   gap): line and points {x, y}, area {x, low, high}, bars {edges, y}, rule {x} or {y}; each with
   label, color (1 to 6), theory (ink, dashed), quiet (thin, grey). *Stars* set italics. */
"use strict";
(() => { // one scope for the whole file, not indented
const drawers = new Map();
const drawn = new Set();
let ids = 0;
const list = (value) => (typeof value === "function" ? value() : value);
const clamp = (v, low, high) => Math.min(Math.max(v, low), high);
const known = (v) => typeof v === "number" && Number.isFinite(v);

// ---- numbers and text
const group = (digits) => digits.replace(/\d{5,}/, (d) => d.replace(/\B(?=(\d{3})+$)/g, "\u202f"));
const signed = (v, digits) => (v < 0 && /[1-9]/.test(digits) ? "−" : "") + digits;
const integer = (v) => (known(v) ? signed(v, group(Math.abs(v).toFixed(0))) : "–");
/** Three significant digits: 16 600, 0.0123, 4.2 × 10⁻⁷. */
function number(v) {
  if (!known(v)) return "–";
  const [mantissa, exponent] = Math.abs(v).toExponential(2).split("e").map(Number);
  if (v === 0 || (exponent >= -3 && exponent < 5)) return signed(v, group(`${+Math.abs(v).toPrecision(3)}`));
  const power = `${exponent}`.replace(/./g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");
  return signed(v, `${mantissa === 1 ? "" : mantissa + " × "}10${power}`);
}
const plain = (text) => text.replaceAll("*", "");

/** An element; in its strings *starred* parts are set in italics. */
function make(tag, attributes = {}, ...children) {
  const inSvg = /^(svg|g|path|text|tspan|circle|clipPath|rect)$/.test(tag);
  const node = inSvg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  set(node, attributes);
  for (const child of children) {
    if (typeof child !== "string") node.append(child);
    else child.split("*").forEach((part, k) => node.append(k % 2 ? make(inSvg ? "tspan" : "em", {}, part) : part));
  }
  return node;
}
const set = (node, attributes) => Object.entries(attributes).forEach((pair) => node.setAttribute(...pair));

// ---- axes
function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((m) => m * unit >= rough * 0.999);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const short = decimals < 5 && Math.max(-low, high) < 1e5;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) => {
    const value = (first + k) * step;
    return { value, text: short ? signed(value, group(Math.abs(value).toFixed(decimals))) : number(value) };
  });
}
function logTicks(low, high, count) {
  const decades = Math.log10(high / low);
  const every = Math.ceil(decades / count);
  const mantissas = decades > count / 2 ? [1] : decades > count / 3 ? [1, 3] : [1, 2, 5];
  const ticks = [];
  for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++) {
    if (k % every === 0) ticks.push(...mantissas.map((m) => Number(`${m}e${k}`)));
  }
  const inside = ticks.filter((v) => v >= low * 0.999 && v <= high * 1.001);
  return inside.length < 2 ? linearTicks(low, high, count) : inside.map((value) => ({ value, text: number(value) }));
}
/** An axis over the pixels from..to; without a domain it fits the values, with padding. */
function axis(spec, values, padding, from, to, spacing) {
  const log = list(spec.scale) === "log";
  const f = log ? Math.log10 : (v) => v;
  const valid = (v) => known(v) && (!log || v > 0);
  const domain = list(spec.domain);
  const shown = (domain ?? values).filter(valid).map(f).sort((a, b) => a - b);
  if (!shown.length) throw new Error(`no value to show on axis ${list(spec.label)}`);
  let [low, high] = [shown[0], shown.at(-1)];
  const pad = low === high ? 0.5 : domain ? 0 : padding * (high - low);
  if (low !== 0) low -= pad; // bars stand on the axis
  high += pad;
  const count = Math.max(2, Math.abs(to - from) / spacing);
  return {
    label: list(spec.label) ?? "",
    at: (v) => (valid(v) ? from + ((f(v) - low) / (high - low)) * (to - from) : null),
    ticks: log ? logTicks(10 ** low, 10 ** high, count) : linearTicks(low, high, count),
    low: Math.min(from, to),
    high: Math.max(from, to),
  };
}

// ---- marks
const point = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;
const ring = (points) => `M${points.map((p) => point(...p)).join("L")}z`;
const POLYGONS = [[20, 0], [4, 45], [3, -90], [4, 0], [3, 90], [5, -90]]; // corners, turned by degrees
function marker(x, y, color, radius) {
  const [corners, turn] = POLYGONS[(color + 5) % 6];
  const angles = Array.from({ length: corners }, (_, k) => ((turn + (360 * k) / corners) * Math.PI) / 180);
  return ring(angles.map((a) => [x + radius * Math.cos(a), y + radius * Math.sin(a)]));
}
function path(mark, X, Y) {
  if (mark.type === "rule" && mark.x === undefined) return `M${X.low} ${Y.at(mark.y)}H${X.high}`;
  if (mark.type === "rule") return `M${X.at(mark.x)} ${Y.low}V${Y.high}`;
  if (mark.type === "bars") {
    const floor = Y.at(0) ?? Y.high;
    const edges = mark.edges.map(X.at);
    return mark.y.map((v, k) => `M${point(edges[k], floor)}V${Y.at(v) ?? floor}H${edges[k + 1]}V${floor}z`).join("");
  }
  if (mark.type === "area") {
    const [low, high] = [mark.low, mark.high].map((ys) => places(mark.x, ys, X, Y).filter(Boolean));
    return high.length ? ring([...high, ...low.reverse()]) : "";
  }
  const at = places(mark.x, mark.y, X, Y);
  if (mark.type === "points") return at.map((p) => (p ? marker(...p, mark.color, at.length > 150 ? 3 : 4.5) : "")).join("");
  return at.map((p, k) => p && (at[k - 1] ? "L" : "M") + point(...p)).join("");
}
/** Pixels [x, y] of each point, null where one is missing. */
const places = (xs, ys, X, Y) => xs.map((x, k) => [X.at(x), Y.at(ys[k])]).map((p) => (p.includes(null) ? null : p));
const look = (mark) => `${mark.type} c${mark.color}${mark.theory ? " theory" : ""}${mark.quiet ? " quiet" : ""}`;

/** Where a line ends, if that is at the right edge: its label goes there, else to the legend. */
function ending(mark, X, Y) {
  if (mark.type === "rule" && mark.x === undefined) return [X.high, Y.at(mark.y)];
  const last = mark.type === "line" && places(mark.x, mark.y, X, Y).filter(Boolean).at(-1);
  const inside = last && last[1] >= Y.low - 1 && last[1] <= Y.high + 1 && last[0] <= X.high + 1;
  return inside && last[0] > X.high - 0.1 * (X.high - X.low) ? last : null;
}

// ---- a plot: axes, marks, crosshair, labels; returns the x axis
function paint(canvas, legend, spec, marks, cursor, width, height) {
  const values = (...keys) => marks.flatMap((m) => keys.flatMap((key) => m[key] ?? []));
  const [xs, ys] = [values("x", "edges"), values("y", "low", "high")];
  if (marks.some((m) => m.type === "bars") && list(spec.y.scale) !== "log") ys.push(0);
  const padding = marks.some((m) => m.type === "points") ? 0.03 : 0;
  const size = (text) => {
    const node = canvas.appendChild(make("text", {}, text));
    const length = node.getComputedTextLength();
    node.remove();
    return length;
  };
  const write = (x, y, text, anchor = "start", kind = "name") =>
    canvas.append(make("text", { x, y, "text-anchor": anchor, class: kind }, text));
  const trace = (kind, d) => canvas.append(make("path", { class: kind, d }));

  const Y = axis(spec.y, ys, 0.05, height - 44, 34, 42);
  const left = Math.max(...Y.ticks.map((t) => size(t.text))) + 10;
  let X = axis(spec.x, xs, padding, left, width - 12, 72);
  let ends = width < 540 ? [] : marks.filter((m) => m.label && ending(m, X, Y));
  const room = Math.max(0, ...ends.map((m) => size(m.label))) + 24;
  if (room > 0.36 * width) ends = [];
  if (ends.length) X = axis(spec.x, xs, padding, left, width - room, 72);

  for (const { value, text } of Y.ticks) {
    trace("grid", `M${X.low} ${Y.at(value)}H${X.high}`);
    write(X.low - 7, Y.at(value) + 4, text, "end", "number");
  }
  let free = -Infinity; // where the next number may begin
  for (const { value, text } of X.ticks) {
    const [x, half] = [X.at(value), size(text) / 2];
    trace("base", `M${x} ${Y.high}v5`);
    if (x - half < free) continue;
    write(Math.min(x, width - half), Y.high + 18, text, "middle", "number");
    free = x + half + 8;
  }
  trace("base", `M${X.low} ${Y.high}H${X.high}`);
  write((X.low + X.high) / 2, height - 6, X.label, "middle");
  write(0, 12, Y.label);

  const id = `fig-${++ids}`;
  const inside = { x: X.low - 1, y: Y.low - 5, width: X.high - X.low + 2, height: Y.high - Y.low + 5 };
  const paths = marks.map((m) => make("path", { class: look(m), d: path(m, X, Y) }));
  canvas.append(make("clipPath", { id }, make("rect", inside)), make("g", { "clip-path": `url(#${id})` }, ...paths));

  const x = X.at(cursor);
  if (x !== null) {
    trace("hair", `M${x} ${Y.low - 5}V${Y.high}`);
    trace("grip", `M${x} ${Y.low - 4}l5-6v-5h-10v5z`);
    for (const m of marks.filter((m) => m.type === "line" && !m.quiet)) {
      const cy = Y.at(m.y[m.x.indexOf(cursor)]);
      if (cy !== null && cy >= Y.low - 5 && cy <= Y.high) canvas.append(make("circle", { class: look(m), cx: x, cy, r: 4 }));
    }
  }
  // Labels at least 17 px apart: pushed down from the top, then up from the bottom.
  const labels = ends.map((mark) => ({ mark, end: ending(mark, X, Y), y: ending(mark, X, Y)[1] })).sort((a, b) => a.y - b.y);
  labels.forEach((l, k) => (l.y = Math.max(l.y, k ? labels[k - 1].y + 17 : Y.low)));
  labels.reverse().forEach((l, k) => (l.y = Math.min(l.y, k ? labels[k - 1].y - 17 : Y.high)));
  for (const { mark, end, y } of labels) {
    trace(look(mark) + " leader", `M${point(...end)}L${point(X.high + 8, y)}h7`);
    write(X.high + 19, y + 4, mark.label);
  }
  const key = (m) => {
    const d = { points: marker(14, 6, m.color, 5), area: "M0 0H28V12H0z", bars: "M0 0H28V12H0z" }[m.type] ?? "M0 6H28";
    const swatch = make("svg", { width: 28, height: 12, "aria-hidden": true }, make("path", { class: look(m), d }));
    return make("span", {}, swatch, make("span", {}, m.label));
  };
  legend.replaceChildren(...marks.filter((m) => m.label && !ends.includes(m)).map(key));
  return X;
}

// ---- a figure: controls and plots on its stage
function build(root, draw) {
  const stage = root.querySelector(":scope > .stage");
  const controls = make("div", { class: "controls" });
  const plots = [];
  function redraw() {
    try {
      plots.forEach((plot) => plot());
      root.classList.add("is-live"); // on screens kit.css now hides the image
    } catch (error) {
      fail(error);
    }
  }
  function fail(error) {
    plots.length = 0;
    root.classList.remove("is-live");
    stage.replaceChildren();
    console.error(`Interactive figure ${root.dataset.figure}: ${error.stack}`);
  }

  function slider(label, values, { start = 0, unit = "", format = number } = {}) {
    const id = `fig-${++ids}`;
    const input = make("input", { type: "range", id, max: values.length - 1, value: start });
    const output = make("output", { for: id });
    const control = {
      get index() { return Number(input.value); },
      get value() { return values[control.index]; },
      get text() { return `${format(control.value)} ${unit}`.trim(); },
    };
    const tell = () => input.setAttribute("aria-valuetext", (output.textContent = control.text));
    input.addEventListener("input", () => (tell(), redraw()));
    tell();
    controls.append(make("div", { class: "control" }, make("label", { for: id }, label), output, input));
    return control;
  }
  function choice(label, options, { start = 0 } = {}) {
    const id = `fig-${++ids}`;
    const control = { index: start, get value() { return options[control.index]; } };
    const choose = (k) => ((control.index = k), redraw());
    if (options.length > 4) {
      const select = make("select", { id }, ...options.map((text) => make("option", {}, plain(text))));
      select.selectedIndex = start;
      select.addEventListener("change", () => choose(select.selectedIndex));
      controls.append(make("div", { class: "control" }, make("label", { for: id }, label), select));
      return control;
    }
    const radios = options.map((text, k) => {
      const radio = make("input", { type: "radio", name: id, ...(k === start && { checked: "" }) });
      radio.addEventListener("change", () => choose(k));
      return make("label", {}, radio, make("span", {}, text));
    });
    controls.append(make("fieldset", { class: "control" }, make("legend", {}, label), ...radios));
    return control;
  }
  function button(label, action) {
    const node = make("button", { type: "button" }, label);
    node.addEventListener("click", () => (action(), redraw()));
    controls.append(node);
  }

  function canvas({ label, height, paint, say }) {
    const box = make("div", { class: "plot", role: "img", "aria-label": plain(label) });
    const readout = make("p", { class: "readout", "aria-live": "polite" });
    stage.append(box, readout);
    plots.push(() => { // one scope for the whole file, not indented
      const width = box.clientWidth;
      if (!width) return;
      const svg = make("svg", { width, height, "aria-hidden": true });
      box.replaceChildren(svg);
      paint(svg, width, make);
      readout.replaceChildren(make("span", {}, say()));
    });
  }

  function plot(spec) {
    const box = make("div", { class: "plot" });
    const legend = make("div", { class: "legend" });
    const readout = make("p", { class: "readout", "aria-live": "polite" });
    let index = spec.start ?? 0;
    let said, X;
    stage.append(box, legend, ...(spec.say ? [readout] : []));
    plots.push(() => { // one scope for the whole file, not indented
      const width = box.clientWidth;
      if (!width) return; // folded away; drawn when it unfolds
      const stops = list(spec.cursor);
      if (stops) index = clamp(index, 0, stops.length - 1);
      let colors = 0;
      const marks = spec.marks(index).map((m) => ({ ...m, color: m.color ?? (m.theory || m.quiet ? 0 : (colors++ % 6) + 1) }));
      const height = spec.height ?? clamp(width * 0.55, 240, 380);
      const canvas = make("svg", { width, height, "aria-hidden": true });
      box.replaceChildren(canvas); // first, so that text can be measured
      X = paint(canvas, legend, spec, marks, stops?.[index], width, height);
      const text = spec.say?.(index);
      if (text !== said) readout.replaceChildren(make("span", {}, (said = text))); // once, not at each resize
      set(box, stops ? { role: "slider", tabindex: 0, "aria-label": `Position along ${plain(X.label)}`,
        "aria-valuemin": 0, "aria-valuemax": stops.length - 1, "aria-valuenow": index, "aria-valuetext": number(stops[index]) }
        : { role: "img", "aria-label": plain(`${list(spec.y.label)} against ${X.label}`) });
    });
    if (!spec.cursor) return;
    const move = (to) => {
      const stop = clamp(to, 0, list(spec.cursor).length - 1);
      if (stop !== index) (index = stop), redraw();
    };
    const follow = (event) => {
      const x = event.clientX - box.getBoundingClientRect().left;
      const gaps = list(spec.cursor).map((v) => Math.abs(X.at(v) - x));
      move(gaps.indexOf(Math.min(...gaps)));
    };
    box.classList.add("has-cursor");
    box.addEventListener("pointermove", follow);
    box.addEventListener("pointerdown", follow);
    box.addEventListener("keydown", (event) => {
      const last = list(spec.cursor).length - 1;
      const page = Math.ceil(last / 10);
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -page, PageUp: page, Home: -last, End: last };
      if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      move(index + steps[event.key]);
    });
  }
  try {
    const data = JSON.parse(root.querySelector(':scope > script[type="application/json"]').textContent);
    set(stage, { role: "group", "aria-label": root.querySelector("img").alt });
    stage.append(controls);
    draw({ slider, choice, button, canvas, plot, number, integer, state: {} }, data);
  } catch (error) {
    return fail(error);
  }
  redraw();
  let width = stage.clientWidth;
  new ResizeObserver(() => requestAnimationFrame(() => { // one scope for the whole file, not indented
    if (stage.clientWidth !== width) (width = stage.clientWidth), redraw();
  })).observe(stage);
}

window.DeriveFigures = {
  register(name, draw) {
    drawers.set(name, draw);
    if (document.readyState !== "loading") start();
  },
};
function start() {
  for (const root of document.querySelectorAll("figure.interactive[data-figure]")) {
    const draw = drawers.get(root.dataset.figure);
    if (draw && drawn.size < drawn.add(root).size) build(root, draw); // once
  }
}
document.addEventListener("DOMContentLoaded", start);
})();
