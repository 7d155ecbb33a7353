"""A run on classes with names: they are kept with it, shown in place of numbers, and typed in place of numbers."""

import csv
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import refusal
from tests.trained import FOLDER, write_pictures
from vae_lightning import open_run
from vae_lightning.errors import UserError
from vae_lightning.exports.encodings import WriteEncodings
from vae_lightning.pictures.embedding import Embedding
from vae_lightning.pictures.samples import Samples
from vae_lightning.runs.images import Choice
from vae_lightning.runs.trained import open_trained

NAMES = ("cat", "dog", "owl")


@pytest.fixture
def homeless(named_run, moved):
    """A copy of the run whose pictures are nowhere."""
    run = moved(named_run)
    run.write_config(run.config() | {"data": run.config()["data"] | {"root": "nowhere"}}, run.overrides())
    return run


def test_auto_has_become_the_number_of_classes(named_run, named):
    assert named_run.config()["model"]["num_classes"] == named.vae.num_classes == 3


def test_the_names_are_known_without_the_data(homeless):
    run = open_trained(str(homeless.path), device="cpu")
    assert run.class_names == NAMES
    assert run.with_label("dog").label == run.with_label(1).label == 1
    seen = Samples(num_images=6).look(run)
    assert seen.rows == ("cat", "dog", "owl")
    assert seen.title.startswith("samples from the prior by label, seed ")
    assert ", label owl" in Samples(num_images=6).look(run.with_label("owl")).title


def test_a_label_is_typed_by_its_name(generate, homeless):
    arguments = [f"run={homeless.path}", "num_images=4", "save=npz", "overwrite=true"]
    generate(*arguments, "label=dog", "out=by_name")
    generate(*arguments, "label=1", "out=by_number")
    by_name, by_number = (np.load(f"{name}/samples.npz") for name in ("by_name", "by_number"))
    assert by_name["labels"].tolist() == [1] * 4
    assert np.array_equal(by_name["images"], by_number["images"])
    told = refusal(generate, *arguments, "label=cow", "out=x")
    assert told == "label=cow: no label is called 'cow'; choose one of cat, dog, owl"
    assert refusal(generate, *arguments, "label=3", "out=x") == "label=3: choose one of cat, dog, owl"


def test_python_code_gives_names_too(homeless):
    run = open_run(homeless.path, device="cpu")
    assert run.class_names == NAMES
    images = torch.rand(2, *run.image_shape)
    expected = run.encode(images, labels=[1, 0])
    assert np.array_equal(run.encode(images, labels=["dog", "cat"]), expected)
    assert np.array_equal(run.sample(2, labels="owl"), run.sample(2, labels=2))
    with pytest.raises(ValueError, match=r"^labels: no label is called 'cow'; choose one of cat, dog, owl$"):
        run.encode(images, labels=["cow", "cat"])


def test_images_of_the_data_are_chosen_by_the_names_of_their_labels(named):
    batch = Choice(labels=["owl", 0, "owl"], split="train").read(named)
    assert batch.labels.tolist() == [2, 0, 2]
    assert len(set(batch.indices.tolist())) == 3
    names = [named.data.splits["train"].names[index] for index in batch.indices]
    assert [name.partition("/")[0] for name in names] == ["owl", "cat", "owl"]


def test_they_are_typed_in_a_list(generate, named_run):
    run = f"run={named_run.path}"
    generate(run, "mode=reconstructions", "split=train", "labels=[cat,dog,2]", "out=x")
    assert Path("x/reconstructions.png").is_file()
    told = refusal(generate, run, "mode=reconstructions", "labels=[cat,cow]", "out=y")
    assert told == "labels=['cat', 'cow']: no label is called 'cow'; choose one of cat, dog, owl"


def test_the_legend_has_the_names(named, monkeypatch):
    shown = []

    def picture_of(*given):
        shown.append(given)
        return np.zeros((8, 8, 3), np.uint8)

    monkeypatch.setattr("vae_lightning.pictures.embedding.embedding_picture", picture_of)
    picture = Embedding(method="pca", split="train")
    picture.draw(picture.look(named), "")
    assert shown[0][-1] == list(NAMES)
    assert set(shown[0][2].tolist()) == {0, 1, 2}


def test_the_table_of_the_posteriors_has_names_and_factors(named, tmp_path, monkeypatch):
    labels = tmp_path / "labels.csv"
    names = [name for images in named.data.splits.values() for name in images.names]
    labels.write_text("file,label,size,colour\n" + "".join(f"{n},{n[:3]},{len(n)},{n[1]}\n" for n in names))
    run = open_trained(str(named.run_dir.path), device="cpu", data={"labels": str(labels)})
    (tmp_path / "out").mkdir()
    WriteEncodings(split="val")(run, tmp_path / "out")
    with (tmp_path / "out/posterior.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    val = named.data.splits["val"].names
    assert [row["class"] for row in rows] == [name[:3] for name in val]
    assert [row["label"] for row in rows] == [str(NAMES.index(name[:3])) for name in val]
    assert [row["factor_size"] for row in rows] == [str(len(name)) for name in val]
    assert [row["factor_colour"] for row in rows] == [name[1] for name in val]
    arrays = np.load(tmp_path / "out/posterior.npz")
    assert arrays["classes"].tolist() == [name[:3] for name in val]
    assert arrays["factor_size"].tolist() == [len(name) for name in val]


def test_images_of_other_classes_are_refused(named_run, moved):
    run = moved(named_run)
    pictures = run.path.parent / "pictures"
    shutil.copytree(named_run.path.parent / "pictures", pictures)
    (pictures / "owl").rename(pictures / "ape")
    opened = open_trained(str(run.path), device="cpu", data={"root": str(pictures)})
    told = "these images have others (3 where there were 3; the first that differs is ape)"
    with pytest.raises(UserError) as error:
        _ = opened.data
    assert str(error.value) == f"run={run.path}: data: the model is told labels, and {told}"


def test_a_run_goes_on_with_what_was_typed_and_with_its_own_classes_alone(
    named_run, moved, command, error_of, tmp_path
):
    run = moved(named_run)
    names = [
        path.relative_to(named_run.path.parent / "pictures") for path in named_run.path.parent.rglob("pictures/*/*")
    ]
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(f"{name},{int(name.stem) % 2}\n" for name in names))
    resume = [f"resume={run.path}", "trainer.max_epochs=2", f"data.labels={tmp_path / 'labels.csv'}"]
    assert "the model is told labels, and these images have others (2 where" in error_of(*resume)
    command(*resume[:2], "model.num_classes=auto")
    assert run.config()["model"]["num_classes"] == 3
    assert run.metrics()["epochs"] == 2


def test_the_probes_tell_the_classes_apart(colour_run, moved, monkeypatch, capsys, tmp_path):
    from vae_lightning.evaluate import main

    run = moved(colour_run)
    pictures = colour_run.path.parent / "pictures"
    files = [path.relative_to(pictures) for path in pictures.rglob("*.*")]
    rows = [f"{file},{'cow' if int(file.stem) % 2 else 'bee'}\n" for file in files]
    (tmp_path / "labels.csv").write_text("file,label\n" + "".join(rows))
    arguments = ["vae-evaluate", f"run={run.path}", "metrics=probes", "device=cpu", "data.labels=labels.csv"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", arguments)
    main()
    found, told = run.metrics(), capsys.readouterr().out
    assert found["test/probes_classes"] == ["bee", "cow"]
    counts = [sum((int(Path(name).stem) % 2) == each for name in opened_names(run, "test")) for each in (0, 1)]
    mean = sum(found[f"test/knn_accuracy_class_{each}"] * count for each, count in enumerate(counts)) / sum(counts)
    assert mean == pytest.approx(found["test/knn_accuracy"])
    assert re.search(r"accuracy: linear probe, bee +\d+\.\d+ \+- ", told)


def opened_names(run, split: str) -> tuple[str, ...]:
    return open_trained(str(run.path), device="cpu").data.splits[split].names


def test_auto_wants_labels(error_of, tmp_path):
    write_pictures(tmp_path / "pictures")
    told = error_of(*FOLDER, f"data.root={tmp_path / 'pictures'}", "model.num_classes=auto")
    assert told == "model.num_classes=auto: these data have no labels; choose null"
