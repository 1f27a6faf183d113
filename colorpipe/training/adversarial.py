"""The adversarial phase: a trained colorizer against a discriminator that tells real from generated colors.

The paper describes such a phase without a result; Zhang et al. have none. The recipe is the stable one of DeOldify
("NoGAN") and pix2pix: start from a colorizer trained without it, train the discriminator alone first, then both for a few
epochs, with a hinge loss (Lim and Ye 2017) beside the row's own loss.
"""

import functools
from collections.abc import Sequence
from typing import Annotated, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from colorpipe import config, metrics
from colorpipe.color import gamut, lab
from colorpipe.config import Params, Strict
from colorpipe.losses.loss import Loss
from colorpipe.training import colorization, devices, optim
from colorpipe.training.averages import Metrics
from colorpipe.training.batches import Batch
from colorpipe.training.colorization import ColorizationTask, Row
from colorpipe.training.settings import TrainSettings
from colorpipe.training.state import MODEL, EpochMetrics, TrainState

DISCRIMINATOR = "discriminator"
BETAS = (0.5, 0.999)  # of both optimizers, as usual for adversarial training (Radford et al. 2016)
OUT_OF_BOUND = 1000.0  # more than any difference of colorfulness
WIDTH = 64  # channels of the discriminator's first convolution
SMALL = 64  # pixels a side: below, patches of 16 x 16 pixels; else of 34 x 34


class Config(Strict):
    """Learning rate of the discriminator, epochs that it trains alone, weight of the row's loss, and the bound on MSE."""

    discriminator_lr: Annotated[float, Field(gt=0, le=1)]
    discriminator_epochs: Annotated[int, Field(ge=0, le=1000)]
    loss_weight: Annotated[float, Field(ge=0, le=1e6)]
    max_mse: Annotated[float, Field(gt=0, le=10)]


class PatchGAN(nn.Module):
    """The discriminator (Isola et al. 2017): L and ab to a score for each patch, higher for real ones.

    4x4 convolutions with spectral norm (Miyato et al. 2018) and without BatchNorm: one of stride 2 and two of stride 1 see
    16 x 16 pixels each; with two of stride 2, 34 x 34.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        halvings = 1 if size < SMALL else 2
        layers: list[nn.Module] = []
        before, width = 3, WIDTH
        for stride in (*[2] * halvings, 1):
            layers += [
                spectral_norm(nn.Conv2d(before, width, 4, stride, padding=1)),
                nn.LeakyReLU(0.2, inplace=True),
            ]
            before, width = width, 2 * width
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(before, 1, 4, padding=1)))
        self.norms = [
            module for module in self.modules() if isinstance(module, ParametrizationList)
        ]
        self.train()

    def train(self, mode: bool = True) -> Self:
        """As of every module; but the norms are estimated in `estimate_norms` alone, not whenever a weight is used."""
        super().train(mode)
        for norm in self.norms:
            norm.eval()
        return self

    @torch.no_grad()
    def estimate_norms(self) -> None:
        """One more iteration of the power method for the norm of each convolution."""
        for norm in self.norms:
            norm.train()()
            norm.eval()

    def forward(self, L: Tensor, ab: Tensor) -> Tensor:
        """Scores (B, 1, h, w) of L (B, 1, H, W) in 0..100 and ab (B, 2, H, W) in Lab units."""
        scores: Tensor = self.layers(torch.cat((lab.normalize_L(L), lab.normalize_ab(ab)), dim=1))
        return scores.float()


class AdversarialTask(ColorizationTask):
    """A generator, the colorizer, and a discriminator: each takes one step a batch, on its own loss alone."""

    def __init__(self, settings: Config, loss: Loss, precision: str) -> None:
        super().__init__(loss, precision)
        self.settings = settings

    def metadata(self) -> dict[str, object]:
        """The phase's settings."""
        return {"adversarial": self.settings.model_dump()}

    def initial_state(
        self, model: nn.Module, settings: TrainSettings, images: Tensor
    ) -> TrainState:
        """Both networks and their optimizers."""
        state = super().initial_state(model, settings, images)
        discriminator = PatchGAN(images.shape[-1]).to(
            images.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        state.models[DISCRIMINATOR] = discriminator
        state.optimizers[DISCRIMINATOR] = optim.build_optimizer(
            discriminator, "adam", self.settings.discriminator_lr, betas=BETAS
        )
        for group in state.optimizers[MODEL].param_groups:
            group["betas"] = BETAS
        return state

    def train_step(self, state: TrainState, parts: Sequence[Batch]) -> list[Metrics]:
        """A step of the discriminator and, once that has trained alone, one of the generator.

        The metrics are the row's loss and its SSIM and PSNR, and the discriminator's loss.
        """
        generator, discriminator = state.models[MODEL], state.models[DISCRIMINATOR]
        assert isinstance(discriminator, PatchGAN)
        alone = len(state.history) < self.settings.discriminator_epochs
        with torch.set_grad_enabled(not alone):
            applied = state.shards.each(
                generator, lambda part: self.apply(generator, part[0]), parts
            )
        discriminator.estimate_norms()
        hinges = [
            self._hinge(discriminator, target, prediction.ab.detach())
            for _, target, prediction, _ in applied
        ]
        state.step(DISCRIMINATOR, hinges)
        if not alone:
            discriminator.requires_grad_(False)
            state.step(
                MODEL,
                [
                    self.settings.loss_weight * loss
                    - self._scores(discriminator, target[:, :1], prediction.ab).mean()
                    for _, target, prediction, loss in applied
                ],
            )
            discriminator.requires_grad_(True)
        return [
            {**self.report(loss, target, prediction), "discriminator": hinge}
            for (_, target, prediction, loss), hinge in zip(applied, hinges, strict=True)
        ]

    def _hinge(self, discriminator: PatchGAN, target: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss on true Lab (B, 3, H, W) and generated ab (B, 2, H, W)."""
        L, real = target[:, :1], target[:, 1:]
        scores = self._scores(discriminator, L, real), self._scores(discriminator, L, fake)
        return F.relu(1 - scores[0]).mean() + F.relu(1 + scores[1]).mean()

    def _scores(self, discriminator: PatchGAN, L: Tensor, ab: Tensor) -> Tensor:
        with devices.autocast(L.device, self.precision):
            scores: Tensor = discriminator(L, ab)
        return scores

    def eval_step(self, model: nn.Module, batch: Batch) -> Metrics:
        """The row's metrics, and what `selection` needs."""
        rgb, target, prediction, loss = self.apply(model, batch[0])
        ab = target[:, 1:]
        return {
            **self.report(loss, target, prediction),
            "mse": F.mse_loss(prediction.ab, ab),
            "baseline_mse": ab.square().mean(),
            "colorfulness": metrics.colorfulness(gamut.render(target[:, :1], prediction.ab)).mean(),
            "original_colorfulness": metrics.colorfulness(rgb).mean(),
        }

    def selection(self, epoch: EpochMetrics) -> float:
        """The distance from the originals' colorfulness; epochs whose MSE is over the bound come after all others."""
        distance = abs(epoch["val_colorfulness"] - epoch["val_original_colorfulness"])
        excess = epoch["val_mse"] / epoch["val_baseline_mse"] - self.settings.max_mse
        return distance if excess <= 0 else OUT_OF_BOUND + excess

    def compile(self, device: torch.device, parts: int) -> None:
        """Two networks take turns in a step, which is not compiled."""
        print("adversarial training is not compiled: train.compile=true changes nothing here")


def train(name: str, row: Row, params: Params) -> None:
    """Train the colorizer `name` against a discriminator; writes the files that `colorization.train_on` does."""
    settings = config.plugin_config(
        Config, params.task("adversarial"), "params.yaml: tasks.adversarial"
    )
    colorization.train_on(functools.partial(AdversarialTask, settings), name, row, params)
