// Hands the page's tables to DataTables and its charts to Plotly, shows in charts and pictures what the table's filter
// leaves, and fits all of it to paper when it is printed.
// Pixels on A4 or Letter, lying: the plane beside its heading, two curves or two rows of small charts on a page.
const PAPER = {plane: [980, 480], curve: [980, 275], setting: [320, 240], heat: [320, 240], together: [980, 380]};
const charts = [...document.querySelectorAll(".chart")];
const cards = [...document.querySelectorAll(".card[data-ids]")];
const options = {
  responsive: true,
  displaylogo: false,
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};

// A library stands in the page as gzip in base64; as a blob it has an address without any network.
async function unpacked(name) {
  const bytes = Uint8Array.from(atob(document.getElementById(name).textContent), letter => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return URL.createObjectURL(new Blob([await new Response(stream).arrayBuffer()], {type: "text/javascript"}));
}
const [plotly, datatables] = await Promise.all([unpacked("plotly"), unpacked("datatables")]);
await new Promise((resolve, reject) => {
  document.head.append(Object.assign(document.createElement("script"), {src: plotly, onload: resolve, onerror: reject}));
});
const {default: DataTable} = await import(datatables); // which is an ES module
URL.revokeObjectURL(plotly);
URL.revokeObjectURL(datatables);

const figures = new Map(charts.map(chart => [chart, chart.querySelector("script").textContent]));
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const root = document.documentElement, body = document.body;
let shown = null; // the ids that a filter leaves; null: all

const isShown = id => shown === null || shown.has(id);

// What is left of a trace: nothing in another view, and of one with a point for each id those that are shown.
function left(trace) {
  const {view, id, ids, cells} = trace.meta ?? {};
  if (view && view !== body.dataset.view) return null;
  if (id) return isShown(id) ? trace : null;
  if (cells) {
    const hidden = cells.map(row => row.map(found => found.length > 0 && !found.some(isShown)));
    const blank = (values, none) => values.map((row, i) => row.map((value, j) => (hidden[i][j] ? none : value)));
    return {...trace, z: blank(trace.z, null), text: blank(trace.text, "")};
  }
  if (!ids || shown === null) return trace;
  const kept = values => (Array.isArray(values) && values.length === ids.length ? values.filter((_, i) => isShown(ids[i])) : values);
  const less = {...trace};
  for (const name of ["x", "y", "text", "hovertext"]) if (less[name]) less[name] = kept(less[name]);
  for (const name of ["error_x", "error_y"]) if (less[name]) less[name] = {...less[name], array: kept(less[name].array)};
  if (less.marker) less.marker = {...less.marker, color: kept(less.marker.color)};
  return less;
}

// A figure names the page's colours; what its reader has zoomed or hidden stays when they change.
function draw(chart) {
  const style = getComputedStyle(root);
  const text = figures.get(chart).replace(/"var\((--[a-z]+)\)"/g, (_, name) => JSON.stringify(style.getPropertyValue(name).trim()));
  const {data, layout} = JSON.parse(text);
  layout.font.family = style.fontFamily;
  layout.uirevision = "kept";
  const traces = data.map(left).filter(trace => trace !== null);
  if (layout.showlegend && chart.clientWidth < 640) {
    const rows = traces.filter(trace => trace.showlegend !== false).length;
    Object.assign(layout.legend, {orientation: "h", x: 0, xanchor: "left", y: -0.2, yanchor: "top"});
    layout.height += 18 * rows;
    layout.margin.b += 18 * rows;
  }
  return Plotly.react(chart, traces, layout, options);
}

// A chart is drawn once it comes near the window: a hundred runs have many, with many points each.
const near = new Set();
const observer = new IntersectionObserver(seen => {
  for (const {target, isIntersecting} of seen) {
    if (!isIntersecting || near.has(target)) continue;
    near.add(target);
    draw(target);
  }
}, {rootMargin: "600px"});

function drawAll() {
  root.classList.toggle("dark", dark.matches && !root.classList.contains("paper")); // which is how DataTables is told
  for (const chart of near) draw(chart);
}
for (const chart of charts) chart.replaceChildren();

const filters = {number: "searchNumber", text: "searchText"};
function asTable(element, rowsAre) {
  const headings = [...element.querySelectorAll("thead th")];
  const rows = element.querySelectorAll("tbody tr").length;
  return new DataTable(element, {
    order: [], // as it came: best first
    stateSave: Boolean(root.dataset.reload), // of a page that loads itself anew, while the window is open
    stateDuration: -1,
    autoWidth: false,
    paging: rows > 50,
    pageLength: 50,
    lengthMenu: [25, 50, 100, {label: "all", value: -1}],
    columnDefs: headings.map((heading, index) => ({
      targets: index,
      columnControl: [
        {target: 1, content: heading.dataset.kind === "list" ? [["searchList"]] : [filters[heading.dataset.kind]]},
      ],
    })),
    language: {
      info: `_TOTAL_ of _MAX_ ${rowsAre}`, infoFiltered: "", infoEmpty: `none of _MAX_ ${rowsAre}`, lengthMenu: `_MENU_ ${rowsAre} a page`,
    },
    layout: {
      topStart: rows > 50 ? "pageLength" : "info",
      topEnd: "search",
      bottomStart: rows > 50 ? "info" : null,
      bottomEnd: rows > 50 ? "paging" : null,
    },
  });
}
const tables = new Map();
for (const element of document.querySelectorAll("#runs table")) {
  const {view} = element.closest("[data-view]").dataset;
  tables.set(view, asTable(element, view === "runs" ? "runs" : "settings"));
}

// What the filter of the table in view leaves is what charts and pictures show.
function follow() {
  const nodes = tables.get(body.dataset.view).rows({search: "applied"}).nodes().toArray();
  const all = tables.get(body.dataset.view).rows().count();
  const next = nodes.length === all ? null : new Set(nodes.map(row => row.dataset.id));
  const isSame = next === null ? shown === null : shown !== null && next.size === shown.size && [...next].every(id => shown.has(id));
  shown = next;
  for (const card of cards) card.hidden = !card.dataset.ids.split(" ").some(id => id && isShown(id));
  return !isSame;
}
let waiting;
for (const table of tables.values()) {
  table.on("search", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => follow() && drawAll(), 150); // once a word is typed
  });
}
for (const choice of document.querySelectorAll("input[name=view]")) {
  choice.addEventListener("change", () => {
    body.dataset.view = choice.value;
    follow();
    drawAll();
  });
}
// A page that is being watched loads itself anew; what its reader has chosen stays.
const kept = JSON.parse((root.dataset.reload && sessionStorage.getItem(location.pathname)) || "{}");
for (const id of kept.chosen ?? []) document.getElementById(id)?.click();
if (root.dataset.reload) {
  const again = () => {
    const chosen = [...document.querySelectorAll(".switch input:checked, .tabs input:checked")].map(choice => choice.id);
    sessionStorage.setItem(location.pathname, JSON.stringify({chosen, top: scrollY}));
    location.reload();
  };
  setTimeout(again, 1000 * root.dataset.reload);
  addEventListener("reload-now", again);
}

body.dataset.view = document.querySelector("input[name=view]:checked")?.value ?? body.dataset.view;
follow();
drawAll();
for (const chart of charts) observer.observe(chart);

const lengths = new Map(); // of the tables' pages before they were printed
addEventListener("beforeprint", () => {
  for (const table of tables.values()) {
    lengths.set(table, table.page.len());
    table.page.len(-1).draw();
  }
  root.classList.add("paper"); // which is white
  for (const chart of charts) if (!chart.closest("details:not([open])")) near.add(chart);
  drawAll();
  for (const chart of near) {
    const [width, height] = PAPER[chart.id.split("-")[0]];
    chart.dataset.height = chart.layout.height;
    Plotly.relayout(chart, {width, height, autosize: false});
  }
});
addEventListener("afterprint", () => {
  for (const table of tables.values()) table.page.len(lengths.get(table)).draw();
  root.classList.remove("paper");
  drawAll();
  for (const chart of charts.filter(chart => chart.dataset.height)) {
    Plotly.relayout(chart, {width: null, height: Number(chart.dataset.height), autosize: true});
  }
});
dark.addEventListener("change", drawAll);
if (kept.top) scrollTo(0, kept.top);
root.dataset.ready = "true";
