"""The explorer's page in a real browser: what it decodes is what the model decodes."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.browser import Opened, browser, needs_browser, opening, playwright  # noqa: F401
from tests.trained import train_once
from vae_lightning import open_run
from vae_lightning.explorer.page import WriteExplorer
from vae_lightning.latents.paths import spherical
from vae_lightning.runs.trained import TrainedRun, open_trained

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytestmark = needs_browser


@dataclass
class OpenedExplorer(Opened):
    """What is seen on the page."""

    def pixels(self, canvas: str = "image") -> np.ndarray:
        """[H, W, 3], 0 to 255, once nothing is being decoded."""
        self.settle()
        uri = self.page.evaluate("id => document.getElementById(id).toDataURL()", canvas)
        return pixels(base64.b64decode(uri.partition(",")[2]))

    def settle(self) -> None:
        decoded = -1
        while decoded != (decoded := self.page.evaluate("document.documentElement.dataset.decoded")):
            self.page.wait_for_timeout(150)

    def slide(self, latent: int, deviations: float) -> None:
        slider = self.page.locator(f"input[data-latent='{latent}']")
        slider.evaluate("(s, v) => { s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})) }", deviations)

    def deviations(self) -> list[float]:
        """The latents that have a slider, by number."""
        rows = self.page.locator("#sliders input").evaluate_all("all => all.map(s => [+s.dataset.latent, +s.value])")
        return [value for _, value in sorted(rows)]

    def text(self, element: str) -> str:
        return self.page.inner_text(f"#{element}")


def page_of(run: TrainedRun, path: Path, **settings) -> Path:
    text, told = WriteExplorer(**settings)(run)
    assert told == []
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def of_digits(digits, pages) -> Path:
    return page_of(digits, pages / "digits.html")


@pytest.fixture(scope="module")
def of_names(named, pages) -> Path:
    return page_of(named, pages / "named.html", num_images=20, num_neighbours=20)


@pytest.fixture(scope="module")
def ladder(tmp_path_factory) -> TrainedRun:
    path = tmp_path_factory.mktemp("trained") / "run"
    small = ["model=ladder", "model.latent_dims=[3,5]", "model.hidden=8", "trainer.max_epochs=1"]
    run = train_once(path, "data=digits", "trainer=cpu", *small)
    return open_trained(str(run.path), device="cpu")


@pytest.fixture
def opened(browser):  # noqa: F811
    with opening(browser, OpenedExplorer) as open_page:
        yield open_page


@pytest.fixture(scope="module")
def _on_digits(browser, of_digits):  # noqa: F811
    with opening(browser, OpenedExplorer) as open_page:
        yield open_page(of_digits)


@pytest.fixture
def on_digits(_on_digits):
    """The page of the digits, opened once for tests that leave nothing on it that another of them looks at.

    Each begins at the mean, where the page begins, too.
    """
    _on_digits.page.evaluate("location.hash = `begin=${Math.random()}`")
    playwright.expect(_on_digits.page.locator("#origin")).to_have_text("The mean of the prior")
    _on_digits.settle()
    yield _on_digits
    assert not _on_digits.complaints, _on_digits.complaints


def decoded(run: TrainedRun, z: np.ndarray, labels: list[int] | None = None) -> np.ndarray:
    """What the model makes of latents, as pixels [H, W, 3]."""
    told = None if labels is None else torch.tensor(labels)
    image = run.decode(torch.tensor(z, dtype=torch.float32)[None], told)[0]
    return (255 * image.expand(3, -1, -1)).round().permute(1, 2, 0).numpy().astype(np.int64)


def point(z: list[float]) -> str:
    return base64.urlsafe_b64encode(np.array(z, dtype="<f4").tobytes()).decode().rstrip("=")


def near(shown: np.ndarray, wanted: np.ndarray) -> bool:
    return bool(shown.shape == wanted.shape and np.abs(shown - wanted).max() <= 2)


def pixels(content: bytes) -> np.ndarray:
    """[H, W, 3], 0 to 255, of the first frame of a picture."""
    return np.array(Image.open(io.BytesIO(content)).convert("RGB")).astype(np.int64)


def picture(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_slider_changes_the_image_to_what_the_model_decodes(digits, on_digits):
    one = on_digits
    z = np.zeros(4)
    assert near(one.pixels(), decoded(digits, z))
    before, (latent, *_) = one.pixels(), digits.unit_statistics(10).by_rate
    z[latent] = 2.5
    one.slide(latent, 2.5)
    assert near(one.pixels(), decoded(digits, z))
    assert np.abs(one.pixels() - before).max() > 10
    assert one.deviations() == z.tolist()
    one.page.locator(f"input[data-latent='{latent}']").press("ArrowLeft")
    z[latent] = 2.49
    assert near(one.pixels(), decoded(digits, z))
    one.page.click("#undo")
    assert near(one.pixels(), before)


def test_colour_and_the_label_that_is_chosen(named, of_names, opened):
    z = [0.5, -1.0, 1.5]
    one = opened(of_names, fragment=f"#point={point(z)}")
    for label, name in enumerate(("cat", "dog", "owl")):
        one.page.select_option("#label", name)
        assert near(one.pixels(), decoded(named, np.array(z), [label]))
        assert f"label={label}" in one.page.url
    assert one.page.locator("#legend span").all_inner_texts() == ["cat", "dog", "owl"]


def test_samples_are_the_priors_and_an_address_tells_which(digits, of_digits, on_digits, opened):
    one = on_digits
    drawn = []
    for _ in range(8):
        one.page.click("#random")
        one.settle()
        drawn += one.deviations()
    assert 0.6 < np.std(drawn) < 1.4
    assert abs(np.mean(drawn)) < 0.5
    address, image, z = one.page.url, one.pixels(), one.deviations()
    again = opened(of_digits, fragment="#" + address.partition("#")[2])
    assert np.array_equal(again.pixels(), image)
    one.page.locator("#temperature").fill("0.5")
    one.settle()
    assert one.deviations() == pytest.approx([value / 2 for value in z], abs=0.011)
    one.page.locator("#temperature").fill("0")
    assert near(one.pixels(), decoded(digits, np.zeros(4)))


def test_an_address_of_another_model_is_told(digits, on_digits):
    one = on_digits
    wrong = ["image=100000", "z=9:1", "point=AAAA", "sample=-1", "temperature=9", "plane=nowhere", "z=1:x", "label=1"]
    wrong += ["z=0:1e300", "temperature=", "point=!!", "from=AAA", "path=none", "group=2", "redrawn=2:1", "sample=abc"]
    for fragment in wrong:
        one.page.evaluate("fragment => { location.hash = fragment }", fragment)
        playwright.expect(one.page.locator("#status")).to_contain_text("does not fit this model")
        assert near(one.pixels(), decoded(digits, np.zeros(4)))
        assert f"model: {fragment.partition('=')[0]}=" in one.text("status")
        one.page.evaluate("fragment => { location.hash = `plane=0,1&after=${fragment}` }", fragment)
        playwright.expect(one.page.locator("#status")).to_have_text("")


def test_and_so_it_is_when_the_page_begins(of_digits, opened):
    assert opened(of_digits, fragment="#sample=abc").text("status").endswith("does not fit this model: sample=abc")


def test_an_own_image_is_encoded_and_inverted_where_that_is_likelier(digits, of_digits, opened, tmp_path):
    one = opened(of_digits)
    image = digits.encoded("test", 20).batch.images[3]
    wanted = digits.decode(digits.encode(image[None].float() / 255))[0]
    wanted = (255 * wanted.expand(3, -1, -1)).round().permute(1, 2, 0).numpy().astype(np.int64)
    for values, inverted in ((image[0].numpy(), False), (255 - image[0].numpy(), True)):
        one.page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": picture(values)})
        playwright.expect(one.page.locator("#status")).to_have_text(
            "a.png; inverted, which the model reconstructs better." if inverted else "a.png."
        )
        assert near(one.pixels(), wanted)
        assert near(one.pixels("own-reconstruction"), wanted)
        assert np.array_equal(one.pixels("own-image")[..., 0], image[0].numpy())
        assert one.page.is_checked("#invert") == inverted
    one.page.uncheck("#invert")
    assert np.array_equal(one.pixels("own-image")[..., 0], 255 - image[0].numpy())
    playwright.expect(one.page.locator("#nearest button")).to_have_count(8)
    one.page.locator("#nearest button").first.click()
    assert one.text("origin") == "A training image"


DROP = """async ([name, bytes]) => { const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
  document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})); }"""


def test_a_dropped_one_of_another_size_is_fitted_and_what_is_no_picture_is_told(of_names, opened):
    one = opened(of_names)
    wide = np.zeros((40, 80, 3))
    wide[:, 20:60] = (200, 120, 40)  # the middle, which is kept
    one.page.evaluate(DROP, ["wide.png", list(picture(wide))])
    playwright.expect(one.page.locator("#status")).to_contain_text("wide.png, 80 x 40 pixels, cropped to 32 x 32")
    seen = one.pixels("own-image")
    if one.page.is_checked("#invert"):
        seen = 255 - seen
    assert np.abs(seen[:, 2:-2] - (200, 120, 40)).max() <= 2
    z = one.deviations()
    one.page.evaluate(DROP, ["no.png", [1, 2, 3]])
    playwright.expect(one.page.locator("#status")).to_have_text("no.png: is no picture that this browser can read.")
    assert one.deviations() == z


def test_one_drags_on_each_plane(digits, of_digits, opened):
    one = opened(of_digits)
    box = one.page.locator("#plane").bounding_box()
    across, up = digits.unit_statistics(10).by_rate[:2]

    def drag(x: float, y: float) -> None:
        """To a place in [0, 1] of the plane, from its corner."""
        one.page.locator("#plane").scroll_into_view_if_needed()
        where = one.page.locator("#plane").bounding_box()
        one.page.mouse.move(where["x"] + 9, where["y"] + 9)
        one.page.mouse.down()
        one.page.mouse.move(where["x"] + x * box["width"], where["y"] + y * box["height"], steps=4)
        one.page.mouse.up()
        one.settle()

    drag(0.75, 0.25)
    z = np.zeros(4)
    z[across], z[up] = 2, 2
    assert one.deviations() == pytest.approx(z.tolist(), abs=0.05)
    one.page.locator("#plane").press("ArrowLeft")
    one.settle()
    z[across] -= 0.1
    assert one.deviations() == pytest.approx(z.tolist(), abs=0.05)
    drag(1.5, 0.5)  # ends at the edge
    assert one.deviations()[across] == pytest.approx(4, abs=0.02)
    one.page.select_option("#plane-kind", "pca")
    drag(0.5, 0.5)  # the mean of the codes
    codes = digits.encoded("test", 500).latents.loc
    assert one.deviations() == pytest.approx(codes.mean(0).tolist(), abs=0.02)
    one.page.select_option("#plane-kind", "tsne")
    drag(0.4, 0.6)
    assert one.text("origin") == "A point of the plane of t-SNE"
    assert "plane=tsne" in one.page.url
    low, high = codes.min(0).values - 0.02, codes.max(0).values + 0.02
    assert all(low[d] <= value <= high[d] for d, value in enumerate(one.deviations()))


def test_an_encoded_image_is_there_by_its_number(digits, on_digits):
    one = on_digits
    one.page.evaluate("location.hash = 'image=7'")
    one.settle()
    wanted = decoded(digits, digits.encoded("test", 500).latents.loc[7].numpy())
    assert near(one.pixels(), wanted)
    assert one.text("origin").startswith("Image 8 of ")


def test_a_morph_ends_where_it_is_told_and_leaves_as_a_gif_or_a_picture(digits, on_digits):
    ends = [1.0, 0.5, -1.0, 0.2], [-0.5, 1.5, 0.3, -1.0]
    one = on_digits
    for name, z in zip(("from", "to"), ends, strict=True):
        one.page.evaluate("fragment => { location.hash = fragment }", f"point={point(z)}")
        one.settle()
        one.page.click(f"#set-{name}")
    for t, z in ((1, ends[1]), (0, ends[0])):
        one.page.locator("#way").fill(f"{t}")
        assert near(one.pixels(), decoded(digits, np.array(z)))
    one.page.select_option("#path", "linear")
    one.page.locator("#way").fill("0.25")
    middle = decoded(digits, 0.75 * np.array(ends[0]) + 0.25 * np.array(ends[1]))
    assert near(one.pixels(), middle)
    with one.page.expect_download() as download:
        one.page.click("#png")
    saved = pixels(Path(download.value.path()).read_bytes())
    assert saved.shape == (28 * 18, 28 * 18, 3)
    assert near(saved[9::18, 9::18], middle)
    with one.page.expect_download() as download:
        one.page.click("#gif")
    assert download.value.suggested_filename.endswith(".gif")
    moving = Image.open(download.value.path())
    assert (moving.n_frames, moving.size) == (62, (504, 504))
    first = pixels(Path(download.value.path()).read_bytes())[9::18, 9::18]
    assert near(first, decoded(digits, np.array(ends[0])))
    one.page.click("#play")
    one.page.wait_for_timeout(400)
    one.page.click("#play")
    assert "of the way from A to B" in one.text("origin")


def test_of_a_hierarchy_one_group_has_the_sliders_and_the_lower_ones_are_drawn_anew(ladder, pages, opened):
    one = opened(page_of(ladder, pages / "ladder.html", num_images=20, num_neighbours=0), fragment="#sample=3")
    top, low = one.deviations()[:3], one.deviations()[3:]
    one.page.select_option("#group", "2")
    assert one.page.locator("#sliders input").count() == 5
    assert one.page.locator("#nearest").count() == 0  # of which the page was told to have none
    assert one.text("random") == "Random from group 2 down"
    one.page.click("#random")
    one.settle()
    assert np.abs(np.array(one.deviations()) - low).max() > 0.1
    address, image = one.page.url, one.pixels()
    one.page.select_option("#group", "1")
    assert one.deviations() == top
    assert "redrawn=2:" in address
    again = opened(pages / "ladder.html", fragment="#" + address.partition("#")[2])
    assert np.array_equal(again.pixels(), image)


def test_of_moves_at_once_the_last_one_counts(ladder, pages, opened):
    one = opened(pages / "ladder.html", fragment="#sample=3")
    one.page.evaluate("for (const id of ['random', 'mean']) document.getElementById(id).click()")
    one.settle()
    assert one.text("origin") == "The mean of the prior"
    assert set(one.deviations()) == {0}
    one.page.click("#play")
    one.page.evaluate("document.getElementById('mean').click()")
    one.settle()
    assert (one.text("play"), one.text("origin")) == ("Play", "The mean of the prior")


def test_opposite_ends_are_joined_round_the_origin(digits, of_digits, opened):
    start = np.array([0.0, 2.0, 0.0, 0.0], dtype=np.float32)
    ends = f"from={point(start)}&to={point(-start)}"
    one = opened(of_digits, fragment=f"#{ends}")
    one.page.locator("#way").fill("0.5")
    one.settle()
    middle = spherical(torch.tensor(start), torch.tensor(-start), 3)[1]
    assert one.deviations() == pytest.approx(middle.tolist(), abs=0.011)
    assert ends in one.page.url


def test_what_a_label_is_told_to_is_seen_with_it(of_names, opened):
    one = opened(of_names)
    image = np.full((32, 32, 3), (90, 140, 200))
    one.page.set_input_files("#file", {"name": "a" * 200 + ".png", "mimeType": "image/png", "buffer": picture(image)})
    playwright.expect(one.page.locator("#status")).to_contain_text("encoded as label cat")
    before = [one.pixels(name) for name in ("own-reconstruction", "from", "to")]
    one.page.select_option("#label", "owl")
    one.settle()
    assert all(
        np.abs(one.pixels(n) - b).max() for n, b in zip(("own-reconstruction", "from", "to"), before, strict=True)
    )
    assert np.array_equal(one.pixels(), one.pixels("own-reconstruction"))
    one.page.set_viewport_size({"width": 390, "height": 800})
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_the_data_it_opens_all_the_same(export, digits_run, opened):
    export(f"run={digits_run.path}", "out=model")
    config = Path("model/config.json")
    config.write_text(config.read_text().replace("digits.Digits", "mnist.MNIST"))
    text, told = WriteExplorer()(open_trained("model", device="cpu", data={"root": str(Path("nowhere").absolute())}))
    assert told[0].startswith("without encoded images, for those of the data are not there: ")
    Path("page.html").write_text(text)
    one = opened(Path("page.html").absolute())
    assert one.page.locator("#plane-kind option").all_inner_texts() == ["two latents"]
    one.page.click("#random")
    assert one.text("origin").startswith("A sample of the prior")
    run = open_run("model")
    assert near(one.pixels(), decoded(run._opened, np.array(one.deviations())))


def test_nothing_stands_out_and_everything_has_a_name(of_names, opened):
    one = opened(of_names)
    for width in (390, 800, 1600):
        one.page.set_viewport_size({"width": width, "height": 800})
        assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    small = one.page.locator("button:visible, select:visible").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect()).filter(box => box.height < 36).length"
    )
    assert small == 0  # a finger meets each
    unnamed = """all => all.filter(e => !(e.getAttribute("aria-label") || e.labels?.length || e.innerText.trim()))"""
    assert one.page.locator("button, input, select, canvas[id]").evaluate_all(f"{unnamed}.map(e => e.id)") == []
    assert one.text("status") == ""
