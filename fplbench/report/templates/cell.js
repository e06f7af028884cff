"use strict";
/* The page of a cell: everything of its record. */

function showCell(cell) {
  const board = data.boards.find((one) =>
    one.rows.some((row) => row.cells.includes(data.cells.indexOf(cell))),
  );
  const row = board && board.rows.find((one) => one.cells.includes(data.cells.indexOf(cell)));
  const look = row ? row.look : [0, 0, 0];
  const others = row ? row.cells : [];
  fill(
    $("cell"),
    make("p", {}, make("a", { href: filters || "#" }, "← All leaderboards")),
    make("h2", { tabindex: "-1" }, `${cell.method} on ${cell.dataset}, seed ${cell.seed}`),
    make(
      "p",
      { class: "about" },
      `${cell.scenario}, backbone ${cell.backbone}. `,
      make("code", {}, cell.id),
    ),
    make(
      "p",
      cell.status === "done" ? {} : { class: "bad" },
      `Status: ${cell.status}. ${timeOf(cell)}`,
    ),
    cell.source ? make("p", {}, `It came from ${cell.source}.`) : null,
    make(
      "p",
      {},
      "Seeds: ",
      others.flatMap((place) => [
        data.cells[place] === cell ? `${cell.seed} (this)` : seedLink(place),
        " ",
      ]),
    ),
    cell.error ? errorOf(cell.error) : null,
    cell.notes.map((note) => make("p", { class: "note" }, note)),
    metricsOf("Accuracy (%)", cell.metrics, cell.why, 1),
    cell.measured.map((one) => metricsOf(one.title, one.metrics, {}, one.decimals)),
    plotsOf(cell, look),
    make("h3", {}, "The command that makes it again"),
    make("pre", { tabindex: "0" }, cell.command),
    make(
      "div",
      { class: "facts" },
      Object.entries(cell.shared).map(([name, place]) => facts(name, data.pool[place])),
      facts("cost", cell.costs),
    ),
    board ? [make("h3", {}, "The table it stands in"), latexOf(board)] : null,
  );
  $("cell").querySelector("h2").focus({ preventScroll: true });
  scrollTo(0, 0);
}

function errorOf(error) {
  const where = [
    ["round", error.round],
    ["client", error.client],
  ]
    .filter(([, at]) => at !== null)
    .map(([name, at]) => `${name} ${at}`);
  return make(
    "section",
    {},
    make(
      "p",
      { class: "bad" },
      `${error.kind}: ${error.message}${where.length ? ` (${where.join(", ")})` : ""}`,
    ),
    error.traceback
      ? make(
          "details",
          {},
          make("summary", {}, "Traceback"),
          make("pre", { tabindex: "0" }, error.traceback),
        )
      : null,
  );
}

function metricsOf(measure, metrics, why, decimals) {
  const number = (value) => fixed(value, decimals + 1);
  const rows = Object.entries(metrics).map(([name, [middle, std, worst, count]]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, title(name)),
      make("td", {}, number(middle)),
      make("td", {}, number(std)),
      make("td", {}, number(worst)),
      make("td", {}, String(count)),
    ),
  );
  const missing = Object.entries(why).map(([name, why]) =>
    make(
      "tr",
      {},
      make("th", { scope: "row" }, title(name)),
      make("td", { colspan: "4" }, `n/a: ${why}`),
    ),
  );
  if (!rows.length && !missing.length) return null;
  const heads = [measure, "mean", "std over clients", "worst client", "clients"];
  return make(
    "div",
    { class: "scroll", role: "region", tabindex: "0", "aria-label": measure },
    make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          heads.map((head) => make("th", { scope: "col" }, make("span", {}, head))),
        ),
      ),
      make("tbody", {}, rows, missing),
    ),
  );
}

/* A packed cell has no start. */
function timeOf({ started, finished }) {
  if (started) return `From ${started} to ${finished || "?"}.`;
  return finished ? `Ended ${finished}.` : "";
}

function plotsOf(cell, look) {
  const parts = make("div", { class: "charts" });
  const board = {
    rows: [{ label: cell.method, look, cells: [data.cells.indexOf(cell)] }],
    columns: Object.keys(cell.history.accuracy?.columns ?? {}).map((key) => ({ key })),
  };
  const figures = [];
  if (cell.history.damaged) parts.append(make("p", { class: "bad" }, cell.history.damaged));
  else figures.push(curveFigure(board));
  const names = Object.keys(cell.each);
  if (names.length) figures.push(clientFigure(cell, names, look));
  else if (cell.count && cell.status === "done")
    parts.append(
      make(
        "p",
        { class: "note" },
        `${plural(cell.count, "client")}: each one's accuracy is in record.json.`,
      ),
    );
  const there = figures.filter(Boolean);
  parts.prepend(...there.map((one) => one.all));
  requestAnimationFrame(() => there.forEach((one) => one.redraw()));
  return parts;
}

function facts(name, values) {
  const entries = Object.entries(values);
  if (!entries.length) return null;
  // A number as it is: toLocaleString would round 0.0005 to 0.001, but helps to read 1,314,689,024.
  const number = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : String(value));
  const text = (value) =>
    value === null
      ? "none"
      : value === ""
        ? "(empty)"
        : typeof value === "string"
          ? value
          : typeof value === "number"
            ? number(value)
            : JSON.stringify(value);
  return make(
    "section",
    {},
    make("h3", {}, name[0].toUpperCase() + name.slice(1)),
    make(
      "table",
      {},
      make(
        "tbody",
        {},
        entries.map(([key, value]) =>
          make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, text(value))),
        ),
      ),
    ),
  );
}
