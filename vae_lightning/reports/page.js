// Hands the page's table to DataTables and its charts to Plotly, and fits both to paper when it is printed.
// Pixels on A4 or Letter, lying: the plane beside its heading, two curves or two rows of small charts on a page.
const PAPER = {plane: [980, 480], curve: [980, 275], setting: [320, 240]};
const charts = [...document.querySelectorAll(".chart")];
const options = {
  responsive: true,
  displaylogo: false,
  modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
};

const figures = new Map(charts.map(chart => [chart, chart.querySelector("script").textContent]));
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const root = document.documentElement;

// A figure names the page's colours; what its reader has zoomed or hidden stays when they change.
function draw(chart) {
  const style = getComputedStyle(root);
  const text = figures.get(chart).replace(/"var\((--[a-z]+)\)"/g, (_, name) => JSON.stringify(style.getPropertyValue(name).trim()));
  const {data, layout} = JSON.parse(text);
  layout.font.family = style.fontFamily;
  layout.uirevision = "kept";
  if (layout.showlegend && chart.clientWidth < 640) {
    Object.assign(layout.legend, {orientation: "h", x: 0, xanchor: "left", y: -0.2, yanchor: "top"});
    layout.height += 18 * data.length;
    layout.margin.b += 18 * data.length;
  }
  return Plotly.react(chart, data, layout, options);
}

function drawAll() {
  root.classList.toggle("dark", dark.matches && !root.classList.contains("paper")); // which is how DataTables is told
  for (const chart of charts) draw(chart);
}
for (const chart of charts) chart.replaceChildren();
drawAll();

// The library is an ES module: it can only be imported from an address, which a blob has without any network.
const source = atob(document.getElementById("datatables").textContent);
const address = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
const {default: DataTable} = await import(address);
URL.revokeObjectURL(address);

const filters = {number: "searchNumber", text: "searchText"};
const headings = [...document.querySelectorAll("#table thead th")];
const rows = document.querySelectorAll("#table tbody tr").length;
const table = new DataTable("#table", {
  order: [], // as it came: best first
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
  language: {info: "_TOTAL_ of _MAX_ runs", infoFiltered: "", infoEmpty: "none of _MAX_ runs", lengthMenu: "_MENU_ runs a page"},
  layout: {
    topStart: rows > 50 ? "pageLength" : "info",
    topEnd: "search",
    bottomStart: rows > 50 ? "info" : null,
    bottomEnd: rows > 50 ? "paging" : null,
  },
});

addEventListener("beforeprint", () => {
  table.page.len(-1).draw();
  root.classList.add("paper"); // which is white
  drawAll();
  for (const chart of charts) {
    const [width, height] = PAPER[chart.id.split("-")[0]];
    chart.dataset.height = chart.layout.height;
    Plotly.relayout(chart, {width, height, autosize: false});
  }
});
addEventListener("afterprint", () => {
  table.page.len(50).draw();
  root.classList.remove("paper");
  drawAll();
  for (const chart of charts) Plotly.relayout(chart, {width: null, height: Number(chart.dataset.height), autosize: true});
});
dark.addEventListener("change", drawAll);
root.dataset.ready = "true";
