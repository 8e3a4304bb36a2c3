"use strict";
// Rows of encoders, without the headings of families.
const encoderRows = (body) => [...body.rows].filter((row) => row.dataset.place !== undefined);

// Puts rows into another order; headings of families go.
const reorder = (body, compare) => {
  const rows = encoderRows(body).sort(compare);
  body.querySelectorAll("tr.family.added").forEach((row) => row.remove());
  body.append(...rows);
  return rows;
};
const byPlace = (a, b) => a.dataset.place - b.dataset.place;

// Sorts a table by the heading that was pressed; cells without a value stay at the end either way.
for (const table of document.querySelectorAll("table.board")) {
  const headings = [...table.querySelector("tr.columns").cells];

  const compare = (column, sign) => (a, b) => {
    const [x, y] = [a, b].map((row) => row.cells[column].dataset.order);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (column === 0 ? x.localeCompare(y) : Number(x) - Number(y));
  };

  headings.forEach((heading, column) => {
    const button = heading.querySelector("button");
    button.addEventListener("click", () => {
      const first = button.hasAttribute("data-down") ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? other : first;
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      for (const body of table.tBodies) reorder(body, compare(column, order === "ascending" ? 1 : -1));
    });
  });
}

// Orders every table by rank, or by family: the family of the best encoder first.
const orderBy = (order) => {
  for (const body of document.querySelectorAll("table.board tbody:not(.apart)")) {
    const rows = reorder(body, byPlace);
    if (order !== "family") continue;
    const families = new Map();
    for (const row of rows) families.set(row.dataset.family, [...(families.get(row.dataset.family) ?? []), row]);
    for (const [family, members] of families) {
      const heading = document.createElement("tr");
      heading.className = "family added";
      const cell = document.createElement("th");
      cell.colSpan = members[0].cells.length;
      cell.textContent = family;
      heading.append(cell);
      body.append(heading, ...members);
    }
  }
  document.querySelectorAll("tr.columns th[aria-sort]").forEach((heading) => heading.removeAttribute("aria-sort"));
};

// Hides the encoders that are not asked for, in every table of the leaderboard.
const filter = document.getElementById("filter");
if (filter) {
  const { name, order, count } = filter.elements;
  const tables = document.querySelectorAll("table.board").length;

  const matches = (row) =>
    row.cells[0].dataset.order.toLowerCase().includes(name.value.trim().toLowerCase()) &&
    ["consistent", "ranked"].every((trait) => !filter.elements[trait].checked || row.dataset.traits.split(" ").includes(trait));

  const show = () => {
    const rows = [...document.querySelectorAll("table.board tbody")].flatMap(encoderRows);
    for (const row of rows) row.hidden = !matches(row);
    for (const heading of document.querySelectorAll("tr.family")) {
      let next = heading.nextElementSibling;
      while (next && next.hidden && next.dataset.place !== undefined) next = next.nextElementSibling;
      heading.hidden = !next || next.dataset.place === undefined;
    }
    count.value = `${rows.filter((row) => !row.hidden).length / tables} of ${rows.length / tables}`;
  };
  filter.addEventListener("input", (event) => {
    if (event.target === order) orderBy(order.value);
    show();
  });
  filter.addEventListener("submit", (event) => event.preventDefault());
  show();
}

// A link to an encoder opens what it leads to.
const open = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
addEventListener("hashchange", open);
open();

// Links to the repository's pages work only where this page is in it.
const repository = document.getElementById("repository");
if (repository) repository.hidden = !location.pathname.includes("/docs/results/");
