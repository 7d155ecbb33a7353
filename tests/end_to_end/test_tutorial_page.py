"""docs/tutorial.md shows what its commands make, its figures add up, and what docs/glossary.md names is there."""

import json
import math
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from tests.pages import Page, page
from tests.test_config import composed
from vae_lightning.command_line.schema import CONF_DIR, register
from vae_lightning.config import plain
from vae_lightning.sweeps import jobs as sweeps
from vae_lightning.sweeps.jobs import Job

PAGE, GLOSSARY = page("docs/tutorial.md"), page("docs/glossary.md")
TEXT = " ".join(PAGE.text.split())
TRAIN, SWEEP = (line for line in PAGE.commands if "vae_lightning.train" in line)
SMALL = ["trainer=cpu", "model.encoder.hidden=[16]", "model.decoder.hidden=[16]", "trainer.max_epochs=1"]
SMALLER = {"mode=transition": "num_frames=3", "mode=traversal": "num_columns=3", "metrics=nll": "nll.num_images=9"}
MADE = {  # the pictures of the page, and the files that its commands leave
    "plane": "tutorial/generated/embedding/plane.png",
    "draws": "tutorial/generated/draws.png",
    "reconstructions": "tutorial/generated/reconstructions/reconstructions.png",
    "samples": "tutorial/generated/samples/samples.png",
    "manifold": "tutorial/generated/manifold/manifold.png",
    "traversal": "tutorial/generated/traversal/traversal.png",
    "transition": "tutorial/generated/transition/transition.png",
    "betas": "tutorial_betas/generated/manifold/manifold.png",
    "rate_distortion": "tutorial_betas/index.html",  # a part of the report, as a browser shows it
}


def words_of(line: str) -> tuple[str, list[str]]:
    python, _, module, *words = shlex.split(line)
    assert python == "python"
    return module, words


@pytest.fixture
def call(monkeypatch) -> Callable[..., None]:
    """Call a command of the page in this process, with further words."""

    def command(line: str, *more: str) -> None:
        module, words = words_of(line)
        monkeypatch.setattr(sys, "argv", [module, *words, *more])
        import_module(module).main()

    return command


@pytest.fixture
def trained(call, monkeypatch, tmp_path) -> Path:
    """The run that the page trains, on other digits, and the sweep with it three times."""
    monkeypatch.chdir(tmp_path)
    call(TRAIN, *SMALL, "data=digits", "callbacks=none", "logger=none")
    for number in range(3):
        shutil.copytree("outputs/tutorial", f"outputs/tutorial_betas/{number}")
    return tmp_path / "outputs"


def test_its_commands_make_the_pictures_that_it_shows(call, trained, capsys):
    shown = [link for link in PAGE.links if link.startswith("images/")]
    assert sorted(shown) == sorted(f"images/tutorial_{name}.png" for name in MADE)
    names: dict[str, object] = {}
    blocks = [(language, text) for language, text in PAGE.blocks if language in ("bash", "python")]
    for language, text in blocks:
        if language == "python":
            exec(text, names)
            continue
        for line in Page(f"```bash\n{text}```").commands:
            if line not in (TRAIN, SWEEP):
                smaller = [word for named, word in SMALLER.items() if named in line]
                call(line, *smaller, *([] if "report" in line else ["device=cpu"]))
    assert [name for name in MADE.values() if not (trained / name).is_file()] == []
    assert (trained / "tutorial/generated/units/units.csv").is_file()
    figures = json.loads((trained / "tutorial/metrics.json").read_text())
    assert figures["test/kind"] == "log-likelihood of binary images"
    assert figures["test/nll_gap"] > 0
    printed = capsys.readouterr().out
    assert f"all: {figures['test/rate']:.2f}\n" in printed
    for name in ("NLL by 200 samples", "gap of the ELBO"):
        assert name in printed


def test_its_sweep_differs_from_its_run_in_beta_alone(command, monkeypatch):
    jobs: list[Job] = []
    monkeypatch.setattr(sweeps, "run_job", jobs.append)
    _, words = words_of(SWEEP)
    command(*words)
    assert [job.settings["objective.beta"] for job in jobs] == [0.1, 1, 10]
    _, trained = words_of(TRAIN)
    of_sweep = ("-m", "objective.beta", "callbacks", "sweep_dir")
    assert [word for word in words if not word.startswith(of_sweep)] == trained[:-1]


def figure(name: str) -> float:
    """That the page quotes of what a command printed."""
    return float(re.findall(rf"^{name} +(-?[\d.]+)", PAGE.text, re.MULTILINE)[0])


def test_the_terms_that_it_quotes_add_up():
    elbo, rate, distortion = (figure(f"test {name}") for name in ("elbo", "rate", "distortion"))
    assert elbo == pytest.approx(-(distortion + rate), abs=0.011)
    assert f"ELBO = -(distortion + rate) = -({distortion:.2f} + {rate:.2f}) = {elbo:.2f} nats" in TEXT
    assert f"all: {rate:.2f}" in TEXT
    rows = [[float(cell) for cell in row] for row in re.findall(r"\| ([\d.]+) \| (.+) \| (.+) \| (-.+) \|", PAGE.text)]
    assert [beta for beta, *_ in rows] == [0.1, 1, 10]
    for _, rate_of_it, distortion_of_it, elbo_of_it in rows:
        assert elbo_of_it == pytest.approx(-(distortion_of_it + rate_of_it), abs=0.011)
    assert rows[1][1:] == [rate, distortion, elbo]
    assert max(rows, key=lambda row: row[-1])[0] == 1
    sharp, plain_one, coarse = rows
    for (low, high), told in {(1, 2): "17.73 / 3.40", (0, 1): "1.34 / 4.13"}.items():
        saved, paid = rows[high][2] - rows[low][2], rows[low][1] - rows[high][1]
        assert told == f"{saved:.2f} / {paid:.2f}"
        assert told in TEXT
        assert rows[low][0] < saved / paid < rows[high][0]  # what a nat of rate saves lies between their prices
    assert sharp[1] > plain_one[1] > coarse[1]


def test_its_sums_are_right():
    told = re.findall(r"(\d[\d.]*) ([-/]) (\d[\d.]*|ln 2) = (\d+\.?\d*)", TEXT)
    assert len(told) == 7
    for first, sign, second, result in told:
        one, other = float(first), math.log(2) if second == "ln 2" else float(second)
        value = one - other if sign == "-" else one / other
        assert value == pytest.approx(float(result), abs=0.5 * 10 ** -len(result.partition(".")[2]) + 1e-3), result
    assert "pays ln 2 = 0.693 for each pixel, 543 in all" in TEXT
    assert (round(math.log(2), 3), round(784 * math.log(2))) == (0.693, 543)
    assert "one of e^5.77, some 320, equally likely places" in TEXT
    assert math.exp(figure("test rate")) == pytest.approx(320, abs=2)


def test_the_likelihood_lies_above_the_bound():
    gap, nll, elbo = figure("gap of the ELBO"), figure("NLL by 200 samples"), figure("test elbo")
    assert 0 < gap < -elbo
    assert nll < -elbo
    assert gap == pytest.approx(-elbo - nll, abs=0.15)  # by other draws
    units = re.search(r"rates of ([\d.]+) and ([\d.]+) nats", TEXT)
    assert units
    assert sum(map(float, units.groups())) == pytest.approx(figure("test rate"), abs=0.1)  # of other images


TERMS = re.findall(r"^\*\*(.+?)\*\*:", GLOSSARY.text, re.MULTILINE)
ENTRIES = [text for text in GLOSSARY.text.split("\n\n") if text.startswith("**")]


def test_the_glossary_is_in_alphabetical_order():
    assert len(TERMS) == len(ENTRIES) > 50
    letters = [re.sub(r"[^a-z]", "", term.lower()) for term in TERMS]
    assert letters == sorted(letters)
    last = ""
    for part in GLOSSARY.text.split("\n\n"):
        if part.startswith("## "):
            assert part[3:] > last
            last = part[3:]
        elif part.startswith("**"):
            assert part[2].upper() == last


def test_what_an_entry_sends_to_is_there():
    known = {word.lower() for term in TERMS for word in term.split(", ")}
    lists = re.findall(r"\b[Ss]ee ((?:\*[^*]+\*,?\s*)+)", " ".join(GLOSSARY.text.split()))
    sent = [word for some in lists for word in re.findall(r"\*([^*]+)\*", some)]
    assert len(sent) > 6
    assert [word for word in sent if word not in known] == []


def spans_of(entry: str) -> Iterator[tuple[str, str]]:
    """What is typed in an entry, as keys and values; the value is empty where any is meant."""
    for span in re.findall(r"`([^`]+)`", entry):
        for word in span.split():
            if "=" in word:
                key, _, value = word.partition("=")
                yield key, value


@pytest.fixture(scope="module")
def of_others() -> list[dict]:
    """The configs of the commands that look at a trained run."""
    register()
    with initialize_config_dir(str(CONF_DIR), version_base="1.3"):
        return [plain(compose(name)) for name in ("evaluate", "generate", "score")]


def is_in(config: dict, key: str) -> bool:
    node: object = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            return False
        node = node[part]
    return True


LISTS = {"metrics": "metric", "scores": "score"}  # keys that take names of files


@pytest.mark.parametrize("entry", [entry for entry in ENTRIES if list(spans_of(entry))], ids=lambda text: text[2:14])
def test_the_keys_of_an_entry_exist(entry, of_others):
    typed = list(spans_of(entry))
    groups = {(key, value) for key, value in typed if (CONF_DIR / key).is_dir()}
    for key, value in groups | {(LISTS[key], value) for key, value in typed if key in LISTS}:
        assert (CONF_DIR / key / f"{value}.yaml").is_file() or not value, value
    of_training = [f"{key}={value}" for key, value in sorted(groups) if value and key not in ("mode", "sampler")]
    configs = [*of_others, composed(), *(composed(choice) for choice in of_training)]
    for key in {key for key, _ in typed} - {key for key, _ in groups}:
        assert any(is_in(config, key) for config in configs), key
