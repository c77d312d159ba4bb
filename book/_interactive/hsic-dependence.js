/* A dependence of the reader's own shape, and what the HSIC test says of it (chapter `hsic`).

   Data, computed by the chapter:
     gamma    increasing bandwidth parameters; the crosshair stops at each
     shapes   name -> { label, settings, runs }: settings from easy to hard to see, and for each
              one sample: x, y (points in standard deviations), hsic, p (one entry per gamma),
              median (gamma of the median heuristic), r (Pearson's correlation) */
"use strict";
DeriveFigures.register("hsic-dependence", (figure, data) => {
  const names = Object.keys(data.shapes);
  const shape = figure.choice("dependence", names);
  const steps = data.shapes[names[0]].settings.map((_, k) => k + 1);
  const step = figure.slider("from easy to hard", steps, {
    start: 1,
    format: (k) => `${k} of ${steps.length}`,
  });
  const chosen = () => data.shapes[shape.value];
  const sample = () => chosen().runs[step.index];
  const setting = () => `${chosen().label} = ${figure.number(chosen().settings[step.index])}`;
  const nearest = (value) => {
    const gaps = data.gamma.map((g) => Math.abs(Math.log(g / value)));
    return gaps.indexOf(Math.min(...gaps));
  };

  figure.plot({
    x: { label: "*x* (standard deviations)", domain: [-3, 3] },
    y: { label: "*y* (standard deviations)", domain: [-3, 3] },
    height: 300,
    marks: () => [{ type: "points", x: sample().x, y: sample().y, color: 1 }],
    say: () => {
      const n = sample().x.length;
      return `${n} points with ${setting()}; Pearson's correlation is ${figure.number(sample().r)}.`;
    },
  });

  figure.plot({
    x: { label: "bandwidth *γ*", scale: "log" },
    y: { label: "p-value", scale: "log", domain: [1e-3, 1] },
    height: 260,
    cursor: data.gamma,
    start: nearest(0.5),
    marks: (i) => {
      figure.state.gamma = data.gamma[i];
      return [
        { type: "line", label: "p-value", x: data.gamma, y: sample().p, color: 2 },
        { type: "rule", label: "5 %", y: 0.05, quiet: true },
        { type: "rule", label: "median heuristic", x: sample().median, theory: true },
      ];
    },
    say: (i) => {
      const { hsic, p, median } = sample();
      const verdict = p[i] <= 0.05 ? "dependence seen" : "nothing seen";
      const visible = data.gamma.filter((_, k) => p[k] <= 0.05);
      const range = visible.length
        ? `Below 5 % for some *γ* from ${figure.number(visible[0])} to ${figure.number(visible.at(-1))}`
        : "Below 5 % for no *γ*";
      return (
        `At *γ* = ${figure.number(data.gamma[i])}: unbiased HSIC ${figure.number(hsic[i])}, ` +
        `p = ${figure.number(p[i])}, ${verdict}. ${range}; ` +
        `at the median heuristic, *γ* = ${figure.number(median)}, p is about ${figure.number(p[nearest(median)])}.`
      );
    },
  });

  figure.plot({
    x: { label: "bandwidth *γ*", scale: "log" },
    y: { label: "unbiased HSIC" },
    height: 220,
    marks: () => [
      { type: "line", label: "HSIC", x: data.gamma, y: sample().hsic, color: 3 },
      { type: "rule", label: "0", y: 0, quiet: true },
      { type: "rule", x: figure.state.gamma, quiet: true },
      { type: "rule", x: sample().median, theory: true },
    ],
  });
});
