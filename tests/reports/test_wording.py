import pytest

from vae_lightning.reports.wording import duration, nats, shortened, whole


def test_nats_have_two_decimals_below_ten_thousand():
    assert [nats(value) for value in (-97.149, 7579.54, -9999.5, 40775.2, None)] == [
        "-97.15",
        "7,579.54",
        "-9,999.50",
        "40,775",
        "-",
    ]


def test_of_huge_figures_the_size_is_told():
    assert nats(-1.0722e34) == "-1.07e+34"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.14, "0.1 s"),
        (33.2, "33 s"),
        (59.7, "1 min 00 s"),
        (439.0, "7 min 19 s"),
        (7500.0, "2 h 05 min"),
        (None, "-"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_counts():
    assert (whole(2058.7), whole(None)) == ("2,059", "-")


def test_shortened_text_is_one_line_without_control_characters():
    assert shortened("the loss\nwas \x1b[31mnot\x07 finite", 40) == "the loss was [31mnot finite"
    assert shortened("x" * 20, 10) == "xxxxxxx..."
    assert len(shortened("some words that go on", 12)) <= 12
