"""The report's page in a real browser, opened from the disk and with no way to the network."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image, ImageColor

from tests.browser import Opened, browser, needs_browser, opening, playwright  # noqa: F401
from tests.reports.runs_on_disk import DENSITY, figures, write_picture, write_run, write_seeds, write_sweep
from vae_lightning.reports.report import write_report
from vae_lightning.reports.runs import find_runs

pytestmark = needs_browser
ATTACK = "</script><script>window.owned = 1</script><img src=x onerror='window.owned = 2'>\"<b>bold</b>"
COLOURS = ["red", "lime", "blue", "yellow", "cyan", "magenta"]


class OpenedReport(Opened):
    """What stands in the table of a report."""

    def rows(self, column: str) -> list[str]:
        """What stands in a column of the table, from above."""
        cells = self.page.locator(f"#table tbody tr td:nth-child({self._place(column)})")
        return [text.strip() for text in cells.all_inner_texts()]

    def expect(self, column: str, texts: list[str]) -> None:
        """Wait until that is what stands in a column, since the table is drawn a moment after a click."""
        playwright.expect(self.page.locator(f"#table tbody tr td:nth-child({self._place(column)})")).to_have_text(texts)

    def point_at_first_run(self) -> "playwright.Locator":
        """Move the pointer to the first point of the rate-distortion plane, and return what is then shown."""
        point = self.page.locator("#plane-1 .scatterlayer .trace").nth(1).locator("path.point").first
        point.scroll_into_view_if_needed()
        point.hover(force=True)
        return self.page.locator("#plane-1 .hoverlayer")

    def see(self, chart: str) -> None:
        """Go to a chart: it is drawn when it comes near."""
        self.page.locator(f"#{chart}").scroll_into_view_if_needed()
        self.page.wait_for_selector(f"#{chart} .main-svg")

    def sort(self, column: str) -> None:
        self.page.locator(f"#table thead tr:first-child th:nth-child({self._place(column)})").click()

    def filter(self, column: str):
        return self.page.locator(f"#table thead tr:nth-child(2) td:nth-child({self._place(column)})")

    def _place(self, column: str) -> int:
        headings = self.page.locator("#table thead tr:first-child th").all_inner_texts()
        return [heading.strip() for heading in headings].index(column) + 1


@pytest.fixture
def opened(browser):  # noqa: F811
    """Write the report on a sweep and open it."""
    with opening(browser, OpenedReport) as open_page:
        yield lambda sweep, reload_s=None, **size: open_page(
            write_report(find_runs(sweep), sweep, "Sweep", reload_s).page, **size
        )


def sweep_of(path: Path, *elbos: float) -> Path:
    for number, elbo in enumerate(elbos):
        typed = [f"model.latent_dim={2**number}", f"objective.beta={number % 3}"]
        changes = {"model__latent_dim": 2**number, "objective__beta": number % 3}
        write_run(
            path / str(number), changes, typed, figures(elbo, **{"test/elbo_stderr": 1.5}), curve=[elbo - 9, elbo]
        )
    return path


def test_a_click_on_a_heading_sorts_numbers_as_numbers(opened, tmp_path):
    one = opened(sweep_of(tmp_path, 980.0, 7580.2, -3.5, 40775.0, 12.0))
    one.expect("run", ["3", "1", "0", "4", "2"])
    one.sort("test ELBO")
    one.expect("test ELBO", ["-3.50 ± 1.50", "12.00 ± 1.50", "980.00 ± 1.50", "7,580.20 ± 1.50", "40,775 ± 2"])
    one.sort("test ELBO")
    one.expect("run", ["3", "1", "0", "4", "2"])
    one.sort("latent_dim")
    one.expect("latent_dim", ["1", "2", "4", "8", "16"])
    one.sort("run")
    one.expect("run", ["0", "1", "2", "3", "4"])


def test_filters_leave_the_rows_that_were_asked_for(opened, tmp_path):
    sweep = sweep_of(tmp_path, 980.0, 7580.2, -3.5, 40775.0, 12.0)
    write_run(sweep / "7", {"model__latent_dim": 77}, ["model.latent_dim=77"], status="failed", reason="why")
    one = opened(sweep)
    search = one.page.get_by_label("Search:")
    search.fill("failed")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(1)
    one.expect("run", ["7"])
    assert one.page.locator(".dt-info").inner_text() == "1 of 6 runs"
    search.fill("")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(6)
    one.filter("test ELBO").locator("select").select_option("greater")
    one.filter("test ELBO").locator("input").fill("1000")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(2)
    one.expect("run", ["3", "1"])
    one.filter("latent_dim").locator("input").fill("8")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(1)
    one.expect("run", ["3"])
    for column in ("test ELBO", "latent_dim"):
        one.filter(column).locator("input").fill("")
    one.filter("status").locator("button").click()
    one.page.locator(".dtcc-list-buttons button", has_text="finished").click()
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(5)
    assert "7" not in one.rows("run")


def test_pointing_at_a_point_tells_its_run_and_a_click_in_the_legend_hides_a_curve(opened, tmp_path):
    one = opened(write_sweep(tmp_path, [2, 8], [1, 4]))
    label = one.point_at_first_run()
    playwright.expect(label).to_contain_text("run 2")
    assert "latent_dim = 8" in (label.text_content() or "")
    assert "-160.52" in (label.text_content() or "")
    one.see("curve-1")
    curves = one.page.locator("#curve-1 .scatterlayer .trace")
    assert curves.count() == 4
    one.page.locator("#curve-1 .legendtoggle").first.click()
    playwright.expect(curves).to_have_count(3)


def colour_shown(cell) -> tuple[int, ...]:
    """The colour of the picture in a cell, an animation's at its end, as the browser was given it."""
    source = cell.locator("img:visible").first.get_attribute("src")
    image = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    image.seek(getattr(image, "n_frames", 1) - 1)
    return image.convert("RGB").getpixel((10, 10))


def test_each_cell_of_the_grid_has_its_own_picture(opened, tmp_path):
    sweep = write_sweep(tmp_path, [2, 8, 32], [0.5, 4], COLOURS)
    one = opened(sweep)
    for kind in ("reconstructions", "samples", "training"):
        one.page.locator(f"label[for=show-{kind}]").click()
        grid = one.page.locator(f"#panel-{kind} table.grid")
        assert grid.is_visible()
        assert one.page.locator("table.grid:visible").count() == 1
        assert [text.strip() for text in grid.locator("thead th").all_inner_texts()[1:]] == ["0.5", "4"]
        assert [text.strip() for text in grid.locator("tbody th").all_inner_texts()] == ["2", "8", "32"]
        shown = [colour_shown(cell) for cell in grid.locator("td").all()]
        assert shown == [ImageColor.getrgb(colour) for colour in COLOURS]
    for width in (500, 1366):
        one.page.set_viewport_size({"width": width, "height": 768})
        for _ in range(50):  # charts follow a moment later
            if one.page.evaluate("document.documentElement.scrollWidth") <= width:
                break
            one.page.wait_for_timeout(100)
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_a_run_calls_itself_is_only_text(opened, tmp_path):
    for number, elbo in enumerate([-100.0, -110.0]):
        note = f"{ATTACK}{number}"
        write_run(
            tmp_path / f"<b>{number}<|b>", {"model__note": note}, [f"model.note={note}"], figures(elbo), curve=[elbo]
        )
    write_run(tmp_path / "9", {"model__note": ATTACK}, [f"model.note={ATTACK}"], status=ATTACK, reason=ATTACK)
    one = opened(tmp_path)
    assert one.page.evaluate("window.owned") is None
    assert ATTACK in one.page.locator("#failures dd").inner_text()
    assert one.rows("note")[0].startswith("</script><script>window.owned = 1</script>")
    assert one.rows("run")[0] == "<b>0<|b>"
    label = one.point_at_first_run()
    playwright.expect(label).to_contain_text("run <b>0<|b>")
    assert "</script><script>window.owned" in (label.text_content() or "")
    one.filter("status").locator("button").click()
    playwright.expect(one.page.locator(".dtcc-list-buttons button").first).to_be_visible()
    assert one.page.evaluate("window.owned") is None


def test_the_policy_stops_what_would_get_through(opened, tmp_path):
    one = opened(sweep_of(tmp_path, 1.0, 2.0))
    assert one.page.evaluate(
        """async () => {
            const script = document.createElement("script");
            script.textContent = "window.owned = 1";
            document.body.append(script);
            const asked = fetch("https://example.org/").then(() => "reached", () => "refused");
            return [window.owned ?? "did not run", await asked];
        }"""
    ) == ["did not run", "refused"]
    assert len(one.complaints) >= 2
    assert all("Content Security Policy" in complaint for complaint in one.complaints)
    one.complaints.clear()


def test_a_mixed_sweep_shows_what_there_is(opened, tmp_path):
    sweep = write_sweep(tmp_path, [2, 8], [1, 4], COLOURS[:4])
    write_run(
        sweep / "4",
        {"model__latent_dim": 0, "objective__beta": 1},
        ["model.latent_dim=0"],
        status="failed",
        reason="too few",
    )
    write_run(
        sweep / "6",
        {"model__latent_dim": 8, "objective__beta": 9},
        ["model.latent_dim=8"],
        status="running",
        curve=[-300],
    )
    write_run(sweep / "7", {"model__latent_dim": 3, "objective__beta": 1}, [], figures(7000, **{"test/kind": DENSITY}))
    (sweep / "3/config.yaml").write_text("{[")
    one = opened(sweep)
    assert one.rows("run") == ["2", "0", "1", "3", "7", "6", "4"]
    assert one.rows("set") == ["A", "A", "A", "A", "B", "C", "C"]
    assert "too few" in one.page.locator("#failures").inner_text()
    assert "too few" in one.page.locator("#panel-reconstructions .card.failed", has_text="too few").inner_text()
    assert "config.yaml can't be read" in one.page.locator("#failures").inner_text()
    assert one.page.locator("text=Not all figures compare.").is_visible()


def test_on_paper_all_rows_and_both_kinds_of_pictures_are_there_without_controls(opened, tmp_path):
    for number in range(60):
        write_run(tmp_path / str(number), {"a": number}, [f"+a={number}"], figures(-100.0 - number))
    write_picture(tmp_path / "0", "reconstructions", "red")
    write_picture(tmp_path / "0", "samples", "red")
    one = opened(tmp_path)
    assert len(one.rows("run")) == 50
    one.page.emulate_media(media="print")
    one.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert len(one.rows("run")) == 60
    assert one.page.locator("#plane-1 svg.main-svg").first.get_attribute("width") == "980"
    assert one.page.locator("#panel-reconstructions").is_visible()
    assert one.page.locator("#panel-samples").is_visible()
    assert not one.page.locator(".dt-search").is_visible()
    assert not one.page.locator("#table thead tr:nth-child(2)").is_visible()
    one.page.evaluate("dispatchEvent(new Event('afterprint'))")
    one.page.emulate_media(media="screen")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(50)
    assert one.page.locator("#plane-1 svg.main-svg").first.get_attribute("width") != "980"


FAMILIES = """[...document.querySelectorAll("body *")]
    .filter(element => element.textContent.trim() && !element.closest("script, code"))
    .map(element => getComputedStyle(element).fontFamily)"""
SHOWN = """() => {
    const one = (name, key) => getComputedStyle(document.querySelector(name))[key];
    const chart = "#curve-1 .main-svg";
    return [one("body", "backgroundColor"), one(chart, "backgroundColor"), one(`${chart} .xtick text`, "fill")];
}"""


def test_the_page_and_its_charts_are_light_or_dark_in_one_typeface_and_light_on_paper(opened, tmp_path):
    one = opened(write_sweep(tmp_path, [2, 8], [1, 4]))
    light = ["rgb(255, 255, 255)", "rgb(255, 255, 255)", "rgb(31, 41, 51)"]
    dark = ["rgb(20, 24, 29)", "rgb(20, 24, 29)", "rgb(227, 232, 238)"]
    one.see("curve-1")
    assert one.page.evaluate(SHOWN) == light
    assert set(one.page.evaluate(FAMILIES)) == {'"DejaVu Sans", Verdana, Geneva, sans-serif'}
    one.page.locator("#curve-1 .legendtoggle").first.click()
    playwright.expect(one.page.locator("#curve-1 .scatterlayer .trace")).to_have_count(3)
    one.page.emulate_media(color_scheme="dark")
    one.page.wait_for_selector("html.dark")
    assert one.page.evaluate(SHOWN) == dark
    assert one.page.locator("#curve-1 .scatterlayer .trace").count() == 3  # what was hidden stays so
    one.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert one.page.evaluate(SHOWN) == light
    one.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert one.page.evaluate(SHOWN) == dark


def test_a_narrow_page_has_the_legend_of_the_curves_below_them(opened, tmp_path):
    one = opened(write_sweep(tmp_path, [2, 8], [1, 4]), width=400)
    one.see("curve-1")
    plot, legend = (
        one.page.locator(f"#curve-1 {name}").first.bounding_box() for name in (".xaxislayer-above", ".legend")
    )
    assert legend["y"] > plot["y"]
    assert one.page.locator("#curve-1 .legendtext").count() == 4


def test_five_hundred_runs_stay_usable(opened, tmp_path):
    for number in range(500):
        typed = [f"optimizer.lr={10 ** (-2 - number / 200)}", f"model.latent_dim={2 ** (number % 6)}"]
        changes = {"optimizer__lr": 10 ** (-2 - number / 200), "model__latent_dim": 2 ** (number % 6)}
        elbo = -100.0 - abs(number - 250) / 10
        colours = {"reconstructions": COLOURS[number % 6], "samples": "grey"}
        curve = [elbo - 100 / (epoch + 1) for epoch in range(20)]
        write_run(tmp_path / str(number), changes, typed, figures(elbo), curve=curve, colours=colours)
    one = opened(tmp_path)
    assert len(one.rows("run")) == 50
    assert one.rows("run")[0] == "250"
    assert one.page.locator("#panel-reconstructions .card img").count() == 500
    one.see("curve-1")
    assert one.page.locator("#curve-1 .scatterlayer .trace").count() == 500
    one.page.get_by_label("Search:").fill("0.000316228")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(1)
    assert (tmp_path / "index.html").stat().st_size < 25_000_000


def test_seeds_are_shown_as_means_and_as_single_runs_when_asked(opened, tmp_path):
    one = opened(write_seeds(tmp_path, {2: [-150, -151, -152], 8: [-140, -141, -142]}))
    table = one.page.locator("#table-seeds tbody tr")
    playwright.expect(table).to_have_count(2)
    assert "-141.00 ± 1.00" in table.first.inner_text()
    assert "-10.00 (-12.27 to -7.73)" in table.nth(1).inner_text()
    assert one.page.get_by_title("95% interval of the mean: -143.48 to -138.52 (3 seeds)").count() == 1
    points = one.page.locator("#plane-1 .scatterlayer .trace path.point")
    assert points.count() == 3  # two means and the ring
    assert one.page.locator("#panel-traversals .card:visible").count() == 2
    one.page.get_by_text("single runs", exact=True).click()
    playwright.expect(points).to_have_count(7)
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(6)
    assert not one.page.locator("#table-seeds").is_visible()
    assert one.page.locator("#panel-traversals .card:visible").count() == 6


def test_a_filter_acts_on_charts_and_pictures(opened, tmp_path):
    one = opened(write_sweep(tmp_path, [2, 8], [1, 4], COLOURS[:4]))
    points = one.page.locator("#plane-1 .scatterlayer .trace path.point")
    cards = one.page.locator("#panel-reconstructions .card:visible")
    assert (points.count(), cards.count()) == (5, 4)
    one.see("heat-1-1")
    one.see("curve-1")
    one.filter("latent_dim").locator("input").fill("8")
    playwright.expect(points).to_have_count(3)  # the best is among them
    playwright.expect(cards).to_have_count(2)
    playwright.expect(one.page.locator("#curve-1 .scatterlayer .trace")).to_have_count(2)
    assert [text for text in one.page.locator("#heat-1-1 .heatmap-label").all_text_contents() if text] == [
        "-160.52",
        "-184.53",
    ]
    one.filter("latent_dim").locator("input").fill("")
    playwright.expect(points).to_have_count(5)
    playwright.expect(cards).to_have_count(4)


def test_what_was_chosen_and_filtered_stays_when_a_live_page_loads_itself_anew(opened, tmp_path):
    one = opened(write_seeds(tmp_path, {2: [-150, -151], 8: [-140, -141]}), reload_s=600)
    assert "live: it loads itself anew every 600 s" in one.page.inner_text("header")
    one.page.get_by_text("single runs", exact=True).click()
    one.page.locator("label[for=show-samples]").click()
    one.page.get_by_label("Search:").locator("visible=true").fill("-152")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(1)
    one.requests.clear()  # it is loaded once more
    one.page.evaluate("dispatchEvent(new Event('reload-now'))")
    one.page.wait_for_selector("html[data-ready]")
    playwright.expect(one.page.locator("#table tbody tr")).to_have_count(1)
    assert one.page.locator("#panel-samples").is_visible()
    assert one.page.locator("#panel-samples .card:visible").count() == 1
