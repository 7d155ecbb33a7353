"""A callback for a test: all ranks have dropped the same steps, and have the same weights after each."""

import torch
from lightning.pytorch import Callback


class AgreeingRanks(Callback):
    def on_train_batch_end(self, trainer, pl_module, *args):
        weights = [value.detach().double().sum() for value in pl_module.parameters()]
        of_all = pl_module.all_gather(torch.stack([pl_module.epochs.dropped.double(), *weights]))
        if not torch.equal(of_all[0], of_all[1]):
            raise ValueError(f"the ranks disagree after step {trainer.global_step - 1}")
