// The run as it goes on: asks for the data every two seconds, and draws it.
"use strict";
(() => {
  const EVERY = 2000; // milliseconds
  const embedded = location.search.includes("embedded");
  const root = document.documentElement;
  const element = (id) => document.getElementById(id);
  if (embedded) document.body.classList.add("embedded");
  else element("own").hidden = true;

  // Locust's own choice of theme, and whoever has made none gets the system's.
  const dark = () => {
    const chosen = localStorage.getItem("theme");
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  // Readable on light and on dark paper. Variants that are called as colours look like them.
  const NAMED = {
    blue: ["#1f5fbf", "#7ab3ff"], green: ["#1a7f37", "#57c271"], red: ["#b3261e", "#ff8a80"],
    orange: ["#b35900", "#ffb060"], yellow: ["#8a6d00", "#ffd84d"], purple: ["#7a1fa2", "#cf94f0"],
  };
  const OTHERS = [["#005f73", "#5fd0e0"], ["#9d174d", "#f78fbf"], ["#4d5b00", "#c4d65a"], ["#5b4636", "#d3b79f"]];
  const DASHES = [[], [8, 4], [2, 3], [10, 3, 2, 3]];
  const look = (variant, index) => {
    const pair = NAMED[variant] || OTHERS[index % OTHERS.length];
    return { stroke: pair[dark() ? 1 : 0], dash: DASHES[index % DASHES.length] };
  };
  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const faded = (colour) => `${colour}26`;
  const percent = (fraction, digits = 2) =>
    fraction === null || fraction === undefined ? "–" : `${(100 * fraction).toFixed(digits)} %`;
  const number = (value) => (value === null || value === undefined ? "–" : Number(value.toPrecision(3)));

  const few = { show: (plot) => plot.data[0].length < 3 };
  const axis = (values, size = 60) => ({ stroke: () => css("--faint"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, size, values });
  const counted = axis((_, v) => v.map((n) => n.toLocaleString()), 34);
  const timed = axis((_, v) => v.map((n) => `${n} s`), 34);
  const charts = {};
  // uPlot is told all series at the start: another set of them, or another theme, is another chart.
  const draw = (id, key, make, data) => {
    const box = element(id);
    const width = box.clientWidth;
    let chart = charts[id];
    if (!chart || chart.key !== key) {
      if (chart) chart.plot.destroy();
      chart = charts[id] = { key, plot: new uPlot({ width, height: 260, ...make() }, data, box) };
    } else {
      if (chart.plot.width !== width) chart.plot.setSize({ width, height: 260 });
      chart.plot.setData(data);
    }
  };

  // Shares far apart would make their bands invisible: each is shown by how far it is off its weight.
  const share = (state, variants, key) => {
    const points = state.series;
    const weighed = Object.keys(state.expected).length > 0;
    const weight = (variant) => state.expected[variant] ?? 0;
    const tolerance = Math.max(...Object.values(state.tolerances), 0);
    const data = [points.map((p) => p.responses), points.map(() => tolerance), points.map(() => -tolerance)];
    const bound = { stroke: css("--faint"), width: 1, points: { show: false }, show: weighed };
    const series = [{ label: "responses", value: (_, v) => (v === null ? "–" : v.toLocaleString()) }, bound, { ...bound }];
    variants.forEach((variant, index) => {
      data.push(points.map((p) => (p.shares[variant] ?? 0) - weight(variant)));
      const value = (_, v) => (v === null ? "–" : percent(v + weight(variant)));
      series.push({ label: variant, ...look(variant, index), width: 2, value, points: few });
    });
    const reach = (_, low, high) => {
      if (!weighed) return [0, 1];
      const most = Math.min(Math.max(-low, high, 1.5 * tolerance), 1);
      return [-1.1 * most, 1.1 * most];
    };
    const tick = (n) => (weighed ? `${n > 0 ? "+" : ""}${Number((100 * n).toPrecision(3))}` : percent(n, 0));
    draw("share", key, () => ({
      series, bands: weighed ? [{ series: [1, 2], fill: faded(css("--faint")) }] : [],
      scales: { x: { time: false }, y: { range: reach } },
      axes: [counted, axis((_, v) => v.map(tick))],
    }), data);
    element("share").querySelectorAll(".u-legend tr").forEach((row, index) => {
      if (index === 1 || index === 2) row.style.display = "none";
    });
  };

  const evidence = (state, key) => {
    const points = state.series;
    const of = (name) => points.map((p) => (p.evidence ? Math.min(p.evidence[name] ?? 1.2, 1.2) : null));
    const value = (_, v) => percent(v, 0);
    draw("evidence", key, () => ({
      series: [
        { label: "responses" },
        { label: "a verdict takes", stroke: css("--faint"), dash: [4, 4], width: 1, points: { show: false }, value },
        { label: "for match", stroke: css("--match"), width: 2, value, points: few },
        { label: "for mismatch", stroke: css("--mismatch"), dash: [8, 4], width: 2, value, points: few },
      ],
      scales: { x: { time: false }, y: { range: [0, 1.25] } },
      axes: [counted, axis((_, v) => v.map((n) => percent(n, 0)))],
    }), [points.map((p) => p.responses), points.map(() => 1), of("match"), of("mismatch")]);
  };

  const latency = (state, variants, key) => {
    const points = state.series;
    const data = [points.map((p) => p.elapsed)];
    const series = [{ label: "seconds", value: (_, v) => number(v) }];
    const value = (_, v) => number(v);
    variants.forEach((variant, index) => {
      const { stroke } = look(variant, index);
      for (const [name, dash, width] of [["p50", [], 2], ["p99", [6, 4], 1.5]]) {
        data.push(points.map((p) => p.latency[variant]?.[name] ?? null));
        series.push({ label: `${variant} ${name}`, stroke, dash, width, value, spanGaps: true, points: few });
      }
    });
    draw("latency", key, () => ({
      series, scales: { x: { time: false }, y: { distr: 3 } },
      axes: [timed, axis((_, v) => v.map((n) => (n === null ? "" : n)))],
    }), data);
  };

  const lost = (state, key) => {
    const points = state.series;
    draw("lost", key, () => ({
      series: [
        { label: "seconds", value: (_, v) => number(v) },
        { label: "errors", stroke: css("--mismatch"), width: 2, points: few },
        { label: "unidentified", stroke: css("--inconclusive"), dash: [8, 4], width: 2, points: few },
      ],
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high, 5)] } },
      axes: [timed, axis((_, v) => v.map((n) => n.toLocaleString()))],
    }), [points.map((p) => p.elapsed), points.map((p) => p.errors), points.map((p) => p.unidentified)]);
  };

  const cell = (row, text) => { row.insertCell().textContent = text; };
  const show = (state) => {
    root.classList.toggle("dark", dark());
    const verdict = element("verdict");
    verdict.textContent = state.running && state.verdict === "inconclusive" ? "running" : state.verdict || "no verdict";
    verdict.className = state.verdict || "none";
    element("where").textContent =
      `${state.host}${state.path} · ${state.requests.toLocaleString()} requests` +
      (state.budget ? ` of at most ${state.budget.toLocaleString()}` : "") +
      ` · ${Math.round(state.requests_per_second).toLocaleString()} a second`;
    element("reason").textContent = state.reason;
    const variants = Object.keys(state.observed);
    const rows = element("rows");
    rows.replaceChildren();
    for (const variant of variants) {
      const row = rows.insertRow();
      const ends = state.confidence[variant];
      const its = state.latency_ms[variant] || {};
      cell(row, variant);
      cell(row, percent(state.expected[variant]));
      cell(row, percent(state.shares[variant]));
      cell(row, ends ? `${percent(ends[0])} to ${percent(ends[1])}` : "–");
      cell(row, state.observed[variant].toLocaleString());
      cell(row, number(its.p50));
      cell(row, number(its.p99));
    }
    for (const name of ["errors", "unidentified"]) {
      const row = rows.insertRow();
      [name, "", "", "", state[name].toLocaleString(), "", ""].forEach((text) => cell(row, text));
    }
    const key = JSON.stringify([variants, dark(), Object.keys(state.expected).length]);
    share(state, variants, key);
    evidence(state, key);
    latency(state, variants, key);
    lost(state, key);
    if (embedded) parent.postMessage({ height: document.body.scrollHeight + 8 }, location.origin);
  };

  const ask = async () => {
    try {
      const answer = await fetch("data");
      if (answer.ok) show(await answer.json());
      else element("reason").textContent = `The server answers ${answer.status}.`;
    } catch {
      element("reason").textContent = "Locust does not answer any more.";
    }
    setTimeout(ask, EVERY);
  };
  ask();
})();
