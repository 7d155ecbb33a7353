"""What a simple classifier reads off the posterior means: do they tell the labels apart?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from vae_lightning.data.class_names import label_name
from vae_lightning.errors import require_at_least
from vae_lightning.metrics.score import Figure, Metric, Score
from vae_lightning.metrics.subject import Subject

_MOST_CLASSES = 20  # whose accuracies are told one by one


@dataclass(frozen=True)
class Probes(Metric):
    """Accuracy of a linear probe and of k nearest neighbours (scikit-learn), where the data have labels.

    Both are trained on the posterior means of the training images. The linear probe is a logistic regression on
    standardized means; the neighbours vote with equal weight by Euclidean distance. Where the labels have names,
    of 20 classes at most, there is the accuracy on the images of each, too: `linear_accuracy_class_0` is that of the
    first of `probes_classes`.

    Attributes:
        num_neighbors: k.
        num_train: the first so many training images; None for all.
        max_iter: steps of the logistic regression's solver.

    Raises:
        ValueError: a number below 1.
    """

    num_neighbors: int = 10
    num_train: int | None = None
    max_iter: int = 1000

    def __post_init__(self) -> None:
        require_at_least("num_neighbors", self.num_neighbors, 1)
        require_at_least("num_train", 1 if self.num_train is None else self.num_train, 1)
        require_at_least("max_iter", self.max_iter, 1)

    def __call__(self, subject: Subject) -> Score:
        names = {"linear_accuracy": "linear probe", "knn_accuracy": f"{self.num_neighbors} nearest neighbours"}
        if subject.vae.num_classes is not None:
            reason = "the encoder is told the labels"
            return Score({name: Figure(None, label=label, reason=reason) for name, label in names.items()})
        labels, train_labels = subject.labels(), subject.labels("train")
        if labels is None or train_labels is None:
            reason = "these data have no labels"
            return Score({name: Figure(None, label=label, reason=reason) for name, label in names.items()})
        train = subject.posteriors("train").loc.numpy()[: self.num_train]
        test = subject.posteriors().loc.numpy()
        known = train_labels.numpy()[: self.num_train]
        correct = subject.world.agree(lambda: self._correct(subject, train, known, test, labels.numpy()))
        figures = {name: _accuracy(correct[name], label) for name, label in names.items()}
        facts: dict[str, Any] = {"num_images": len(test), "num_train": len(train)}
        classes = subject.run.data.class_names
        if classes is not None and len(classes) <= _MOST_CLASSES:
            for name, label in names.items():
                for number in range(len(classes)):
                    right = correct[name][labels.numpy() == number]
                    figures[f"{name}_class_{number}"] = _accuracy(right, f"{label}, {label_name(number, classes)}")
            facts["classes"] = list(classes)
        return Score(figures, facts)

    def _correct(
        self, subject: Subject, train: np.ndarray, known: np.ndarray, test: np.ndarray, labels: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Which images each of the two gets right."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.neighbors import KNeighborsClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        neighbors = KNeighborsClassifier(min(self.num_neighbors, len(train)), algorithm="brute")
        probes: dict[str, Any] = {
            "linear_accuracy": make_pipeline(StandardScaler(), LogisticRegression(max_iter=self.max_iter)),
            "knn_accuracy": neighbors,
        }
        correct = {}
        for name, probe in probes.items():
            with subject.progress("linear probe" if name == "linear_accuracy" else "nearest neighbours") as bar:
                correct[name] = probe.fit(train, known).predict(test) == labels
                bar.update(int(bar.total or 0))
        return correct


def _accuracy(correct: np.ndarray, label: str) -> Figure:
    if not len(correct):
        return Figure(None, label=f"accuracy: {label}", reason="there is no image of it")
    fraction = float(correct.mean())
    stderr = 100 * (fraction * (1 - fraction) / len(correct)) ** 0.5 if len(correct) > 1 else None
    return Figure(100 * fraction, stderr, f"accuracy: {label}", "%")
