"use strict";
/* The page's plots, drawn with Observable Plot (global Plot). Every point is an element with a
   name of its own: it can be pointed at, reached by keyboard and read out. */

const charts = (() => {
  const polygon = (corners) => ({
    draw(context, size) {
      const unit = Math.sqrt(size / 2);
      corners.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](x * unit, y * unit));
      context.closePath();
    },
  });
  const around = (count, turn, inner = 1) =>
    Array.from({ length: count }, (_, place) => {
      const angle = turn + (2 * Math.PI * place) / count;
      const radius = place % 2 ? inner : 1;
      return [1.1 * radius * Math.sin(angle), -1.1 * radius * Math.cos(angle)];
    });
  const plus = [
    [-1, 3],
    [1, 3],
    [1, 1],
    [3, 1],
    [3, -1],
    [1, -1],
    [1, -3],
    [-1, -3],
    [-1, -1],
    [-3, -1],
    [-3, 1],
    [-1, 1],
  ].map(([x, y]) => [x / 2.9, y / 2.9]);
  const turned = plus.map(([x, y]) => [(x - y) * 0.7071, (x + y) * 0.7071]);
  // In the order of looks.py's MARKERS: o s D ^ v P X < > p *
  const SYMBOLS = [
    "circle",
    "square",
    polygon(around(4, 0)),
    polygon(around(3, 0)),
    polygon(around(3, Math.PI)),
    polygon(plus),
    polygon(turned),
    polygon(around(3, -Math.PI / 2)),
    polygon(around(3, Math.PI / 2)),
    polygon(around(5, 0)),
    polygon(around(10, 0, 0.45)),
  ];
  const DASHES = [null, "6 3", "2 3", "7 3 2 3"]; // of looks.py's LINES: - -- : -.

  const colour = (look) => `var(--c${look[0]})`;
  const symbol = (look) => SYMBOLS[look[1]];
  // A variant of a method has its colour and marker, but hollow, as in the plots for paper.
  const filled = (look) => (look[2] ? "var(--ground)" : colour(look));

  const base = (width, label) => ({
    width,
    height: Math.min(340, Math.max(240, width * 0.62)),
    marginLeft: 48,
    marginBottom: 40,
    grid: true,
    ariaLabel: label,
    style: { background: "transparent", color: "currentColor", fontSize: "13px" },
    color: { type: "identity" },
    symbol: { type: "identity" },
  });

  /* A point that can be pointed at, read out and told from others without colour. */
  const marked = (points, x, y, r) =>
    Plot.dot(points, {
      x,
      y,
      r,
      symbol: (d) => symbol(d.look),
      fill: (d) => filled(d.look),
      stroke: (d) => colour(d.look),
      ariaLabel: "name",
    });

  /* The points that no other point beats in both: sorted by x. */
  function front(points) {
    const best = points.filter(
      (p) => !points.some((q) => q.x >= p.x && q.y >= p.y && (q.x > p.x || q.y > p.y)),
    );
    return best.sort((a, b) => a.x - b.x);
  }

  /* points: {x, y, dx, dy, look, label, name}; dots: {x, y, look, name, href}, a cell each. */
  function tradeOff(width, points, dots, titles) {
    return Plot.plot({
      ...base(width, `${titles.y} against ${titles.x}`),
      x: { label: `${titles.x} accuracy (%)`, nice: true, inset: 8 },
      y: { label: `${titles.y} accuracy (%)`, nice: true, inset: 8 },
      marks: [
        Plot.line(front(points), {
          x: "x",
          y: "y",
          curve: "step-before",
          stroke: "currentColor",
          strokeOpacity: 0.5,
          strokeDasharray: "4 3",
        }),
        Plot.dot(dots, {
          x: "x",
          y: "y",
          r: 3,
          symbol: (d) => symbol(d.look),
          fill: (d) => colour(d.look),
          fillOpacity: 0.35,
          href: "href",
          ariaLabel: "name",
        }),
        Plot.ruleX(points, {
          x: "x",
          y1: (d) => d.y - d.dy,
          y2: (d) => d.y + d.dy,
          stroke: (d) => colour(d.look),
        }),
        Plot.ruleY(points, {
          y: "y",
          x1: (d) => d.x - d.dx,
          x2: (d) => d.x + d.dx,
          stroke: (d) => colour(d.look),
        }),
        marked(points, "x", "y", 6),
        Plot.tip(points, Plot.pointer({ x: "x", y: "y", title: "name" })),
      ],
    });
  }

  /* lines: {label, look, points: [{round, mean, std, name}]}. */
  function curves(width, lines, title) {
    const all = lines.flatMap((line) => line.points.map((p) => ({ ...p, look: line.look })));
    const rounds = [...new Set(all.map((p) => p.round))].sort((a, b) => a - b);
    return Plot.plot({
      ...base(width, `${title} over rounds`),
      x: {
        label: "round",
        ticks: rounds.length > 8 ? 8 : rounds,
        tickFormat: "d",
      },
      y: { label: title, nice: true, inset: 4 },
      marks: [
        lines.map((line) => [
          Plot.areaY(line.points, {
            x: "round",
            y1: (d) => d.mean - d.std,
            y2: (d) => d.mean + d.std,
            fill: colour(line.look),
            fillOpacity: 0.13,
          }),
          Plot.line(line.points, {
            x: "round",
            y: "mean",
            stroke: colour(line.look),
            strokeWidth: 1.8,
            ...(DASHES[line.look[2]] && { strokeDasharray: DASHES[line.look[2]] }),
          }),
        ]),
        marked(all, "round", "mean", 3.5),
        Plot.tip(all, Plot.pointer({ x: "round", y: "mean", title: "name" })),
      ],
    });
  }

  /* clients: {value, name}. */
  function strip(width, clients, title, look) {
    return Plot.plot({
      ...base(width, `${title} accuracy of each client`),
      height: 130,
      x: { label: `${title} accuracy (%)`, nice: true },
      y: { axis: null },
      marks: [
        Plot.dot(
          clients,
          Plot.dodgeY("middle", {
            x: "value",
            r: 4.5,
            symbol: symbol(look),
            fill: colour(look),
            fillOpacity: 0.7,
            ariaLabel: "name",
          }),
        ),
        Plot.tip(
          clients,
          Plot.pointerX(Plot.dodgeY("middle", { x: "value", r: 4.5, title: "name" })),
        ),
      ],
    });
  }

  /* A method's sign, for tables and legends. */
  function key(look) {
    const svg = d3
      .create("svg")
      .attr("viewBox", "-7 -7 14 14")
      .attr("class", "key")
      .attr("aria-hidden", "true");
    const draw = symbol(look);
    const type =
      typeof draw === "string" ? { circle: d3.symbolCircle, square: d3.symbolSquare }[draw] : draw;
    svg
      .append("path")
      .attr("d", d3.symbol(type, 60)())
      .attr("stroke-width", 1.5)
      .style("fill", filled(look))
      .style("stroke", colour(look));
    return svg.node();
  }

  return { tradeOff, curves, strip, key };
})();
