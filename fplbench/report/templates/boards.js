"use strict";
/* The leaderboards: a table, figures and the LaTeX of each setting and data set. */

const matches = (board) =>
  (!state.scenario || board.scenario === state.scenario) &&
  (!state.backbone || board.backbone === state.backbone) &&
  (!state.data || board.data === state.data);

function showBoards() {
  const shown = data.boards.filter(matches);
  fill(
    $("boards"),
    shown.map(boardOf),
    shown.length ? null : make("p", {}, "No results fit these filters."),
    data.problems.length ? leftOut() : null,
  );
  $("shown").textContent = `${shown.length} of ${plural(data.boards.length, "leaderboard")}`;
}

function leftOut() {
  return make(
    "section",
    { class: "board", "aria-labelledby": "left-out" },
    make("h2", { id: "left-out" }, "Left out"),
    make(
      "ul",
      {},
      data.problems.map((problem) => make("li", { class: "bad" }, problem)),
    ),
  );
}

function boardOf(board) {
  const id = `board-${board.name}`;
  const name = board.data || `All ${board.sets.length} data sets`;
  const plots = make("div", { class: "charts" });
  const section = make(
    "section",
    { class: "board", "aria-labelledby": id },
    make("h2", { id }, name),
    make("p", { class: "about" }, board.about),
    tableOf(board, name),
    board.trade ? plots : null,
    make(
      "details",
      {},
      make("summary", {}, "How to read it"),
      make("p", { class: "note" }, board.caption),
      board.notes.map((note) => make("p", { class: "note" }, note)),
    ),
    latexOf(board),
    commandsOf(board),
  );
  if (board.trade) whenSeen(plots, () => drawBoard(board, plots));
  return section;
}

function tableOf(board, name) {
  const [, key, direction] = /^(.*) by (up|down)$/.exec(state.sort || "") ?? [];
  const sorted = board.columns.findIndex((column) => column.key === key);
  const shown = board.columns
    .map((column, place) => place)
    .filter(
      (place) =>
        state.all || place === sorted || !["more", "domains"].includes(board.columns[place].kind),
    );
  const heads = shown
    .map((place) => [board.columns[place], place])
    .map(([column, place]) =>
      make(
        "th",
        {
          scope: "col",
          class: column.kind,
          "aria-sort": place === sorted ? { up: "ascending", down: "descending" }[direction] : null,
        },
        make(
          "button",
          { type: "button", click: () => sortBy(column, place === sorted && direction) },
          column.title,
          make(
            "span",
            { "aria-hidden": "true" },
            place === sorted ? { up: " ▲", down: " ▼" }[direction] : "",
          ),
        ),
      ),
    );
  const rows = sorted < 0 ? board.rows : inOrder(board.rows, sorted, direction);
  return make(
    "div",
    { class: "scroll", role: "region", tabindex: "0", "aria-label": `Leaderboard of ${name}` },
    make(
      "table",
      {},
      make("caption", { class: "unseen" }, `Leaderboard of ${name}; a column's button sorts by it`),
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("th", { scope: "col" }, make("span", {}, "Method")),
          heads,
          board.trade
            ? make("th", { scope: "col", class: "cells" }, make("span", {}, "Cells, by seed"))
            : null,
        ),
      ),
      make(
        "tbody",
        {},
        rows.map((row) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, charts.key(row.look), row.label),
            shown.map((place) => entryOf(row.entries[place], board.columns[place])),
            board.trade
              ? make(
                  "td",
                  { class: "cells" },
                  row.cells.flatMap((place) => [seedLink(place), " "]),
                )
              : null,
          ),
        ),
      ),
    ),
  );
}

/* Numbers in order, words for missing ones always last. */
function inOrder(rows, place, direction) {
  const sign = direction === "up" ? 1 : -1;
  const value = (row) => row.entries[place][1];
  return [...rows].sort(
    (a, b) => (value(a) === null) - (value(b) === null) || sign * (value(a) - value(b)) || 0,
  );
}

function sortBy(column, before) {
  const first = column.lower ? "up" : "down";
  const next = before ? { up: "down", down: "up" }[before] : first;
  go({ ...state, sort: `${column.key} by ${next}` });
}

function entryOf([text, , std, seeds, fewer, mark], { kind, decimals }) {
  const spread =
    std === null || kind === "cost" || kind === "rank"
      ? null
      : make("span", { class: "spread" }, ` ± ${std.toFixed(decimals)}`);
  return make(
    "td",
    { class: kind },
    make("span", { class: mark || null }, text),
    spread,
    fewer
      ? make(
          "span",
          { class: "bad" },
          ` †${seeds}`,
          make("span", { class: "unseen" }, ` over ${plural(seeds, "seed")} only`),
        )
      : null,
    mark ? make("span", { class: "unseen" }, " (best of those ranked, or not told from it)") : null,
  );
}

function seedLink(place) {
  const cell = data.cells[place];
  const stopped = cell.status === "done" ? "" : ` ${cell.status}`;
  return make(
    "a",
    {
      href: cellLink(place),
      class: stopped ? "bad" : null,
      "aria-label": `${cell.method}, seed ${cell.seed}${stopped}`,
    },
    `${cell.seed}${stopped}`,
  );
}

function latexOf(board) {
  return folded("LaTeX of this table", "Copy LaTeX", board.tex);
}

function commandsOf(board) {
  const several = board.commands.length > 1;
  return folded(
    `The ${several ? "commands that make" : "command that makes"} its cells again`,
    several ? "Copy commands" : "Copy command",
    board.commands.join("\n"),
  );
}

/* A text that is shown when it is asked for, with a button that copies it. */
function folded(summary, button, content) {
  const text = make("pre", { tabindex: "0" }, make("code", {}, content));
  return make(
    "details",
    {},
    make("summary", {}, summary),
    make(
      "button",
      { type: "button", click: (event) => copy(content, event.currentTarget, text) },
      button,
    ),
    text,
  );
}
