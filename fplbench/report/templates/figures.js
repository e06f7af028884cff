"use strict";
/* The page's figures: what charts.js draws, with its words, its choice of a metric and its size. */

const waiting = new WeakMap();
const watcher = new IntersectionObserver(
  (seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      waiting.get(target)();
    }
  },
  { rootMargin: "400px" },
);

/* Plots are drawn when they come near the screen: a page of many boards opens at once. */
function whenSeen(element, draw) {
  waiting.set(element, draw);
  watcher.observe(element);
}

/* A figure whose plot is drawn to fit; draw: width -> svg. What is pointed at is said below. */
function figure(caption, draw, ...above) {
  const words = make("figcaption", { "aria-live": "polite" }, caption);
  const place = make("div");
  const say = (event) => {
    const named = event.target.closest("[aria-label]");
    if (named && named.tagName !== "svg" && named.closest("svg"))
      words.textContent = named.getAttribute("aria-label");
  };
  const all = make("figure", { mouseover: say, focusin: say }, ...above, place, words);
  let drawn = 0;
  const redraw = () => {
    drawn = place.clientWidth;
    if (!drawn) return;
    place.replaceChildren(draw(drawn));
    for (const named of place.querySelectorAll("svg [aria-label], svg")) {
      named.setAttribute("role", ["g", "svg"].includes(named.tagName) ? "group" : "img");
    }
    for (const link of place.querySelectorAll("a")) {
      const point = link.querySelector("[aria-label]");
      if (point) link.setAttribute("aria-label", point.getAttribute("aria-label"));
    }
  };
  new ResizeObserver(() => {
    if (Math.abs(place.clientWidth - drawn) > 8) redraw();
  }).observe(place);
  return { all, redraw };
}

function drawBoard(board, into) {
  const figures = [tradeFigure(board), curveFigure(board)].filter(Boolean);
  into.replaceChildren(...figures.map((one) => one.all));
  figures.forEach((one) => one.redraw());
  into.before(
    make(
      "ul",
      { class: "legend", "aria-label": "Methods" },
      board.rows.map((row) => make("li", {}, charts.key(row.look), row.label)),
    ),
  );
}

function tradeFigure(board) {
  const [first, second] = board.trade;
  const done = (row) =>
    row.cells
      .map((place) => [place, data.cells[place]])
      .filter(([, cell]) => cell.metrics[first] && cell.metrics[second]);
  const rows = board.rows.filter((row) => done(row).length);
  if (!rows.length) return null;
  const words = (x, y) => `${title(first)} ${fixed(x)} %, ${title(second)} ${fixed(y)} %`;
  const points = rows.map((row) => {
    const xs = done(row).map(([, cell]) => cell.metrics[first][0]);
    const ys = done(row).map(([, cell]) => cell.metrics[second][0]);
    return {
      x: mean(xs),
      y: mean(ys),
      dx: deviation(xs),
      dy: deviation(ys),
      look: row.look,
      name: `${row.label}: ${words(mean(xs), mean(ys))}, mean of ${plural(xs.length, "seed")}`,
    };
  });
  const dots = rows.flatMap((row) =>
    done(row).map(([place, cell]) => ({
      x: cell.metrics[first][0],
      y: cell.metrics[second][0],
      look: row.look,
      href: cellLink(place),
      name: `${row.label}, seed ${cell.seed}: ${words(cell.metrics[first][0], cell.metrics[second][0])}; opens the cell`,
    })),
  );
  const caption =
    "Large: mean over seeds, bars ± a standard deviation; small: a cell, with its page. Dashed: the Pareto front, which no other method beats in both.";
  return figure(
    caption,
    (width) => charts.tradeOff(width, points, dots, { x: title(first), y: title(second) }),
    make("h3", {}, `${title(second)} against ${title(first)}`),
  );
}

function curveFigure(board) {
  const cells = board.rows.flatMap((row) => row.cells.map((place) => data.cells[place]));
  const known = (kind, key) => cells.some((cell) => cell.history[kind]?.columns[key]);
  const metrics = board.columns
    .map((column) => column.key)
    .filter((key) => known("accuracy", key))
    .concat(known("loss", "loss") ? ["loss"] : []);
  if (!metrics.length) return null;
  const choice = make(
    "select",
    { change: () => made.redraw() },
    metrics.map((metric) => make("option", { value: metric }, title(metric))),
  );
  const named = () =>
    choice.value === "loss" ? "training loss" : `${title(choice.value)} accuracy (%)`;
  const about = board.name ? "Mean over seeds, band ± a standard deviation." : "This cell alone.";
  const made = figure(
    about,
    (width) => charts.curves(width, linesOf(board, choice.value), named()),
    make("h3", {}, "Over rounds"),
    make("label", {}, "Curves of ", choice),
  );
  return made;
}

function linesOf(board, metric) {
  return board.rows
    .map((row) => {
      const rounds = new Map();
      for (const place of row.cells) {
        const { status, history } = data.cells[place];
        const part = history[metric === "loss" ? "loss" : "accuracy"];
        if ((status !== "done" && board.name) || !part?.columns[metric]) continue;
        part.rounds.forEach((round, i) => {
          if (part.columns[metric][i] === null) return;
          if (!rounds.has(round)) rounds.set(round, []);
          rounds.get(round).push(part.columns[metric][i]);
        });
      }
      const points = [...rounds]
        .sort(([a], [b]) => a - b)
        .map(([round, values]) => ({
          round,
          mean: mean(values),
          std: deviation(values),
          name: `${row.label}, round ${round}: ${fixed(mean(values), metric === "loss" ? 3 : 1)}${board.name ? `, mean of ${plural(values.length, "seed")}` : ""}`,
        }));
      return { label: row.label, look: row.look, points };
    })
    .filter((line) => line.points.length);
}

function clientFigure(cell, names, look) {
  const clients = data.pool[cell.clients],
    sizes = data.pool[cell.sizes];
  const choice = make(
    "select",
    { change: () => made.redraw() },
    names.map((name) => make("option", { value: name }, title(name))),
  );
  const dots = () =>
    cell.each[choice.value]
      .map((value, i) => ({
        value,
        name: `${clients[i]}: ${fixed(value)} %${sizes[i] === undefined ? "" : `, ${plural(sizes[i], "training image")}`}`,
      }))
      .filter((dot) => dot.value !== null);
  const made = figure(
    "A dot a client.",
    (width) => charts.strip(width, dots(), title(choice.value), look),
    make("h3", {}, "Clients"),
    make("label", {}, "Accuracy of ", choice),
  );
  return made;
}
