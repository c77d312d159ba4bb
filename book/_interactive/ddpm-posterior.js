/* What a noisy value says about the clean one and about the next step (chapter `ddpm-three-ways`).

   Data, computed by the chapter:
     t, start   noise levels (slider) and the index shown first
     back       lengths of the step back that can be chosen; the last one goes to the data
     x          positions of the noisy value
     weights, means, widths   of the data, a mixture of two bell curves
     levels     one entry a noise level: alpha, sigma, density (of the noisy value, at each x), and
                jumps, one a length: share (of the first component, at each x), means (two at each
                x), widths (two) of the value before that step */
"use strict";
DeriveFigures.register("ddpm-posterior", (figure, data) => {
  const t = figure.slider("noise level *t*", data.t, { start: data.start, format: figure.integer });
  const back = figure.choice("step back by", [...data.back.slice(0, -1).map((b) => `${b}`), "all, to *x*₀"], { start: 2 });
  const level = () => data.levels[t.index];
  const at = () => figure.state.at ?? 22;
  const line = (low, high, num = 161) => Array.from({ length: num }, (_, k) => low + ((high - low) * k) / (num - 1));
  const bell = (x, mean, width) => Math.exp(-(((x - mean) / width) ** 2) / 2) / (width * Math.sqrt(2 * Math.PI));
  const start = Math.floor(data.x.length * 0.45);

  /** The two bell curves of the value `jump` before x[i], and the one curve with their moments. */
  function before(i, jump) {
    const { share, means, widths } = level().jumps[jump];
    const weights = [share[i], 1 - share[i]];
    const mean = weights[0] * means[i][0] + weights[1] * means[i][1];
    const square = weights.reduce((sum, w, k) => sum + w * (widths[k] ** 2 + (means[i][k] - mean) ** 2), 0);
    return { weights, means: means[i], widths, mean, width: Math.sqrt(square) };
  }
  const mixture = (x, m) => m.weights.reduce((sum, w, k) => sum + w * bell(x, m.means[k], m.widths[k]), 0);

  figure.plot({
    x: { label: "value", domain: [-2.4, 2.4] },
    y: { label: "density" },
    height: 230,
    cursor: data.x,
    start,
    marks: (i) => {
      figure.state.at = i;
      const x = line(-2.4, 2.4);
      const clean = { weights: data.weights, means: data.means, widths: data.widths };
      return [
        { type: "line", label: "data", x, y: x.map((v) => mixture(v, clean)), quiet: true },
        { type: "line", label: "with noise", x: data.x, y: level().density, color: 1 },
      ];
    },
    say: (i) => {
      const { weights, mean } = before(i, data.back.length - 1);
      return (
        `The noisy value ${figure.number(data.x[i])} at *t* = ${figure.integer(t.value)} came from the left peak with ` +
        `probability ${figure.number(100 * weights[0])} %; the perfect denoiser answers ${figure.number(mean)}.`
      );
    },
  });

  figure.plot({
    x: { label: "value before the step", domain: () => window_(before(at(), back.index)) },
    y: { label: "density, given the noisy value" },
    height: 230,
    marks: () => {
      const m = before(at(), back.index);
      const x = line(...window_(m));
      return [
        { type: "line", label: "true", x, y: x.map((v) => mixture(v, m)), color: 2 },
        { type: "line", label: "Gaussian", x, y: x.map((v) => bell(v, m.mean, m.width)), theory: true },
      ];
    },
    say: () => {
      const m = before(at(), back.index);
      const x = line(...window_(m), 801);
      const step = x[1] - x[0];
      const misfit = x.reduce((sum, v) => {
        const p = mixture(v, m);
        return p > 0 ? sum + p * Math.log(p / bell(v, m.mean, m.width)) * step : sum;
      }, 0);
      const small = misfit < 1e-4 ? "less than 0.0001" : figure.number(misfit);
      return `Mean ${figure.number(m.mean)}, deviation ${figure.number(m.width)}; a Gaussian with these misses the truth by ${small} nats.`;
    },
  });

  /** Five deviations to either side. */
  function window_(m) {
    return [m.mean - 5 * m.width, m.mean + 5 * m.width];
  }
});
