// Sorting by a click on a heading, filtering by words or by a column's values, and opening the run that a link
// points to. What is sorted and filtered stands in the address, so that a view can be shared:
//   #at=language-quality&sort=-3&filter=gpt&c2=causal
// at: the table (left out: the first); sort: its column from 1, negative for descending; c2=: column 2 is that.
"use strict";

const FEW = 8; // values of a column that a list of choices may have
const MANY = 6; // rows from which choosing is worth a list

const tables = [...document.querySelectorAll("table.sortable")];
const headings = (table) => [...table.tHead.rows[0].cells];
const inputOf = (table) => table.closest("section").querySelector(".filter input");
const listsOf = (table) => [...table.closest("section").querySelectorAll(`select[data-table="${table.id}"]`)];

function sortBy(table, column, descending) {
  const key = (row) => {
    const cell = row.cells[column];
    const value = cell.dataset.value;
    return value === undefined ? cell.textContent.trim().toLowerCase() : Number(value);
  };
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1; // rows without a number stay last
    const order = typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true });
    return descending ? -order : order;
  };
  const body = table.tBodies[0]; // baselines, in the second body, stay where they are
  body.append(...[...body.rows].sort(compare));
  headings(table).forEach((other) => other.removeAttribute("aria-sort"));
  headings(table)[column].setAttribute("aria-sort", descending ? "descending" : "ascending");
}

function filter(section) {
  const words = (section.querySelector(".filter input")?.value ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  for (const table of section.querySelectorAll("table.sortable"))
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden =
        !words.every((word) => text.includes(word)) ||
        !listsOf(table).every(({ value, dataset }) => !value || shown(row, dataset.column) === value);
    }
}

const shown = (row, column) => row.cells[column].textContent.trim();

function addLists(table) {
  const rows = [...table.tBodies[0].rows];
  const input = inputOf(table);
  if (!input || rows.length < MANY) return;
  headings(table).forEach((heading, column) => {
    const values = [...new Set(rows.map((row) => shown(row, column)))];
    const few = values.length > 1 && values.length <= FEW && values.length < rows.length; // names are for typing
    if (heading.classList.contains("number") || !few) return;
    const title = heading.textContent.trim();
    const list = document.createElement("select");
    list.dataset.table = table.id;
    list.dataset.column = column;
    list.setAttribute("aria-label", title);
    list.append(new Option(`${title}: all`, ""), ...values.sort().map((value) => new Option(value || "(none)", value)));
    list.addEventListener("change", () => { filter(table.closest("section")); remember(table); });
    input.closest(".filter").append(list);
  });
}

function remember(table) {
  const state = new URLSearchParams({ at: table.id });
  const sorted = headings(table).findIndex((heading) => heading.hasAttribute("aria-sort"));
  if (sorted >= 0) {
    const sign = headings(table)[sorted].getAttribute("aria-sort") === "descending" ? -1 : 1;
    state.set("sort", sign * (sorted + 1));
  }
  if (inputOf(table)?.value) state.set("filter", inputOf(table).value);
  for (const { value, dataset } of listsOf(table)) if (value) state.set(`c${Number(dataset.column) + 1}`, value);
  history.replaceState(null, "", `#${state}`);
}

function restore(text) {
  const state = new URLSearchParams(text);
  const table = state.has("at") ? tables.find(({ id }) => id === state.get("at")) : tables[0];
  if (!table) return;
  const sort = Number(state.get("sort"));
  if (sort && Math.abs(sort) <= headings(table).length) sortBy(table, Math.abs(sort) - 1, sort < 0);
  if (inputOf(table)) inputOf(table).value = state.get("filter") ?? "";
  for (const list of listsOf(table)) list.value = state.get(`c${Number(list.dataset.column) + 1}`) ?? "";
  filter(table.closest("section"));
  if (state.has("at")) table.closest("section").scrollIntoView();
}

function openTarget() {
  const text = location.hash.slice(1);
  if (text.includes("=")) return restore(text);
  const target = document.getElementById(text);
  if (target?.tagName === "DETAILS") target.open = true;
}

for (const table of tables) {
  headings(table).forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      sortBy(table, column, heading.getAttribute("aria-sort") === "ascending");
      remember(table);
    });
  });
  addLists(table);
}
for (const input of document.querySelectorAll(".filter input")) {
  const section = input.closest("section");
  input.addEventListener("input", () => { filter(section); remember(section.querySelector("table.sortable")); });
}
addEventListener("hashchange", openTarget);
openTarget();
