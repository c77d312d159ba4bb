/* How long a gradient lives, for a tanh network and an LSTM (chapter `rnn-gradients`).

   Data, computed by the chapter:
     lag      0, 1, 2, …: steps before the end; the crosshair stops at each
     start    the lag that is shown first
     gain     gains of the tanh network's Gaussian weights; its slider stops at each
     bias     forget biases of the LSTM; its slider stops at each
     starts   indices into gain and bias that are shown first
     tanh     one entry per gain: low, middle, high (10 %, 50 %, 90 % of the norm that a gradient
              has at each lag, over inputs and directions), rate (predicted exponent, 1/step)
     lstm     one entry per bias: the same, and mean (predicted mean exponent, log of the gate) */
"use strict";
DeriveFigures.register("rnn-lag", (figure, data) => {
  const gain = figure.slider("gain *g* of the tanh network", data.gain, { start: data.starts[0] });
  const bias = figure.slider("forget bias *b* of the LSTM", data.bias, { start: data.starts[1] });
  const [LOW, HIGH] = [1e-16, 1e4];
  const tanh = () => data.tanh[gain.index];
  const lstm = () => data.lstm[bias.index];

  /** What lies outside the axes is a gap, so that no line runs along the frame. */
  const inside = (values) => values.map((v) => (v < LOW || v > HIGH ? null : v));
  const clamped = (values) => values.map((v) => Math.min(Math.max(v, LOW), HIGH));
  const line = (rate) => inside(data.lag.map((k) => Math.exp(rate * k)));
  const band = (name, cell, color) => ({
    type: "area",
    label: `${name}, 10 % to 90 %`,
    x: data.lag,
    low: clamped(cell.low),
    high: clamped(cell.high),
    color,
  });

  /** Steps after which a rate has changed a gradient by a factor of e. */
  const life = (rate) =>
    `${rate < 0 ? "falls" : "grows"} by a factor of e in ${figure.number(Math.abs(1 / rate))} steps`;

  figure.plot({
    x: { label: "steps back in time" },
    y: { label: "norm of the gradient (1 at the end)", scale: "log", domain: [LOW, HIGH] },
    height: 360,
    cursor: data.lag,
    start: data.start,
    marks: () => [
      band("tanh network", tanh(), 1),
      band("LSTM", lstm(), 2),
      { type: "line", label: "tanh network", x: data.lag, y: inside(tanh().middle), color: 1 },
      { type: "line", label: "LSTM", x: data.lag, y: inside(lstm().middle), color: 2 },
      { type: "line", label: "predicted", x: data.lag, y: line(tanh().rate), theory: true },
      { type: "line", x: data.lag, y: line(lstm().rate), theory: true },
      { type: "line", label: "forget gate alone", x: data.lag, y: line(lstm().mean), quiet: true },
    ],
    say: (k) =>
      `${data.lag[k]} steps back the tanh network (*g* = ${gain.text}) has kept ` +
      `${figure.number(tanh().middle[k])} of a gradient, the LSTM (*b* = ${bias.text}) ` +
      `${figure.number(lstm().middle[k])}. Predicted: the first ${life(tanh().rate)}, ` +
      `the second ${life(lstm().rate)}; by its forget gate alone it ${life(lstm().mean)}.`,
  });
});
