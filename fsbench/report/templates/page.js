"use strict";

// Light or dark, as the reader last chose on any report; before that as the system has it.
{
  const root = document.documentElement, button = document.getElementById("theme");
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : preferred.matches);
  const show = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  const remembered = (theme) => {
    try {
      if (theme) localStorage.setItem("fsbench-theme", theme);
      return localStorage.getItem("fsbench-theme");
    } catch {
      return null; // a browser may refuse storage
    }
  };
  if (remembered()) root.dataset.theme = remembered();
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    remembered(root.dataset.theme);
    show();
  });
  preferred.addEventListener("change", show);
  show();
  button.hidden = false;
}

// What is there to be copied has a button for it, where the browser lets a page write to the clipboard.
for (const text of navigator.clipboard ? document.querySelectorAll(".copied") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  });
  text.after(button);
}

// Tables sort by the column whose head is pressed; figures that are missing stay last.
for (const head of document.querySelectorAll("thead th")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  button.addEventListener("click", () => {
    const numbers = head.classList.contains("number");
    const first = numbers && !/rank/i.test(head.textContent) ? "descending" : "ascending";
    const other = { ascending: "descending", descending: "ascending" };
    const order = head.ariaSort ? other[head.ariaSort] : first;
    for (const each of head.parentNode.cells) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const value = (row) => row.cells[head.cellIndex].dataset.sort;
    const text = (row) => row.cells[head.cellIndex].textContent;
    const compare = (a, b) => {
      if (!numbers) return sign * text(a).localeCompare(text(b));
      if (value(a) === undefined || value(b) === undefined) return (value(a) === undefined) - (value(b) === undefined);
      return sign * (value(a) - value(b));
    };
    const body = head.closest("table").tBodies[0];
    body.append(...[...body.rows].sort(compare));
  });
}
