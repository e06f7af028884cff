"use strict";
/* The page's state and what is shown of it. All of it is in the address after #, so that a link
   restores it. */

const FILTERS = ["scenario", "data", "backbone"];
let state = {}; // of the address: scenario, data, backbone, all, sort, cell
let filters = ""; // the address of the boards that were shown last
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
  document.title = cell
    ? `${cell.method} on ${cell.dataset}, seed ${cell.seed}`
    : "fplbench report";
  if (cell) return showCell(cell);
  filters = address(state);
  for (const name of FILTERS) $("filters").elements[name].value = state[name] || "";
  $("filters").elements.all.checked = Boolean(state.all);
  const focused = document.activeElement && document.activeElement.closest("thead button");
  const label = focused && [
    focused.closest("section").getAttribute("aria-labelledby"),
    focused.firstChild.textContent,
  ];
  showBoards();
  if (label) focusHead(...label);
}

/* Sorting makes the table anew; the keyboard stays where it was. */
function focusHead(section, text) {
  for (const button of document.querySelectorAll(
    `[aria-labelledby="${CSS.escape(section)}"] thead button`,
  )) {
    if (button.firstChild.textContent === text) button.focus({ preventScroll: true });
  }
}

function start() {
  const done = data.cells.filter((cell) => cell.status === "done").length;
  const count = (key) => new Set(data.cells.map((cell) => cell[key])).size;
  const stopped = data.cells.length - done;
  $("summary").textContent =
    `${plural(data.cells.length, "cell")}${stopped ? `, ${stopped} of them stopped` : ""}: ${plural(count("method"), "method")}, ${plural(count("dataset"), "data set")}, ${plural(count("seed"), "seed")}.`;
  for (const name of FILTERS) {
    const values = [...new Set(data.boards.map((board) => board[name]))].filter(Boolean).sort();
    $("filters").elements[name].append(
      make("option", { value: "" }, "all"),
      ...values.map((value) => make("option", { value }, value)),
    );
  }
  $("filters").addEventListener("change", () => {
    const chosen = Object.fromEntries(
      FILTERS.map((name) => [name, $("filters").elements[name].value]),
    );
    go({ ...chosen, all: $("filters").elements.all.checked ? "1" : "", sort: state.sort });
  });
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("link").addEventListener("click", (event) => copy(location.href, event.currentTarget, null));
  addEventListener("hashchange", route);
  route();
}

start();
