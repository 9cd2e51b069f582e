// Ease for readers with script: sorting and filtering the cells. Without it everything is there, in study order.
(() => {
  const table = document.getElementById("cells-table");
  if (!table) return;
  const bodies = [...table.tBodies];
  const told = document.getElementById("cells-told");
  const value = (body, column) => {
    const cell = body.rows[0].cells[column];
    const number = cell.dataset.value;
    return number === undefined ? cell.textContent.trim().toLowerCase() : number === "" ? null : Number(number);
  };
  // What was not measured stays last in both directions.
  const compare = (a, b, sign) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true }));
  };
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = bodies.map((body, place) => [value(body, column), place, body]);
      keyed.sort((x, y) => compare(x[0], y[0], down ? -1 : 1) || x[1] - y[1]);
      table.append(...keyed.map(([, , body]) => body));
      told.textContent = `Sorted by ${button.textContent}, ${down ? "descending" : "ascending"}.`;
    });
  });
  const tools = document.getElementById("cells-tools");
  const field = tools.querySelector("input");
  tools.hidden = false;
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const body of bodies) {
      const text = body.rows[0].textContent.toLowerCase() + " " + body.id;
      body.hidden = !words.every((word) => text.includes(word));
      shown += !body.hidden;
    }
    told.textContent = `${shown} of ${bodies.length} cells`;
  });
  // A link to a cell opens what is known of it.
  const open = () => {
    const body = location.hash.startsWith("#cell-") && document.getElementById(location.hash.slice(1));
    if (!body) return;
    body.hidden = false;
    body.querySelector("details").open = true;
    body.scrollIntoView();
  };
  addEventListener("hashchange", open);
  open();
})();
