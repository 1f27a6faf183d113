"""Encoders: torchvision's networks for one input channel, cut after a layer.

Layers keep torchvision's names, so its ImageNet weights fit.
"""

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from colorpipe.runtime.errors import UserError


def cut_after(network: nn.Module, last: str, **replaced: nn.Module) -> nn.Sequential:
    """The children of `network` up to and including `last`, some replaced by name: a sequence under the same names."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in network.named_children():
        layers[name] = replaced.get(name, child)
        if name == last:
            break
    return nn.Sequential(layers)


def one_channel(convolution: nn.Conv2d) -> nn.Conv2d:
    """Change a first convolution from RGB to L, in place: its weights become the sum over RGB.

    The answer to a gray image is then that of the original to R = G = B.
    """
    convolution.in_channels = 1
    convolution.weight = nn.Parameter(convolution.weight.detach().sum(dim=1, keepdim=True))
    return convolution


def load_imagenet(encoder: nn.Module, weights: Mapping[str, Tensor], model: str) -> None:
    """Load torchvision's ImageNet weights; a first convolution of one channel gets the sum over RGB.

    Weights of layers beyond the cut are ignored.

    Args:
        encoder: one of this module's encoders, changed in place.
        weights: by torchvision's names, without "features.".
        model: its name in params.yaml, for the message.

    Raises:
        UserError: a weight is missing or has another shape.
    """
    state = encoder.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        weight = weights.get(name)
        if weight is not None and tensor.ndim == 4 and tensor.shape[1] == 1:
            weight = weight.sum(dim=1, keepdim=True)
        if weight is None or weight.shape != tensor.shape:
            found = "is missing" if weight is None else f"has shape {tuple(weight.shape)}"
            raise UserError(
                f"imagenet.{model}.source: {name} {found}, expected {tuple(tensor.shape)}: it holds another model"
            )
        state[name] = weight
    encoder.load_state_dict(state)
