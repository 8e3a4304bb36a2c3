"use strict";
// Sorts the leaderboard by the heading that was pressed; cells without a value stay at the end either way.
for (const table of document.querySelectorAll("table.board")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];

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
      body.append(...[...body.rows].sort(compare(column, order === "ascending" ? 1 : -1)));
    });
  });
}

// Hides the encoders that are not asked for, in every table of the leaderboard.
const filter = document.getElementById("filter");
if (filter) {
  const { name, count } = filter.elements;
  const rows = [...document.querySelectorAll("table.board tbody tr")];
  const tables = document.querySelectorAll("table.board").length;

  const matches = (row) =>
    row.cells[0].dataset.order.toLowerCase().includes(name.value.trim().toLowerCase()) &&
    ["consistent", "ranked"].every((trait) => !filter.elements[trait].checked || row.dataset.traits.split(" ").includes(trait));

  const show = () => {
    for (const row of rows) row.hidden = !matches(row);
    count.value = `${rows.filter((row) => !row.hidden).length / tables} of ${rows.length / tables}`;
  };
  filter.addEventListener("input", show);
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
