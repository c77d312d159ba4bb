/* Partial sums of a divergent series beside what resummation makes of the same coefficients
   (chapter `gaussian-integrals`).

   Data, computed by the chapter, one row per coupling, one entry per order n = 0, 1, …:
     g, start        couplings (slider) and the index shown first
     truth           F(g), one number per coupling
     sum, error      partial sum S_n (cut at ±1000) and its distance from F
     pade, borel     [lower, upper] bounds from c_0 … c_n; null where there is none
     pade_width, borel_width
                     upper - lower, which the rounded bounds no longer tell
     weniger, weniger_error
                     Weniger's transform of the same terms and its distance from F */
"use strict";
DeriveFigures.register("gaussian-series", (figure, data) => {
  const last = data.sum[0].length - 1;
  const g = figure.slider("coupling *g*", data.g, { start: data.start });
  const order = figure.slider("terms up to order *n*", Array.from({ length: last + 1 }, (_, n) => n), { start: 6 });
  const method = figure.choice("resummed by", ["Borel–Padé bracket", "Padé bracket", "Weniger"]);

  /** The first entries, up to the chosen order. */
  const upTo = (row) => row.slice(0, order.value + 1);
  const orders = () => upTo(data.sum[0].map((_, n) => n));
  const bracket = () => data[method.index ? "pade" : "borel"][g.index];
  const isBracket = () => method.index < 2;

  figure.plot({
    x: { label: "order *n*", domain: [-0.5, last + 0.5] },
    y: {
      label: "sum of the terms up to *n*",
      domain: () => [data.truth[g.index] - 0.25, data.truth[g.index] + 0.25],
    },
    height: 300,
    marks: () => [
      { type: "line", x: orders(), y: upTo(data.sum[g.index]), quiet: true },
      { type: "points", label: "as they come", x: orders(), y: upTo(data.sum[g.index]), color: 1 },
      ...(isBracket() ? band() : [{ type: "points", label: "resummed", x: orders(), y: upTo(data.weniger[g.index]), color: 2 }]),
      { type: "rule", label: "*F*(*g*)", y: data.truth[g.index], theory: true },
    ],
    say: () => {
      const n = order.value;
      const sum = data.sum[g.index][n];
      const plain = Math.abs(sum) >= 1000 ? "beyond ±1000" : digits(sum);
      return (
        `At *g* = ${figure.number(g.value)} the terms up to order ${n} add up to ${plain}` +
        ` (the least error, ${figure.number(Math.min(...data.error[g.index]))}, is at order ${best()}); ` +
        `${resummed(n)} The truth is ${digits(data.truth[g.index])}.`
      );
    },
  });

  figure.plot({
    x: { label: "order *n*", domain: [-0.5, last + 0.5] },
    y: { label: "error, or width of the bracket", scale: "log", domain: [1e-15, 1e6] },
    height: 260,
    marks: () => [
      { type: "line", label: "as they come", x: orders(), y: upTo(data.error[g.index]), color: 1 },
      { type: "line", label: "resummed", x: orders(), y: upTo(widths()), color: 2 },
      { type: "rule", x: best(), quiet: true },
    ],
  });

  /** The band; with the order at 0 there is none yet. */
  function band() {
    if (order.value < 1) return [];
    const [low, high] = bracket().map(upTo);
    return [{ type: "area", label: "certain to hold *F*", x: orders(), low, high, color: 2 }];
  }
  function widths() {
    const name = ["borel_width", "pade_width", "weniger_error"][method.index];
    return data[name][g.index];
  }
  function best() {
    const errors = data.error[g.index];
    return errors.indexOf(Math.min(...errors));
  }
  function resummed(n) {
    if (!isBracket()) {
      if (n < 2) return "Weniger's transform needs order 2.";
      const error = figure.number(data.weniger_error[g.index][n]);
      return `the same terms, resummed, give ${digits(data.weniger[g.index][n])}, wrong by ${error}.`;
    }
    if (n < 1) return "a bracket needs order 1.";
    const [low, high] = bracket().map((row) => row[n]);
    const width = figure.number(widths()[n]);
    return `the same coefficients enclose it between ${digits(low)} and ${digits(high)}, ${width} apart.`;
  }
  function digits(v) {
    return v.toFixed(4).replace("-", "−");
  }
});
