"use strict";
/* The page: leaderboards with filters, and a page for each cell, out of the JSON in #data. All of
   the state is in the address after #, so that a link restores it. Texts of records are only ever
   set as text. */

(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const FILTERS = ["scenario", "data", "backbone"];
  let state = {};  // of the address: scenario, data, backbone, all, sort, cell
  let filters = "";  // the address of the boards that were shown last

  /* An element. given: attributes; a function is a listener. children: elements and texts. */
  function make(tag, given = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(given)) {
      if (value === null || value === undefined || value === false) continue;
      if (typeof value === "function") element.addEventListener(name, value);
      else element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return element;
  }

  /* In place of what is there. */
  function fill(element, ...children) {
    element.replaceChildren(...children.flat().filter((child) => child !== null && child !== undefined));
  }

  const title = (metric) => data.metrics[metric] ?? metric.replace(/^domain\//, "");
  const fixed = (value, digits = 1) => (value === null || value === undefined ? "–" : value.toFixed(digits));
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const cellLink = (place) => address({ cell: data.cells[place].id });

  function address(wanted) {
    const given = Object.entries(wanted).filter(([, value]) => value);
    return "#" + new URLSearchParams(given).toString();
  }

  function mean(values) {
    return values.reduce((sum, value) => sum + value, 0) / values.length;
  }

  function deviation(values) {
    const middle = mean(values);
    return values.length < 2 ? 0 : Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1));
  }

  // ---- boards

  const matches = (board) =>
    (!state.scenario || board.scenario === state.scenario) &&
    (!state.backbone || board.backbone === state.backbone) &&
    (!state.data || board.data === state.data);

  function showBoards() {
    const shown = data.boards.filter(matches);
    fill($("boards"), shown.map(boardOf),
      shown.length ? null : make("p", {}, "No results fit these filters."),
      data.problems.length ? leftOut() : null);
    $("shown").textContent = `${shown.length} of ${plural(data.boards.length, "leaderboard")}`;
  }

  function leftOut() {
    return make("section", { class: "board", "aria-labelledby": "left-out" },
      make("h2", { id: "left-out" }, "Left out"),
      make("ul", {}, data.problems.map((problem) => make("li", { class: "bad" }, problem))));
  }

  function boardOf(board) {
    const id = `board-${board.name}`;
    const name = board.data || `All ${board.sets.length} data sets`;
    const charts_ = make("div", { class: "charts" });
    const section = make("section", { class: "board", "aria-labelledby": id },
      make("h2", { id }, name),
      make("p", { class: "about" }, board.about),
      tableOf(board, name),
      board.trade ? charts_ : null,
      make("details", {}, make("summary", {}, "How to read it"),
        make("p", { class: "note" }, board.caption),
        board.notes.map((note) => make("p", { class: "note" }, note))),
      latexOf(board));
    if (board.trade) whenSeen(charts_, () => drawBoard(board, charts_));
    return section;
  }

  function tableOf(board, name) {
    const [key, direction] = (state.sort || "").split(" by ");
    const sorted = board.columns.findIndex((column) => column.key === key);
    const shown = board.columns.map((column, place) => place)
      .filter((place) => state.all || place === sorted || !["more", "domains"].includes(board.columns[place].kind));
    const heads = shown.map((place) => [board.columns[place], place]).map(([column, place]) =>
      make("th", { scope: "col", class: column.kind, "aria-sort": place === sorted ? { up: "ascending", down: "descending" }[direction] : null },
        make("button", { type: "button", click: () => sortBy(column, place === sorted && direction) },
          column.title, make("span", { "aria-hidden": "true" }, place === sorted ? { up: " ▲", down: " ▼" }[direction] : ""))));
    const rows = sorted < 0 ? board.rows : inOrder(board.rows, sorted, direction);
    return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": `Leaderboard of ${name}` },
      make("table", {},
        make("caption", { class: "unseen" }, `Leaderboard of ${name}; a column's button sorts by it`),
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, make("span", {}, "Method")), heads,
          board.trade ? make("th", { scope: "col", class: "cells" }, make("span", {}, "Cells, by seed")) : null)),
        make("tbody", {}, rows.map((row) => make("tr", {},
          make("th", { scope: "row" }, charts.key(row.look), row.label),
          shown.map((place) => entryOf(row.entries[place], board.columns[place].kind)),
          board.trade ? make("td", { class: "cells" }, row.cells.flatMap((place) => [seedLink(place), " "])) : null)))));
  }

  /* Numbers in order, words for missing ones always last. */
  function inOrder(rows, place, direction) {
    const sign = direction === "up" ? 1 : -1;
    const value = (row) => row.entries[place][1];
    return [...rows].sort((a, b) =>
      (value(a) === null) - (value(b) === null) || sign * (value(a) - value(b)) || 0);
  }

  function sortBy(column, before) {
    const lessIsBetter = column.kind === "cost" || column.kind === "rank";
    const first = lessIsBetter ? "up" : "down";
    const next = before ? { up: "down", down: "up" }[before] : first;
    go({ ...state, sort: `${column.key} by ${next}` });
  }

  function entryOf([text, , std, seeds, fewer, mark], kind) {
    const spread = std === null || kind === "cost" || kind === "rank" ? null
      : make("span", { class: "spread" }, ` ± ${std.toFixed(1)}`);
    const said = { best: "best", second: "second" }[mark];
    return make("td", { class: kind },
      make("span", { class: mark || null }, text), spread,
      fewer ? make("span", { class: "bad" }, ` †${seeds}`, make("span", { class: "unseen" }, ` over ${plural(seeds, "seed")} only`)) : null,
      said ? make("span", { class: "unseen" }, ` (${said})`) : null);
  }

  function seedLink(place) {
    const cell = data.cells[place];
    const stopped = cell.status === "done" ? "" : ` ${cell.status}`;
    return make("a", { href: cellLink(place), class: stopped ? "bad" : null, "aria-label": `${cell.method}, seed ${cell.seed}${stopped}` }, `${cell.seed}${stopped}`);
  }

  function latexOf(board) {
    const text = make("pre", { tabindex: "0" }, make("code", {}, board.tex));
    return make("details", {}, make("summary", {}, "LaTeX of this table"),
      make("button", { type: "button", click: (event) => copy(board.tex, event.currentTarget, text) }, "Copy LaTeX"), text);
  }

  // ---- plots

  const waiting = new WeakMap();
  const watcher = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) {
      if (!isIntersecting) continue;
      watcher.unobserve(target);
      waiting.get(target)();
    }
  }, { rootMargin: "400px" });

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
      if (named && named.tagName !== "svg" && named.closest("svg")) words.textContent = named.getAttribute("aria-label");
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
    new ResizeObserver(() => { if (Math.abs(place.clientWidth - drawn) > 8) redraw(); }).observe(place);
    return { all, redraw };
  }

  function drawBoard(board, into) {
    const figures = [tradeFigure(board), curveFigure(board)].filter(Boolean);
    into.replaceChildren(...figures.map((one) => one.all));
    figures.forEach((one) => one.redraw());
    into.before(make("ul", { class: "legend", "aria-label": "Methods" },
      board.rows.map((row) => make("li", {}, charts.key(row.look), row.label))));
  }

  function tradeFigure(board) {
    const [first, second] = board.trade;
    const done = (row) => row.cells.map((place) => [place, data.cells[place]])
      .filter(([, cell]) => cell.metrics[first] && cell.metrics[second]);
    const rows = board.rows.filter((row) => done(row).length);
    if (!rows.length) return null;
    const words = (x, y) => `${title(first)} ${fixed(x)} %, ${title(second)} ${fixed(y)} %`;
    const points = rows.map((row) => {
      const xs = done(row).map(([, cell]) => cell.metrics[first][0]);
      const ys = done(row).map(([, cell]) => cell.metrics[second][0]);
      return {
        x: mean(xs), y: mean(ys), dx: deviation(xs), dy: deviation(ys), look: row.look,
        name: `${row.label}: ${words(mean(xs), mean(ys))}, mean of ${plural(xs.length, "seed")}`,
      };
    });
    const dots = rows.flatMap((row) => done(row).map(([place, cell]) => ({
      x: cell.metrics[first][0], y: cell.metrics[second][0], look: row.look, href: cellLink(place),
      name: `${row.label}, seed ${cell.seed}: ${words(cell.metrics[first][0], cell.metrics[second][0])}; opens the cell`,
    })));
    const caption = "Large: mean over seeds, bars ± a standard deviation; small: a cell, with its page. Dashed: the Pareto front, which no other method beats in both.";
    return figure(caption, (width) => charts.tradeOff(width, points, dots, { x: title(first), y: title(second) }),
      make("h3", {}, `${title(second)} against ${title(first)}`));
  }

  function curveFigure(board) {
    const cells = board.rows.flatMap((row) => row.cells.map((place) => data.cells[place]));
    const known = (kind, key) => cells.some((cell) => cell.history[kind]?.columns[key]);
    const metrics = board.columns.map((column) => column.key).filter((key) => known("accuracy", key))
      .concat(known("loss", "loss") ? ["loss"] : []);
    if (!metrics.length) return null;
    const choice = make("select", { change: () => made.redraw() },
      metrics.map((metric) => make("option", { value: metric }, title(metric))));
    const named = () => (choice.value === "loss" ? "training loss" : `${title(choice.value)} accuracy (%)`);
    const about = board.name ? "Mean over seeds, band ± a standard deviation." : "This cell alone.";
    const made = figure(about,
      (width) => charts.curves(width, linesOf(board, choice.value), named()),
      make("h3", {}, "Over rounds"), make("label", {}, "Curves of ", choice));
    return made;
  }

  function linesOf(board, metric) {
    return board.rows.map((row) => {
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
      const points = [...rounds].sort(([a], [b]) => a - b).map(([round, values]) => ({
        round, mean: mean(values), std: deviation(values),
        name: `${row.label}, round ${round}: ${fixed(mean(values), metric === "loss" ? 3 : 1)}${board.name ? `, mean of ${plural(values.length, "seed")}` : ""}`,
      }));
      return { label: row.label, look: row.look, points };
    }).filter((line) => line.points.length);
  }

  // ---- a cell's page

  function showCell(cell) {
    const board = data.boards.find((one) => one.rows.some((row) => row.cells.includes(data.cells.indexOf(cell))));
    const row = board && board.rows.find((one) => one.cells.includes(data.cells.indexOf(cell)));
    const look = row ? row.look : [0, 0, 0];
    const others = row ? row.cells : [];
    fill($("cell"),
      make("p", {}, make("a", { href: filters || "#" }, "← All leaderboards")),
      make("h2", { tabindex: "-1" }, `${cell.method} on ${cell.dataset}, seed ${cell.seed}`),
      make("p", { class: "about" }, `${cell.scenario}, backbone ${cell.backbone}. `, make("code", {}, cell.id)),
      make("p", cell.status === "done" ? {} : { class: "bad" }, `Status: ${cell.status}. From ${cell.started || "?"} to ${cell.finished || "?"}.`),
      make("p", {}, "Seeds: ", others.flatMap((place) => [data.cells[place] === cell ? `${cell.seed} (this)` : seedLink(place), " "])),
      cell.error ? errorOf(cell.error) : null,
      cell.notes.map((note) => make("p", { class: "note" }, note)),
      metricsOf(cell),
      plotsOf(cell, look),
      make("div", { class: "facts" },
        Object.entries(cell.shared).map(([name, place]) => facts(name, data.pool[place])),
        facts("cost", cell.costs)),
      board ? [make("h3", {}, "The table it stands in"), latexOf(board)] : null);
    $("cell").querySelector("h2").focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  function errorOf(error) {
    const where = [["round", error.round], ["client", error.client]].filter(([, at]) => at !== null).map(([name, at]) => `${name} ${at}`);
    return make("section", {},
      make("p", { class: "bad" }, `${error.kind}: ${error.message}${where.length ? ` (${where.join(", ")})` : ""}`),
      error.traceback ? make("details", {}, make("summary", {}, "Traceback"), make("pre", { tabindex: "0" }, error.traceback)) : null);
  }

  function metricsOf(cell) {
    const rows = Object.entries(cell.metrics).map(([name, [middle, std, worst, count]]) => make("tr", {},
      make("th", { scope: "row" }, title(name)), make("td", {}, fixed(middle, 2)), make("td", {}, fixed(std, 2)), make("td", {}, fixed(worst, 2)), make("td", {}, String(count))));
    const missing = Object.entries(cell.why).map(([name, why]) => make("tr", {},
      make("th", { scope: "row" }, title(name)), make("td", { colspan: "4" }, `n/a: ${why}`)));
    if (!rows.length && !missing.length) return null;
    const heads = ["Accuracy (%)", "mean", "std over clients", "worst client", "clients"];
    return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Accuracies" },
      make("table", {}, make("thead", {}, make("tr", {}, heads.map((head) => make("th", { scope: "col" }, make("span", {}, head))))),
        make("tbody", {}, rows, missing)));
  }

  function plotsOf(cell, look) {
    const parts = make("div", { class: "charts" });
    const board = { rows: [{ label: cell.method, look, cells: [data.cells.indexOf(cell)] }], columns: Object.keys(cell.history.accuracy?.columns ?? {}).map((key) => ({ key })) };
    const figures = [];
    if (cell.history.damaged) parts.append(make("p", { class: "bad" }, cell.history.damaged));
    else figures.push(curveFigure(board));
    const names = Object.keys(cell.each);
    if (names.length) figures.push(clientFigure(cell, names, look));
    else if (cell.count) parts.append(make("p", { class: "note" }, `${plural(cell.count, "client")}: each one's accuracy is in record.json.`));
    const there = figures.filter(Boolean);
    parts.prepend(...there.map((one) => one.all));
    requestAnimationFrame(() => there.forEach((one) => one.redraw()));
    return parts;
  }

  function clientFigure(cell, names, look) {
    const clients = data.pool[cell.clients], sizes = data.pool[cell.sizes];
    const choice = make("select", { change: () => made.redraw() }, names.map((name) => make("option", { value: name }, title(name))));
    const dots = () => cell.each[choice.value]
      .map((value, i) => ({ value, name: `${clients[i]}: ${fixed(value)} %${sizes[i] === undefined ? "" : `, ${plural(sizes[i], "training image")}`}` }))
      .filter((dot) => dot.value !== null);
    const made = figure("A dot a client.", (width) => charts.strip(width, dots(), title(choice.value), look),
      make("h3", {}, "Clients"), make("label", {}, "Accuracy of ", choice));
    return made;
  }

  function facts(name, values) {
    const entries = Object.entries(values);
    if (!entries.length) return null;
    // A number as it is: toLocaleString would round 0.0005 to 0.001, but helps to read 1,314,689,024.
    const number = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : String(value));
    const text = (value) => (value === null ? "none" : value === "" ? "(empty)" : typeof value === "string" ? value
      : typeof value === "number" ? number(value) : JSON.stringify(value));
    return make("section", {}, make("h3", {}, name[0].toUpperCase() + name.slice(1)),
      make("table", {}, make("tbody", {}, entries.map(([key, value]) => make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, text(value)))))));
  }

  // ---- the address, filters, copying

  function go(wanted) {
    history.replaceState(null, "", address(wanted));
    route();
  }

  function route() {
    const hash = location.hash.slice(1);
    if (hash === "main") return;
    state = Object.fromEntries(new URLSearchParams(hash));
    const cell = state.cell && data.cells.find((one) => one.id === state.cell);
    $("boards").hidden = $("filters").hidden = Boolean(cell);
    $("cell").hidden = !cell;
    document.title = cell ? `${cell.method} on ${cell.dataset}, seed ${cell.seed}` : "fplbench report";
    if (cell) return showCell(cell);
    filters = address(state);
    for (const name of FILTERS) $("filters").elements[name].value = state[name] || "";
    $("filters").elements.all.checked = Boolean(state.all);
    const focused = document.activeElement && document.activeElement.closest("thead button");
    const label = focused && [focused.closest("section").getAttribute("aria-labelledby"), focused.firstChild.textContent];
    showBoards();
    if (label) focusHead(...label);
  }

  /* Sorting makes the table anew; the keyboard stays where it was. */
  function focusHead(section, text) {
    for (const button of document.querySelectorAll(`[aria-labelledby="${CSS.escape(section)}"] thead button`)) {
      if (button.firstChild.textContent === text) button.focus({ preventScroll: true });
    }
  }

  async function copy(text, button, shown) {
    const said = button.textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // A browser may refuse a file from disk: then the text is selected, to be copied by hand.
      if (shown) getSelection().selectAllChildren(shown);
      button.textContent = shown ? "Selected: press Ctrl+C" : "Copy it from the address bar";
    }
    setTimeout(() => { button.textContent = said; }, 2000);
  }

  function start() {
    const done = data.cells.filter((cell) => cell.status === "done").length;
    const count = (key) => new Set(data.cells.map((cell) => cell[key])).size;
    const stopped = data.cells.length - done;
    $("summary").textContent = `${plural(data.cells.length, "cell")}${stopped ? `, ${stopped} of them stopped` : ""}: ${plural(count("method"), "method")}, ${plural(count("dataset"), "data set")}, ${plural(count("seed"), "seed")}.`;
    for (const name of FILTERS) {
      const values = [...new Set(data.boards.map((board) => board[name]))].filter(Boolean).sort();
      $("filters").elements[name].append(make("option", { value: "" }, "all"), ...values.map((value) => make("option", { value }, value)));
    }
    $("filters").addEventListener("change", () => {
      const chosen = Object.fromEntries(FILTERS.map((name) => [name, $("filters").elements[name].value]));
      go({ ...chosen, all: $("filters").elements.all.checked ? "1" : "", sort: state.sort });
    });
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("link").addEventListener("click", (event) => copy(location.href, event.currentTarget, null));
    addEventListener("hashchange", route);
    route();
  }

  start();
})();
