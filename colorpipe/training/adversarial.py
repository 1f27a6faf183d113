"""The adversarial phase: a trained colorizer against a discriminator of real and predicted colors.

The paper describes such a phase without a result. The schedule follows DeOldify ("NoGAN"). The
phase starts from a colorizer that was trained without a discriminator. The discriminator trains
alone first, while only the running statistics of the colorizer's BatchNorm change. Then both train
for a few epochs. The discriminator's loss is a hinge loss (Lim and Ye 2017). As in pix2pix, the
colorizer's own loss is added to its adversarial loss.
"""

import dataclasses
import functools
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from colorpipe import metrics
from colorpipe.color import gamut, lab
from colorpipe.config import AdversarialConfig, Params
from colorpipe.inference import Colorized, Metrics, autocast
from colorpipe.losses.loss import Loss
from colorpipe.training import colorization, optim
from colorpipe.training.batches import Batch
from colorpipe.training.colorization import ColorizationTask, ColorizerEntry
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import MODEL, EpochMetrics, TrainState

DISCRIMINATOR = "discriminator"
BETAS = (0.5, 0.999)  # both optimizers use the values of Radford et al. 2016
EXCESS_PENALTY = 1000.0  # more than any difference of colorfulness
WIDTH = 64  # channels of the discriminator's first convolution
SMALL = 64  # pixels per side; smaller images get patches of 16 pixels, others of 34 pixels


class PatchGAN(nn.Module):
    """The discriminator (Isola et al. 2017): L and ab to one score per patch.

    Real patches should score higher. The 4x4 convolutions have spectral norm (Miyato et al. 2018)
    and no BatchNorm. With one convolution of stride 2 and two of stride 1, a patch has 16x16
    pixels. With two convolutions of stride 2, it has 34x34.

    Args:
        size: Pixels per side of the images.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        halvings = 1 if size < SMALL else 2
        layers: list[nn.Module] = []
        before, width = 3, WIDTH
        for stride in (*[2] * halvings, 1):
            convolution = spectral_norm(nn.Conv2d(before, width, 4, stride, padding=1))
            layers += [convolution, nn.LeakyReLU(0.2, inplace=True)]
            before, width = width, 2 * width
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 4, padding=1)))
        self.norms = [
            module for module in self.modules() if isinstance(module, ParametrizationList)
        ]
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Set train mode, but leave the spectral-norm updates to `estimate_norms`."""
        super().train(mode)
        for norm in self.norms:
            norm.eval()
        return self

    @torch.no_grad()
    def estimate_norms(self) -> None:
        """Run one more iteration of the power method for the norm of each convolution."""
        for norm in self.norms:
            norm.train()()
            norm.eval()

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """Return scores (B, 1, h, w) of L (B, 1, H, W) in [0, 100] and ab (B, 2, H, W)."""
        scores: Tensor = self.layers(torch.cat((lab.normalize_L(L), lab.normalize_ab(ab)), dim=1))
        return scores.float()


class AdversarialTask(ColorizationTask):
    """Training of a colorizer and a discriminator.

    In each step, each network follows the gradient of its own loss only.
    """

    loss_names = ("loss", "discriminator")

    def __init__(self, settings: AdversarialConfig, loss: Loss, precision: str) -> None:
        super().__init__(loss, precision)
        self.settings = settings

    def metadata(self) -> dict[str, object]:
        """Return the settings of the adversarial phase."""
        return {"adversarial": self.settings.model_dump()}

    def initial_state(
        self, model: nn.Module, settings: TrainSettings, images: Tensor
    ) -> TrainState:
        """Return both networks and their optimizers.

        A schedule of the learning rate covers the epochs that train the colorizer.
        """
        epochs = settings.epochs - self.settings.discriminator_epochs
        settings = dataclasses.replace(settings, epochs=epochs)
        state = super().initial_state(model, settings, images)
        discriminator = PatchGAN(images.shape[-1])
        discriminator = discriminator.to(images.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        state.models[DISCRIMINATOR] = discriminator
        state.optimizers[DISCRIMINATOR] = optim.build_optimizer(
            discriminator, "adam", self.settings.discriminator_lr, betas=BETAS
        )
        for group in state.optimizers[MODEL].param_groups:
            group["betas"] = BETAS
        return state

    def train_step(self, state: TrainState, batch: Batch) -> Metrics:
        """Train the discriminator and, after the first `discriminator_epochs`, the colorizer.

        Returns:
            The loss, SSIM and PSNR of the colorizer, and the loss of the discriminator.
        """
        discriminator = state.models[DISCRIMINATOR]
        assert isinstance(discriminator, PatchGAN)
        discriminator_only = len(state.history) < self.settings.discriminator_epochs
        with torch.set_grad_enabled(not discriminator_only):
            colorized, loss = self.apply(state.wrapped_model(MODEL), batch[0])
        discriminator.estimate_norms()
        hinge = self._hinge(state.wrapped_model(DISCRIMINATOR), colorized)
        state.step(DISCRIMINATOR, hinge)
        if not discriminator_only:
            discriminator.requires_grad_(False)
            score = self._score(discriminator, colorized.L, colorized.prediction.ab).mean()
            state.step(MODEL, self.settings.loss_weight * loss - score)
            discriminator.requires_grad_(True)
        return {**self.compute_metrics(loss, colorized), "discriminator": hinge}

    def _hinge(self, discriminator: nn.Module, colorized: Colorized) -> Tensor:
        """Return the discriminator's loss on the true and the predicted colors."""
        real = self._score(discriminator, colorized.L, colorized.true_ab)
        fake = self._score(discriminator, colorized.L, colorized.prediction.ab.detach())
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()

    def _score(self, discriminator: nn.Module, L: Tensor, ab: Tensor) -> Tensor:
        with autocast(L.device, self.precision):
            scores: Tensor = discriminator(L, ab)
        return scores

    def eval_step(self, model: nn.Module, batch: Batch) -> Metrics:
        """Return the colorizer's metrics, and the ones that `selection` needs."""
        colorized, loss = self.apply(model, batch[0])
        predicted = colorized.prediction.ab
        image = gamut.render(colorized.L, predicted)
        return {
            **self.compute_metrics(loss, colorized),
            "mse": F.mse_loss(predicted, colorized.true_ab),
            "baseline_mse": colorized.true_ab.square().mean(),
            "colorfulness": metrics.colorfulness(image).mean(),
            "original_colorfulness": metrics.colorfulness(colorized.true_rgb).mean(),
        }

    def selection(self, epoch: EpochMetrics) -> float:
        """Return the distance from the originals' colorfulness.

        Epochs whose MSE exceeds `max_relative_mse` times the gray baseline's come after all others.
        """
        distance = abs(epoch["val_colorfulness"] - epoch["val_original_colorfulness"])
        excess = epoch["val_mse"] / epoch["val_baseline_mse"] - self.settings.max_relative_mse
        return distance if excess <= 0 else EXCESS_PENALTY + excess

    def compile(self, device: torch.device, process_count: int) -> None:
        """Print that the adversarial step, in which two networks alternate, is not compiled."""
        print("adversarial training is not compiled: compile=true changes nothing here")


def train(name: str, entry: ColorizerEntry, params: Params) -> None:
    """Train a colorizer against a discriminator (see `colorization.train_colorizer`)."""
    settings = params.recipe(entry.recipe).adversarial
    assert settings is not None  # `config.checks` compares the step with the recipe
    task = functools.partial(AdversarialTask, settings)
    colorization.train_colorizer(task, name, entry, params)
