"use strict";
/* What the page's scripts share: the records, elements, numbers as text, the address. They run one
   after the other in one scope: tools, charts, figures, boards, cell, page. Texts of records are
   only ever set as text, never as markup. */

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);

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
  element.replaceChildren(
    ...children.flat().filter((child) => child !== null && child !== undefined),
  );
}

const title = (metric) => data.metrics[metric] ?? metric.replace(/^domain\//, "");
const fixed = (value, digits = 1) =>
  value === null || value === undefined ? "–" : value.toFixed(digits);
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
  return values.length < 2
    ? 0
    : Math.sqrt(values.reduce((sum, v) => sum + (v - middle) ** 2, 0) / (values.length - 1));
}

/* Copies a text; shown: where it can be selected by hand, null if nowhere. */
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
  setTimeout(() => {
    button.textContent = said;
  }, 2000);
}
