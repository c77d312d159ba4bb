/* Dimensions that N points need, against the distortion that one accepts (chapter `jl-lemma`).

   Data, computed by the chapter:
     eps      increasing distortions in (0, 1); the crosshair stops at each
     N        increasing numbers of points; the slider stops at each
     start    index into N that is shown first
     delta    probability of failure that `exact` allows
     seed24, seed16, sklearn, exact, floor
              dimensions, one row per entry of N, one integer per entry of eps (null: unknown):
              24 log N / ε², 16 log N / ε², scikit-learn's bound, the smallest n at which the
              chi-square tails and the union bound promise success with probability 1 - delta,
              and the number below which N nearly orthogonal unit vectors do not exist */
"use strict";
DeriveFigures.register("jl-dimension", (figure, data) => {
  const N = figure.slider("points *n*", data.N, { start: data.start, format: size });
  const span = (rows) => rows.flat().filter((n) => n !== null);
  const everything = span([...data.seed24, ...data.floor]);
  const domain = [Math.max(1, Math.min(...everything)), Math.max(...everything)];

  /** Exact below 100 000, then as a power of ten. */
  function size(n) {
    return n < 1e5 ? figure.integer(n) : figure.number(n);
  }

  figure.plot({
    x: { label: "distortion *ε* of squared distances", scale: "log" },
    // The same for every N: moving the slider then moves the curves, not the axis.
    y: { label: "dimensions *k*", scale: "log", domain },
    height: 380,
    cursor: data.eps,
    start: nearest(data.eps, 0.2),
    marks: () => [
      { type: "line", label: "24 log *n* / *ε*²", x: data.eps, y: data.seed24[N.index] },
      { type: "line", label: "16 log *n* / *ε*²", x: data.eps, y: data.seed16[N.index] },
      { type: "line", label: "scikit-learn", x: data.eps, y: data.sklearn[N.index] },
      { type: "line", label: "exact", x: data.eps, y: data.exact[N.index] },
      { type: "line", label: "impossible below", x: data.eps, y: data.floor[N.index], theory: true },
    ],
    say: (i) => {
      const n = (name) => size(data[name][N.index][i]);
      const sure = figure.number(100 * (1 - data.delta));
      return (
        `${size(N.value)} points, squared distances within *ε* = ${data.eps[i].toPrecision(2)}: ` +
        `the textbook bounds ask for ${n("seed24")} and ${n("seed16")} dimensions, ` +
        `scikit-learn for ${n("sklearn")}; ${n("exact")} suffice with probability ${sure} %. ` +
        `In fewer than ${n("floor")} no ${size(N.value)} unit vectors have all cosines within ±*ε*.`
      );
    },
  });

  function nearest(values, wanted) {
    const gaps = values.map((v) => Math.abs(v - wanted));
    return gaps.indexOf(Math.min(...gaps));
  }
});
