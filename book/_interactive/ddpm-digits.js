/* Noise becomes digits under the perfect denoiser of a finite data set (chapter `ddpm-three-ways`).

   Data, computed by the chapter; one entry a frame, noise first:
     t         noise levels, decreasing
     start     index of the frame that is shown first
     noisy     x_t: sixteen pictures, each 64 characters 0-9a-z, from white (0) to black (z)
     guess     the denoiser's estimate of the clean pictures, in the same form
     distance  of each x_t to its nearest training picture
     apart     how far a training picture typically is from the next one */
"use strict";
DeriveFigures.register("ddpm-digits", (figure, data) => {
  const frame = figure.slider("noise level *t*", data.t, { start: data.start, format: figure.integer });
  const shown = figure.choice("show", ["the sample *x*", "what the denoiser expects"]);
  const SHADES = 35;

  figure.canvas({
    label: "Sixteen pictures of 8 by 8 pixels",
    height: 210,
    paint: (svg, width, make) => {
      const across = width < 440 ? 4 : 8;
      const rows = 16 / across;
      const cell = Math.min(width / across, 210 / (rows / 2) / 2, 104);
      const height = rows * cell;
      svg.setAttribute("height", height);
      const pixel = (cell * 0.92) / 8;
      const left = (width - across * cell) / 2;
      const pictures = (shown.index ? data.guess : data.noisy)[frame.index];
      pictures.forEach((picture, n) => {
        const [x0, y0] = [left + (n % across) * cell, Math.floor(n / across) * cell];
        const group = make("g", {});
        [...picture].forEach((shade, k) => {
          const rect = make("rect", { x: x0 + (k % 8) * pixel, y: y0 + Math.floor(k / 8) * pixel, width: pixel + 0.3, height: pixel + 0.3 });
          rect.style.fill = "var(--fig-ink)";
          rect.style.opacity = 0.06 + (0.94 * parseInt(shade, 36)) / SHADES;
          group.append(rect);
        });
        svg.append(group);
      });
    },
    say: () => {
      const distance = data.distance[frame.index];
      const far = Math.max(...distance);
      const typical = [...distance].sort((a, b) => a - b)[distance.length / 2];
      const where =
        far < 1e-6
          ? "Each of the sixteen is a training picture, pixel for pixel."
          : `Typical distance to the nearest training picture: ${figure.number(typical)}`;
      const scale = far < 1e-6 ? "" : ` (training pictures are ${figure.number(data.apart)} apart).`;
      return `At *t* = ${figure.integer(frame.value)} of 1000. ${where}${scale}`;
    },
  });
});
