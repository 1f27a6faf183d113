"""The same training as in the usual notebook: a DataLoader over PIL images, scikit-image a sample, float32, plain Adam.

`make bench` compares with it. The networks are the same, in plain PyTorch.
"""

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Photos(Dataset):
    """PIL images and labels; an item is L (1, H, W), ab (2, H, W) and the label."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images = [Image.fromarray(image) for image in images.transpose(0, 2, 3, 1)]
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        lab = rgb2lab(np.asarray(self.images[index])).astype("float32")
        lab = torch.from_numpy(lab.transpose(2, 0, 1))
        return lab[:1], lab[1:], int(self.labels[index])


def plain(model: nn.Module) -> nn.Module:
    """The model in torch's default memory format, NCHW."""
    return model.to(memory_format=torch.contiguous_format).train()


Criterion = Callable[
    [Tensor, Tensor, Tensor, Tensor], Tensor
]  # of L, ab, labels and the network's output


def criterion(task: str, device: torch.device) -> Criterion:
    """What a task is trained on."""
    if task == "classifier":
        return lambda L, ab, labels, output: nn.functional.cross_entropy(output, labels)
    if task != "resnet_lpips":
        return lambda L, ab, labels, output: nn.functional.mse_loss(output, ab)

    from kornia.color import lab_to_rgb

    package = lpips_package().to(device)

    def perceptual(L: Tensor, ab: Tensor, labels: Tensor, output: Tensor) -> Tensor:
        predicted, true = (
            2 * lab_to_rgb(torch.cat((L, ab_planes), dim=1), clip=False) - 1
            for ab_planes in (output, ab)
        )
        return package(predicted, true).mean()

    return perceptual


def lpips_package() -> nn.Module:
    """The lpips package's LPIPS; on a random VGG, since it would download ImageNet's weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses torchvision's old names
        import lpips

        return lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)


def train(
    model: nn.Module, task: str, loader: DataLoader, device: torch.device
) -> Iterator[tuple[int, float]]:
    """Train for one epoch; yields each step's number of images and loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    measure = criterion(task, device)
    for L, ab, labels in loader:
        L, ab, labels = L.to(device), ab.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = measure(L, ab, labels, model(L))
        loss.backward()
        optimizer.step()
        yield len(L), loss.item()
