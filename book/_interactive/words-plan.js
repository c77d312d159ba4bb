/* Two sentences and the transport between their words (chapter `wmd-wrd`).

   Data, computed by the chapter:
     sentences  as they are written
     words      of each sentence, those that have a vector
     counts     weight of each word in WMD and
     norms      weight of each word in WRD: two lists a sentence, each with sum 1
     pairs      keyed "a-b" with a < b: wmd, wrd (lists of [i, j, mass], the two best plans) and
                costs [WMD, WRD, cost of independence]
     start      [a, b], the sentences shown first */
"use strict";
DeriveFigures.register("words-plan", (figure, data) => {
  const left = figure.choice("left", data.sentences, { start: data.start[0] });
  const right = figure.choice("right", data.sentences, { start: data.start[1] });
  const names = ["WMD", "WRD", "independent"];
  const stops = Array.from({ length: 21 }, (_, k) => k / 10);
  const blend = figure.slider("coupling", stops, { format: title });
  const ROW = 44;

  function title(t) {
    const [from, to] = [Math.floor(t), Math.ceil(t)];
    return from === to ? names[t] : `${Math.round(100 * (to - t))}\u00a0% ${names[from]}, ${Math.round(100 * (t - from))}\u00a0% ${names[to]}`;
  }
  const pair = () => {
    const [a, b] = [left.index, right.index];
    return data.pairs[`${Math.min(a, b)}-${Math.max(a, b)}`];
  };
  /** Mass from word i to word j under coupling 0 (WMD), 1 (WRD) or 2 (independent). */
  function plan(which) {
    const [a, b] = [left.index, right.index];
    const mass = data.words[a].map(() => data.words[b].map(() => 0));
    if (a === b) mass.forEach((row, i) => (row[i] = weights(a, which)[i])); // stays where it is
    if (which === 2) return mass.map((row, i) => row.map((_, j) => data.norms[a][i] * data.norms[b][j]));
    for (const [i, j, m] of pair()?.[which ? "wrd" : "wmd"] ?? []) {
      if (a < b) mass[i][j] = m;
      else mass[j][i] = m;
    }
    return mass;
  }
  const weights = (sentence, which) => (which ? data.norms : data.counts)[sentence];
  function blended() {
    const [from, to] = [Math.floor(blend.value), Math.ceil(blend.value)];
    const share = blend.value - from;
    const [one, two] = [plan(from), plan(to)];
    return one.map((row, i) => row.map((m, j) => (1 - share) * m + share * two[i][j]));
  }

  const tallest = Math.max(...data.words.map((words) => words.length));
  figure.canvas({
    label: "Words of both sentences, and the mass that goes from one to the other",
    height: tallest * ROW + 16,
    paint: (svg, width, make) => {
      const mass = blended();
      const [words, others] = [data.words[left.index], data.words[right.index]];
      const y = (k, n) => 8 + (tallest * ROW) / 2 + (k - (n - 1) / 2) * ROW;
      const [x0, x1] = [Math.min(130, 0.3 * width), width - Math.min(130, 0.3 * width)];
      const most = 32; // half the width, in pixels, of a flow that carries everything
      mass.forEach((row, i) =>
        row.forEach((m, j) => {
          if (m < 0.002) return;
          const [from, to, middle] = [y(i, words.length), y(j, others.length), (x0 + x1) / 2];
          const line = make("path", { class: "line c1", d: `M${x0} ${from}C${middle} ${from} ${middle} ${to} ${x1} ${to}` });
          line.style.strokeWidth = `${Math.max(0.75, 2 * most * m)}px`;
          line.style.strokeDasharray = "none";
          line.style.opacity = 0.55;
          svg.append(line);
        }),
      );
      const side = (texts, masses, x, anchor, color) =>
        texts.forEach((text, k) => {
          const at = y(k, texts.length);
          const half = Math.max(2, most * masses[k]);
          svg.append(
            make("path", { class: `points c${color}`, d: `M${x - 3} ${at - half}h6v${2 * half}h-6z` }),
            make("text", { x: x + (anchor === "end" ? -9 : 9), y: at + 4, "text-anchor": anchor }, text),
          );
        });
      side(words, mass.map((row) => row.reduce((s, m) => s + m, 0)), x0, "end", 1);
      side(others, others.map((_, j) => mass.reduce((s, row) => s + row[j], 0)), x1, "start", 2);
    },
    say: () => {
      const mass = blended();
      const all = mass.flatMap((row, i) => row.map((m, j) => ({ m, i, j })));
      const best = all.reduce((one, other) => (other.m > one.m ? other : one));
      const [word, other] = [data.words[left.index][best.i], data.words[right.index][best.j]];
      const costs = left.index === right.index ? null : pair().costs;
      const numbers = costs
        ? `WMD ${figure.number(costs[0])}; WRD ${figure.number(costs[1])}, and with the independent coupling ${figure.number(costs[2])}.`
        : "A sentence is at distance 0 from itself.";
      return `${numbers} The largest flow (${title(blend.value)}) is ${figure.number(100 * best.m)}\u00a0% from ${word} to ${other}.`;
    },
  });
});
