// Hands the table of images to DataTables, which sorts it by any score.
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
const root = document.documentElement;
const darken = () => root.classList.toggle("dark", dark.matches); // which is how DataTables is told
darken();
dark.addEventListener("change", darken);

// The library is an ES module: it can only be imported from an address, which a blob has without any network.
const source = atob(document.getElementById("datatables").textContent);
const address = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
const {default: DataTable} = await import(address);
URL.revokeObjectURL(address);

const headings = [...document.querySelectorAll("#table thead th")];
const rows = document.querySelectorAll("#table tbody tr").length;
new DataTable("#table", {
  order: [], // as it came: the worst first
  autoWidth: false,
  paging: rows > 50,
  pageLength: 50,
  lengthMenu: [25, 50, 100, {label: "all", value: -1}],
  columnDefs: headings.map((heading, index) => ({
    targets: index,
    orderable: heading.dataset.worse !== "none",
    orderSequence: heading.dataset.worse === "high" ? ["desc", "asc"] : ["asc", "desc"], // the worst first
  })),
  language: {info: "_TOTAL_ of _MAX_ images", infoFiltered: "", infoEmpty: "none of _MAX_ images", lengthMenu: "_MENU_ images a page"},
});
root.dataset.ready = "true";
