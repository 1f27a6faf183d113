"""Training as in a typical notebook, with which `benchmarks.throughput` compares colorpipe.

A DataLoader reads PIL images, scikit-image converts them to Lab one by one, and plain Adam trains
in float32. The network and the loss are those of colorpipe.
"""

import warnings
from collections.abc import Iterator

import lpips
import numpy as np
import torch
import torch.nn.functional as F
from kornia.color import lab_to_rgb
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Photographs(Dataset[tuple[Tensor, Tensor]]):
    """PIL images as pairs of L (1, H, W) and ab (2, H, W) in Lab units.

    Args:
        images: sRGB images of shape (N, 3, H, W) and type uint8.
    """

    def __init__(self, images: np.ndarray) -> None:
        self.images = [Image.fromarray(image) for image in images.transpose(0, 2, 3, 1)]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        pixels = rgb2lab(np.asarray(self.images[index])).astype("float32")  # (H, W, 3)
        lab = torch.from_numpy(pixels.transpose(2, 0, 1))
        return lab[:1], lab[1:]


class MSE(nn.Module):
    """The mean squared error of ab."""

    def forward(self, L: Tensor, predicted: Tensor, ab: Tensor) -> Tensor:
        """Compare predicted with true ab (B, 2, H, W). L (B, 1, H, W) is ignored."""
        return F.mse_loss(predicted, ab)


class LPIPS(nn.Module):
    """LPIPS as in the README of the lpips package, on a VGG-16 with random weights.

    ImageNet weights would have to be downloaded, and they take the same time.
    """

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings(action="ignore"):  # torchvision deprecates `pretrained`
            self.network = lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)

    def forward(self, L: Tensor, predicted: Tensor, ab: Tensor) -> Tensor:
        """Compare the images with predicted and with true ab (B, 2, H, W) on L (B, 1, H, W)."""
        images = (
            2 * lab_to_rgb(torch.cat((L, planes), dim=1), clip=False) - 1
            for planes in (predicted, ab)
        )
        return self.network(*images).mean()


LOSSES = {"mse": MSE, "lpips": LPIPS}


def train(
    model: nn.Module,
    loss: nn.Module,
    loader: DataLoader[tuple[Tensor, Tensor]],
    device: torch.device,
) -> Iterator[float]:
    """Train `model` for one epoch and yield the loss of each step."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for L, ab in loader:
        L, ab = L.to(device), ab.to(device)
        optimizer.zero_grad()
        value = loss(L, model(L).ab, ab)
        value.backward()
        optimizer.step()
        yield value.item()
