"""The same training as a notebook has it: a DataLoader over PIL images, scikit-image a sample, float32, plain Adam.

The peer that `make bench` compares with. The networks are the same, in plain PyTorch.
"""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from skimage.color import rgb2lab
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from colorpipe.models.eccv16 import Convolution


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
    """The model as torch has it by default: memory in NCHW, convolutions without our shortcut."""
    for module in model.modules():
        if isinstance(module, Convolution):
            module.__class__ = nn.Conv2d
    return model.to(memory_format=torch.contiguous_format).train()


def train(
    model: nn.Module,
    task: str,
    images: np.ndarray,
    labels: np.ndarray,
    device: torch.device,
    *,
    batch_size: int,
    workers: int,
) -> Iterator[int]:
    """Train for one epoch; after each step, the number of images in it."""
    loader = DataLoader(Photos(images, labels), batch_size=batch_size, shuffle=True, num_workers=workers)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = (
        perceptual(device) if task == "resnet_lpips" else nn.CrossEntropyLoss() if task == "classifier" else nn.MSELoss()
    )
    running = 0.0
    for L, ab, label in loader:
        L, ab, label = L.to(device), ab.to(device), label.to(device)
        optimizer.zero_grad()
        output = model(L)
        if task == "classifier":
            loss = criterion(output, label)
        elif task == "resnet_lpips":
            loss = criterion(L, output, ab)
        else:
            loss = criterion(output, ab)
        loss.backward()
        optimizer.step()
        running += loss.item()
        yield len(L)


def perceptual(device: torch.device) -> nn.Module:
    """LPIPS of the lpips package, on images that kornia makes of Lab; random VGG weights, as ours then."""
    from kornia.color import lab_to_rgb

    package = package_lpips().to(device)

    def criterion(L: Tensor, predicted: Tensor, ab: Tensor) -> Tensor:
        ours, theirs = (lab_to_rgb(torch.cat((L, colours), dim=1), clip=False) for colours in (predicted, ab))
        return package(2 * ours - 1, 2 * theirs - 1).mean()

    return criterion


def package_lpips() -> nn.Module:
    """The package's LPIPS on a VGG without ImageNet weights, which it would download."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision by names of old
        import lpips

        return lpips.LPIPS(net="vgg", pnet_rand=True, verbose=False)
