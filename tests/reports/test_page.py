import random
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from tests.reports.runs_on_disk import DENSITY, figures, write_run, write_sweep
from vae_lightning.reports.comparison import Comparison
from vae_lightning.reports.page import page_html
from vae_lightning.reports.runs import find_runs, read_runs

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"`{{ 77*77 }}"


class Page(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, source: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.text += f" {data}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(sweep, title="Sweep") -> Page:
    return Page(page_html(Comparison(read_runs(find_runs(sweep))), title, sweep))


def test_the_headline_names_what_varied_and_the_best(tmp_path):
    sweep = write_sweep(tmp_path, [2, 8], [1, 4])
    write_run(sweep / "4", {"model__latent_dim": 0}, ["model.latent_dim=0"], status="failed", reason="too few")
    text = re.sub(r" ([,.])", r"\1", " ".join(page_of(sweep, "Sweep 15-34-23").text.split()))
    assert text.startswith("Sweep 15-34-23 Sweep 15-34-23 5 runs: 1 failed 4 finished report of ")
    assert "Varied: model.latent_dim (0, 2, 8), objective.beta (1, 4)." in text
    assert "Best by validation ELBO: run 2 latent_dim=8, beta=1 test ELBO -160.52 ± 0.25" in text
    assert "nats per image; cross-entropy of grey levels, no likelihood" in text
    assert "Not all figures compare" not in text
    assert "4 failed latent_dim=0, beta=1 too few To repeat it" in text


def test_kinds_that_do_not_compare_are_told_apart(tmp_path):
    write_run(tmp_path / "0", {"seed": 0}, ["seed=0"], figures(-100))
    write_run(tmp_path / "1", {"seed": 1}, ["seed=1"], figures(7000, **{"test/kind": DENSITY}))
    page = page_of(tmp_path)
    text = " ".join(page.text.split())
    assert "Not all figures compare." in text
    assert "A cross-entropy of grey levels, no likelihood (1); B log-density of pixels in [0, 1] (1)." in text
    charts = [attributes["id"] for attributes in page.all("div") if attributes.get("class") == "chart"]
    assert [name for name in charts if name and name.startswith("plane")] == ["plane-1", "plane-2"]


def test_nothing_in_it_comes_from_elsewhere(tmp_path):
    source = page_html(Comparison(read_runs(find_runs(write_sweep(tmp_path, [2, 8], [1])))), "Sweep", tmp_path)
    page = Page(source)
    addresses = [
        attributes[name] or ""
        for tag, attributes in page.tags
        for name in ("src", "href", "srcset", "poster", "data", "action")
        if name in attributes and tag != "a"
    ]
    assert addresses
    assert all(address.startswith("data:") for address in addresses)
    links = [attributes["href"] or "" for attributes in page.all("a")]
    assert "0/" in links
    assert "summary.csv" in links
    assert not [link for link in links if link.startswith(("/", "http", "file", ".."))]
    styles = re.findall(r"<style>(.*?)</style>", source, re.DOTALL)
    assert len(styles) == 2
    assert not [style for style in styles if re.search(r"@import|url\((?!data:)", style)]


def test_only_its_own_scripts_may_run(tmp_path):
    page = page_of(write_sweep(tmp_path, [2, 8], [1]))
    (policy,) = [attributes["content"] or "" for attributes in page.all("meta") if "http-equiv" in attributes]
    nonce = re.search(r"script-src 'nonce-([\w-]{20,})' blob:;", policy)
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    assert nonce
    running = [attributes for attributes in page.all("script") if attributes.get("type") in (None, "module")]
    assert len(running) == 1
    assert all(attributes["nonce"] == nonce[1] for attributes in running)


def test_no_text_of_a_run_becomes_a_part_of_the_page(tmp_path):
    harmless = write_sweep(tmp_path / "harmless", [2, 8], [1])
    for sweep, text in ((harmless, "text"), (tmp_path / "attack", ATTACK)):
        write_run(
            sweep / "7", {"model__note": text}, [f"model.note={text}"], figures(-9, **{"test/kind": text}), curve=[-9]
        )
        write_run(
            sweep / "8", {"model__note": f"{text}2"}, [f"model.note={text}2"], status=text, reason=text, curve=[-9]
        )
        write_run(sweep / "9", {f"model__{text}": 1}, [f"model.{text}=1"], figures(-10, **{"test/kind": text}))
    page = page_of(tmp_path / "attack", ATTACK)
    assert not [attributes for attributes in page.all("img") if attributes.get("src") == "x"]
    assert not [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)]
    kinds = [attributes.get("type") for attributes in page.all("script")]
    assert set(kinds) == {"application/json", "text/plain", "module"}
    assert kinds.count("module") == 1
    assert ATTACK in page.text
    assert "5929" not in page.text.partition("Best")[0]


def test_a_link_leads_to_a_run_outside_and_with_a_strange_name(tmp_path):
    run = write_run(tmp_path / "runs/a #1 100%?", {}, [], figures(-100))
    page = Page(page_html(Comparison(read_runs([run])), "Runs", tmp_path / "report"))
    assert "../runs/a%20%231%20100%25%3F/" in [attributes["href"] for attributes in page.all("a")]


@pytest.mark.parametrize("broken", ["no runs with figures", "no pictures", "nothing"])
def test_whatever_is_missing_the_page_is_made(tmp_path, broken):
    write_run(tmp_path / "0", {}, [], status="failed", reason="why")
    if broken == "no pictures":
        write_run(tmp_path / "1", {"seed": 1}, [], figures(-100), curve=[-100])
    if broken == "nothing":
        (tmp_path / "0/config.yaml").unlink()
    sections = {attributes["id"] for attributes in page_of(tmp_path).all("section")}
    expected = {"runs", "failures"}
    if broken == "no pictures":
        expected |= {"rate-distortion", "curves"}
    expected |= {"repeat"} & sections if broken != "nothing" else set()
    assert sections == expected | ({"settings"} & sections if broken == "no pictures" else set())


def test_pictures_that_were_shrunk_are_told(tmp_path, monkeypatch):
    from vae_lightning.reports import page as module

    sweep = write_sweep(tmp_path, [2, 8], [1])
    assert "reduced" not in page_of(sweep).text
    large = Image.frombytes("RGB", (200, 200), random.Random(0).randbytes(120_000))
    large.save(sweep / "0/images/samples/epoch_0005.png")
    whole = module.embed
    monkeypatch.setattr(module, "embed", lambda files, budget: whole(files, budget=20_000))
    assert "1 of 6 are reduced in size, quality or number of frames" in page_of(sweep).text


def test_a_page_without_curves_says_what_writes_them(tmp_path):
    write_run(tmp_path / "1", {"seed": 1}, [], figures(-100))
    page = page_html(Comparison(read_runs([tmp_path / "1"])), "Runs", tmp_path)
    assert "None of these runs has curves in its <code>metrics.csv</code>, which <code>logger=csv</code> writes" in page
