/* One function, many weights: rescale the layers of a small network (chapter `weight-scale`).

   Data, computed by the chapter:
     x, y      the curve that was learnt
     weights   one matrix (outputs x inputs) for each of three layers
     biases    one vector for each layer
   Everything else is computed here: outputs, and gradients of the mean squared error. */
"use strict";
DeriveFigures.register("weight-shift", (figure, data) => {
  const factors = Array.from({ length: 17 }, (_, k) => 2 ** ((k - 8) / 2));
  const whole = { format: (v) => (v < 0.99 ? `1/${figure.number(1 / v)}` : figure.number(v)) };
  const first = figure.slider("layer 1 times", factors, { start: 8, ...whole });
  const second = figure.slider("layer 2 times", factors, { start: 8, ...whole });
  const rule = figure.choice("biases times", ["product so far", "own factor", "1"]);
  const activation = figure.choice("activation", ["ReLU", "tanh"]);
  const bend = (z) => (activation.index ? Math.tanh(z) : Math.max(z, 0));
  const slope = (z) => (activation.index ? 1 - Math.tanh(z) ** 2 : Number(z > 0));

  /** Weights and biases after a move; the third layer keeps the product of the factors at 1. */
  function moved(gamma1, gamma2) {
    const gammas = [gamma1, gamma2, 1 / (gamma1 * gamma2)];
    let product = 1;
    return gammas.map((gamma, l) => {
      product *= gamma;
      const bias = [product, gamma, 1][rule.index];
      return { W: data.weights[l].map((row) => row.map((w) => gamma * w)), b: data.biases[l].map((v) => bias * v) };
    });
  }
  /** What enters each layer, and what leaves it before the activation. */
  function pass(net, x) {
    const inputs = [[x]];
    const sums = net.map(({ W, b }, l) => {
      const z = W.map((row, j) => row.reduce((sum, w, k) => sum + w * inputs[l][k], b[j]));
      inputs.push(z.map(bend));
      return z;
    });
    return { inputs, sums, output: sums[2][0] };
  }
  const outputs = (net) => data.x.map((x) => pass(net, x).output);
  /** Norm of the gradient of the mean squared error in all weights. */
  function gradient(net) {
    const total = net.map(({ W }) => W.map((row) => row.map(() => 0)));
    data.x.forEach((x, i) => {
      const { inputs, sums, output } = pass(net, x);
      let delta = [(2 * (output - data.y[i])) / data.x.length];
      for (let l = 2; l >= 0; l--) {
        delta.forEach((d, j) => inputs[l].forEach((h, k) => (total[l][j][k] += d * h)));
        if (l) delta = sums[l - 1].map((z, k) => slope(z) * delta.reduce((sum, d, j) => sum + d * net[l].W[j][k], 0));
      }
    });
    return Math.sqrt(total.flat(2).reduce((sum, g) => sum + g * g, 0));
  }
  const squares = (net) => net.map(({ W }) => W.flat().reduce((sum, w) => sum + w * w, 0));
  const here = () => moved(first.value, second.value);

  figure.plot({
    x: { label: "input *x*" },
    y: { label: "output", domain: [-2.5, 2.5] },
    height: 300,
    cursor: data.x,
    start: 45,
    marks: () => [
      { type: "line", label: "rescaled", x: data.x, y: outputs(here()), color: 1 },
      { type: "line", label: "before", x: data.x, y: outputs(moved(1, 1)), theory: true },
    ],
    say: (i) => {
      const [now, then] = [outputs(here()), outputs(moved(1, 1))];
      const largest = Math.max(...now.map((v, k) => Math.abs(v - then[k])));
      const third = whole.format(1 / (first.value * second.value));
      return (
        `Layers times ${first.text}, ${second.text}, ${third}: the output moves by at most ` +
        `${figure.number(largest < 1e-9 ? 0 : largest)}. At *x* = ${figure.number(data.x[i])} it is ${figure.number(now[i])}.`
      );
    },
  });

  figure.plot({
    x: { label: "factor of layer 1", scale: "log" },
    y: { label: "weights and gradient", scale: "log" },
    height: 260,
    marks: () => {
      const nets = factors.map((gamma) => moved(gamma, second.value));
      const sums = nets.map((net) => squares(net).reduce((a, b) => a + b));
      return [
        { type: "line", label: "sum of squares", x: factors, y: sums, color: 1 },
        { type: "line", label: "gradient", x: factors, y: nets.map(gradient), color: 2 },
        { type: "line", label: "product of norms", x: factors, y: nets.map((net) => Math.sqrt(squares(net).reduce((a, b) => a * b))), color: 3 },
        { type: "points", x: [first.value], y: [sums[first.index]], color: 1 },
      ];
    },
    say: () => {
      const parts = squares(here());
      const product = parts.reduce((a, b) => a * b);
      return (
        `Squared norms ${parts.map(figure.number).join(" + ")} = ${figure.number(parts.reduce((a, b) => a + b))}; ` +
        `the smallest sum by rescaling is ${figure.number(3 * Math.cbrt(product))}. Product of norms ` +
        `${figure.number(Math.sqrt(product))}, norm of the gradient ${figure.number(gradient(here()))}.`
      );
    },
  });
});
