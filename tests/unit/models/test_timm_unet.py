"""The U-Net with an encoder from timm."""

import itertools

import numpy as np
import onnxruntime
import pytest
import skimage.color
import timm
import torch
from torch import nn

from colorpipe import config, weights
from colorpipe.app import export
from colorpipe.color import bins, lab
from colorpipe.data.imagenet import load_imagenet_weights
from colorpipe.models.colorizer import Colorizer
from colorpipe.models.loading import build_colorizer, initialize
from colorpipe.runtime.errors import UserError

ENCODERS = {  # with the strides of their feature maps
    "tf_efficientnet_lite0": [2, 4, 8, 16, 32],
    "resnet18": [2, 4, 8, 16, 32],
    "convnext_atto": [4, 8, 16, 32],
    "vgg11": [2, 4, 8, 16, 32],  # the stride 1 is not used
}
WIDTHS = [32, 24, 16, 8]


def build(encoder: str, head: str = "ab") -> Colorizer:
    """Build a colorizer whose weights, including those of the head, are random."""
    torch.manual_seed(0)
    model = build_colorizer("timm_unet", {"encoder": encoder, "widths": WIDTHS}, head)
    nn.init.normal_(model.decoder.head.weight, std=0.1)
    return model


@pytest.mark.parametrize(
    ("encoder", "head"), [*zip(ENCODERS, itertools.cycle(["ab", "bins"]), strict=False)]
)
def test_any_convolutional_encoder_works_at_any_resolution(encoder, head):
    model = build(encoder, head).eval()
    assert (model.encoder.strides, model.stride) == (ENCODERS[encoder], 32)
    with torch.no_grad():
        for height, width in ((5, 300), (33, 47), (64, 32)):
            prediction = model(torch.rand(2, 1, height, width) * 100)
            assert prediction.ab.shape == (2, 2, height, width)
            if head == "bins":
                half = (-(-height // 2), -(-width // 2))
                assert prediction.logits.shape == (2, bins.COUNT, *half)
        features = model.encoder(torch.zeros(1, 1, 64, 96))
    for tensor, stride, channels in zip(
        features, model.encoder.strides, model.encoder.channels, strict=True
    ):
        assert tensor.shape == (1, channels, 64 // stride, 96 // stride)


def test_the_default_has_4_million_parameters_and_starts_from_gray():
    settings = config.load_params().model("timm_unet")
    for head in ("ab", "bins"):
        model = build_colorizer("timm_unet", settings, head).eval()
        assert 4.2e6 < sum(parameter.numel() for parameter in model.parameters()) < 4.3e6
        prediction = model(torch.rand(1, 1, 32, 32) * 100)
        assert not (prediction.ab if head == "ab" else prediction.logits).any()


def test_the_encoder_gets_normalized_gray_like_its_classifier():
    model = build("resnet18").eval()
    seen = []
    model.encoder.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    L = torch.linspace(0, 100, 32 * 32).reshape(1, 1, 32, 32)
    with torch.no_grad():
        model(L)
    colors = torch.cat((L, torch.zeros(1, 2, 32, 32)), dim=1)[0].permute(1, 2, 0)
    rgb = skimage.color.lab2rgb(colors.double().numpy())
    cfg = timm.get_pretrained_cfg("resnet18")
    expected = (rgb - np.array(cfg.mean)) / np.array(cfg.std)
    assert np.abs(seen[0][0].permute(1, 2, 0).numpy() - expected).max() < 1e-3
    gray = torch.rand(2, 1, 8, 8)
    back = lab.lightness_to_srgb(lab.lightness(gray.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(back, gray, atol=1e-5, rtol=0)


def test_same_padding_equals_timms():
    torch.manual_seed(0)
    theirs = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    ours = build("tf_efficientnet_lite0").encoder.network.eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(1, 3, 32, 96)
    with torch.no_grad():
        for features, expected in zip(ours(image), theirs(image), strict=True):
            assert torch.equal(features, expected)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_weight_has_a_gradient(encoder):
    """DistributedDataParallel needs a gradient for every weight."""
    model = build(encoder)
    model(torch.rand(2, 1, 64, 64) * 100).ab.square().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    assert next(model.encoder.parameters()).grad.any()


@pytest.mark.parametrize("encoder", ["resnet18", "convnext_atto", "densenet121"])
def test_imagenet_weights_are_loaded(tmp_path, encoder):
    """In timm, the feature extractors of ConvNeXt and DenseNet have other weight names."""
    torch.manual_seed(1)
    classifier = timm.create_model(encoder).eval()
    torch.save(classifier.state_dict(), tmp_path / "w.pth")
    model = build(encoder).eval()
    tensors = load_imagenet_weights(tmp_path / "w.pth")
    weights.save(tmp_path / "w.safetensors", tensors, {"weights": "imagenet"})
    assert initialize(model, "timm_unet", {}, tmp_path / "w.safetensors") == "imagenet"
    loaded = [*model.encoder.network.state_dict().values()]  # in the order of the classifier
    expected = [*classifier.state_dict().values()][: len(loaded)]  # without the classifier's head
    assert len(expected) == len(loaded) > 50
    assert all(map(torch.equal, loaded, expected))


def test_weights_of_another_encoder_are_named(tmp_path):
    torch.manual_seed(0)
    state = timm.create_model("resnet18").state_dict()
    weights.save(tmp_path / "w.safetensors", state, {"weights": "imagenet"})
    message = r"imagenet\.timm_unet\.source: network\.stem_0\.weight is missing"
    with pytest.raises(UserError, match=message):
        initialize(build("convnext_atto"), "timm_unet", {}, tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("encoder", "widths", "message"),
    [
        ("resnet19", WIDTHS, r"encoder: input should be the name of a model in timm, got 'resnet1"),
        ("hf-hub:timm/resnet18", WIDTHS, "input should be the name of a model in timm"),
        ("vit_tiny_patch16_224", WIDTHS, "each stride should be twice the one before"),
        ("swin_tiny_patch4_window7_224", WIDTHS, "swin_.* does not fit images of 64x64 pixels"),
        ("resnetblur18", WIDTHS, "resnetblur18 has buffers that weight files do not hold"),
        ("coat_tiny", WIDTHS, "coat_tiny does not fit images of"),
        ("resnet18", [8, 8], r"widths: resnet18 has the stride 32, which needs 4 widths, got 2"),
    ],
)
def test_wrong_settings_are_named(encoder, widths, message):
    with pytest.raises(UserError, match=message):
        build_colorizer("timm_unet", {"encoder": encoder, "widths": widths})


@pytest.mark.parametrize(
    ("encoder", "head"),
    [("tf_efficientnet_lite0", "bins"), ("convnext_atto", "ab")],
)
def test_onnxruntime_agrees_with_torch_at_odd_sizes(tmp_path, encoder, head):
    model = build(encoder, head)
    model(torch.rand(4, 1, 64, 64) * 100)  # so that running means and variances are not 0 and 1
    settings = {"encoder": encoder, "widths": WIDTHS}
    metadata = {"model": "timm_unet", "settings": settings, "head": head, "size": [64, 64]}
    weights.save(tmp_path / "best.safetensors", model.state_dict(), metadata)
    target = tmp_path / "model.onnx"
    assert export.export_onnx(tmp_path / "best.safetensors", target) < 1e-3
    session = onnxruntime.InferenceSession(target)
    for shape in ((5, 1, 5, 300), (1, 1, 33, 47)):
        L = torch.rand(shape) * 100
        with torch.no_grad():
            expected = model.eval()(L).ab.numpy()
        (ab,) = session.run(["ab"], {"L": L.numpy()})
        assert np.abs(ab - expected).max() < 1e-3
