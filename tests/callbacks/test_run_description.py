"""The hparams tab compares runs of different models by the same names."""

from tests.test_config import composed
from vae_lightning.callbacks.run_description import hyperparameters


def test_hyperparameters_have_the_same_names_whatever_the_model():
    conv, mlp = hyperparameters(composed("model=conv")), hyperparameters(composed("model=mlp", "data=digits"))
    assert conv["model"] == "ConvEncoder"
    assert mlp["model"] == "MLPEncoder"
    assert set(conv) - {"data.root"} == set(mlp) - {"data.root"}
    assert {"data", "model.latent_dim", "objective.beta", "optimizer.lr", "seed"} <= set(mlp)


def test_hyperparameters_are_what_tensorboard_takes():
    assert {type(value) for value in hyperparameters(composed("data=anime", "data.root=x")).values()} <= {
        bool,
        int,
        float,
        str,
    }
