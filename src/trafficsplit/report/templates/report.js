// Draws the series that stand in the page. Nothing is loaded; without scripts pictures stand here.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const themes = matchMedia("(prefers-color-scheme: dark)");
  const paper = matchMedia("print");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const percent = (fraction, digits = 2) => (fraction == null ? "–" : `${(100 * fraction).toFixed(digits)} %`);
  const number = (value) => (value == null ? "–" : Number(Number(value).toPrecision(3)).toLocaleString("en"));
  const short = (value) => (value >= 1e6 ? `${value / 1e6} M` : value >= 1e4 ? `${value / 1e3} k` : value.toLocaleString("en"));
  const whole = (value) => (value == null ? "–" : Math.round(value).toLocaleString("en"));

  // A variant's own color, as far as it can be read on this paper.
  const mixed = (hex, other, part) => {
    const parts = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16));
    const [a, b] = [parts(hex), parts(other)];
    return `#${a.map((v, i) => Math.round(v * (1 - part) + b[i] * part).toString(16).padStart(2, "0")).join("")}`;
  };
  const light = (hex) => [1, 3, 5].reduce((sum, i, k) => sum + [0.2126, 0.7152, 0.0722][k] * (parseInt(hex.slice(i, i + 2), 16) / 255) ** 2.2, 0);
  const readable = (hex, dark) => {
    let color = hex;
    for (let i = 0; i < 12 && (dark ? light(color) < 0.28 : light(color) > 0.3); i++) color = mixed(color, dark ? "#ffffff" : "#000000", 0.15);
    return color;
  };

  const charts = {};
  const axis = (values, size = 54) => ({
    stroke: () => css("--faint"), grid: { stroke: () => css("--line"), width: 1 }, ticks: { show: false }, size, values,
    font: "12px system-ui, sans-serif",
  });
  // With a single point there is no line to see.
  const points = (x) => ({ show: x.length < 3 });

  function draw(id, x, series, options) {
    const box = document.getElementById(id);
    if (!box || !x.length) return;
    if (charts[id]) charts[id].destroy();
    charts[id] = new uPlot({
      width: Math.max(box.clientWidth, 200), height: box.clientWidth < 480 ? 230 : 300,
      cursor: { drag: { x: true, y: false }, points: { size: 7 } },
      legend: { live: true },
      series: [options.x, ...series.map(({ y, quiet, ...rest }) => ({ points: points(x), ...rest }))],
      scales: { x: { time: false, ...options.scale }, y: options.y },
      axes: [axis(options.xTicks, 34), axis(options.yTicks)],
      bands: options.bands || [],
      hooks: options.hooks || {},
    }, [x, ...series.map((one) => one.y)], box);
    // Ends of intervals and weights are lines without a name of their own.
    const rows = box.querySelectorAll(".u-series");
    series.forEach((one, index) => { if (one.quiet) rows[index + 1].style.display = "none"; });
  }

  function drawAll() {
    const dark = themes.matches && !paper.matches;
    const styled = (name) => {
      const found = data.styles[name];
      return { stroke: readable(found.color, dark), dash: found.dash, width: 2 };
    };
    const faint = { stroke: css("--faint"), width: 1, dash: [2, 3] };
    const { shares, evidence, rates, latencies, variants } = data;

    const lines = [], bands = [];
    variants.forEach((name) => {
      const { stroke } = styled(name);
      const at = lines.length + 1;
      // Between the points at which it was worked out the interval is drawn straight.
      const end = { quiet: true, stroke: "transparent", spanGaps: true, points: { show: false } };
      lines.push({ ...end, y: shares.high[name] }, { ...end, y: shares.low[name] });
      bands.push({ series: [at, at + 1], fill: `${stroke}22` });
      lines.push({ label: name, ...styled(name), y: shares.y[name], value: (_, v) => percent(v) });
      if (name in data.expected) lines.push({ quiet: true, ...faint, stroke, y: shares.x.map(() => data.expected[name]), points: { show: false } });
    });
    draw("share", shares.x, lines, {
      x: { label: "responses", value: (_, v) => whole(v) }, scale: { distr: 3 }, y: { range: [0, 1] }, bands,
      xTicks: (_, v) => v.map((n) => (n && Math.log10(n) % 1 < 1e-9 ? short(n) : "")), yTicks: (_, v) => v.map((n) => percent(n, 0)),
    });

    const bound = (values) => values.map((v) => (v == null ? null : Math.max(Math.min(v, 1.3), -1)));
    const value = (values) => (_, v, s, i) => (i == null || values[i] == null ? "–" : percent(values[i], 0));
    draw("evidence", evidence.x, [
      { label: "needed", ...faint, stroke: css("--ink"), y: evidence.x.map(() => 1), value: () => "100 %" },
      { label: "for match", stroke: css("--match"), width: 2, y: bound(evidence.match), value: value(evidence.match) },
      { label: "for mismatch", stroke: css("--mismatch"), width: 2, dash: [8, 4], y: bound(evidence.mismatch), value: value(evidence.mismatch) },
    ], {
      x: { label: "responses", value: (_, v) => whole(v) }, y: { range: [-1.05, 1.35] },
      xTicks: (_, v) => v.map(short), yTicks: (_, v) => v.map((n) => percent(n, 0)),
    });

    const rate = variants.map((name) => ({ label: name, ...styled(name), y: rates.y[name], value: (_, v) => number(v) }));
    if (rates.lost.some((v) => v > 0)) rate.push({ label: "lost", stroke: css("--mismatch"), width: 2, dash: [1, 3], y: rates.lost, value: (_, v) => number(v) });
    const seconds = { x: { label: "seconds", value: (_, v) => number(v) }, xTicks: (_, v) => v.map((n) => `${n} s`) };
    const change = data.change && {
      draw: [(plot) => {
        const { ctx, bbox } = plot, at = plot.valToPos(data.change.at, "x", true);
        ctx.save();
        ctx.strokeStyle = css("--mismatch");
        ctx.beginPath(); ctx.moveTo(at, bbox.top); ctx.lineTo(at, bbox.top + bbox.height); ctx.stroke();
        ctx.restore();
      }],
    };
    draw("rate", rates.x, rate, { ...seconds, y: { range: (_, low, high) => [0, 1.1 * (high || 1)] }, yTicks: (_, v) => v.map(short), hooks: change || {} });
    draw("share-time", rates.x, variants.map((name) => ({ label: name, ...styled(name), y: rates.share[name], value: (_, v) => percent(v) })), {
      ...seconds, y: { range: [0, 1] }, yTicks: (_, v) => v.map((n) => percent(n, 0)), hooks: change || {},
    });

    draw("latency", latencies.x, latencies.lines.map((line) => ({
      label: line.label, ...(line.status === "2xx" && data.styles[line.variant] ? styled(line.variant) : { stroke: css("--mismatch"), dash: [1, 3], width: 2 }),
      y: line.y, spanGaps: true, value: (_, v) => percent(v, 1), paths: uPlot.paths.stepped({ align: 1 }),
    })), {
      x: { label: "ms", value: (_, v) => number(v) }, scale: { distr: 3 }, y: { range: [0, 1.02] },
      xTicks: (_, v) => v.map((n) => (n == null ? "" : `${number(n)} ms`)), yTicks: (_, v) => v.map((n) => percent(n, 0)),
    });

  }

  drawAll();
  for (const query of [themes, paper]) query.addEventListener("change", drawAll);
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; drawAll(); } });
  const copy = document.getElementById("copy");
  copy?.addEventListener("click", async () => {
    const text = document.getElementById("command").textContent;
    try { await navigator.clipboard.writeText(text); copy.textContent = "Copied"; } catch { getSelection().selectAllChildren(document.getElementById("command")); }
  });
  document.documentElement.dataset.drawn = Object.keys(charts).join(" ");
})();
