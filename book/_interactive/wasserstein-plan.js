/* An entropic transport plan on a road, from blur to staircase (chapter `wasserstein`).

   Data, computed by the chapter:
     x        positions (km) of heaps and of ditches, increasing
     epsilon  strengths of the entropy (km²), decreasing; the slider stops at each
     start    index into epsilon that is shown first
     exact    the exact cost (km²)
     heaps, ditches   weights at the positions, sum 1
     best     where the exact plan sends each heap on average (km)
     plans    one entry per epsilon: low, high, mean (10 % and 90 % points and mean of where each
              heap goes, km), share (of each heap, to each ditch, in thousandths), interval
              (certified bounds of the exact cost, km², as text: rounded outwards) */
"use strict";
DeriveFigures.register("wasserstein-plan", (figure, data) => {
  const epsilon = figure.slider("entropy *ε*", data.epsilon, { start: data.start, unit: "km²" });
  const plan = () => data.plans[epsilon.index];
  const half = (data.x[1] - data.x[0]) / 2;
  const edges = [...data.x.map((x) => x - half), data.x.at(-1) + half];

  figure.plot({
    x: { label: "heap at (km)", domain: [0, 1] },
    y: { label: "goes to (km)", domain: [0, 1] },
    height: 320,
    cursor: data.x,
    start: 6,
    marks: (i) => {
      figure.state.heap = i;
      return [
        { type: "area", label: "10 % to 90 % of its mass", x: data.x, low: plan().low, high: plan().high },
        { type: "line", label: "mean", x: data.x, y: plan().mean, color: 2 },
        { type: "line", label: "exact plan", x: data.x, y: data.best, theory: true },
      ];
    },
    say: (i) => {
      const to = figure.number(plan().mean[i]);
      return (
        `At *ε* = ${epsilon.text} the cost is certified to lie in ${plan().interval} km²; ` +
        `it is ${data.exact.toFixed(4)}. The heap at ${figure.number(data.x[i])} km goes to ${to} km on average, ` +
        `mostly between ${figure.number(plan().low[i])} and ${figure.number(plan().high[i])}.`
      );
    },
  });

  figure.plot({
    x: { label: "position (km)", domain: [0, 1] },
    y: { label: "share of the mass (%)" },
    height: 220,
    marks: () => {
      const heap = figure.state.heap ?? 6;
      return [
        { type: "bars", label: "where the chosen heap goes", edges, y: plan().share[heap].map((s) => s / 10), color: 1 },
        { type: "line", label: "all ditches", x: data.x, y: data.ditches.map((w) => 100 * w), color: 2 },
        { type: "line", label: "all heaps", x: data.x, y: data.heaps.map((w) => 100 * w), quiet: true },
      ];
    },
  });
});
