/* Inner products of many unit vectors while gradient descent makes them nearly orthogonal
   (chapter `jl-lemma`).

   Data, computed by the chapter:
     steps    numbers of gradient steps; the slider stops at each
     edges    bin edges of the histogram
     density  one histogram (density) per entry of steps
     largest  the largest absolute inner product, per entry of steps
     welch    the bound below which no such vectors exist */
"use strict";
DeriveFigures.register("jl-code", (figure, data) => {
  const step = figure.slider("gradient steps", data.steps, { format: figure.integer });
  const highest = Math.max(...data.density.flat());

  figure.plot({
    x: { label: "inner product", domain: [data.edges[0], data.edges.at(-1)] },
    // The same for every step: moving the slider then moves the histogram, not the axis.
    y: { label: "density", domain: [0, highest] },
    height: 320,
    marks: () => [
      { type: "bars", label: "all pairs", edges: data.edges, y: data.density[step.index] },
      { type: "rule", x: -data.welch, theory: true },
      { type: "rule", x: data.welch, theory: true, label: "Welch's bound" },
    ],
    say: () =>
      `After ${figure.integer(step.value)} steps the largest inner product is ` +
      `${figure.number(data.largest[step.index])}; no code has less than ${figure.number(data.welch)}.`,
  });
});
