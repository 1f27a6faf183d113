import pytest
import torch
import torchvision
from torch import nn

from colorpipe import config, weights
from colorpipe.color import bins
from colorpipe.models.loading import build_colorizer, initialize, load_imagenet
from colorpipe.pretext.finetune import Classifier
from colorpipe.runtime.errors import UserError

ARCHITECTURES = [
    *[("resnet18", {"cut": f"layer{n}"}) for n in (1, 2, 3, 4)],
    *[("densenet121", {"cut": f"denseblock{n}"}) for n in (1, 2, 3, 4)],
    ("eccv16", {}),
    ("unet", {"widths": [16, 24, 32], "blocks": [1, 2, 1]}),
]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(("name", "settings"), ARCHITECTURES)
def test_a_colorizer_predicts_ab_at_any_resolution(name, settings):
    torch.manual_seed(0)
    model = build_colorizer(name, settings).eval()
    with torch.no_grad():
        for height, width in ((32, 40), (37, 45), (8, 8)):
            ab = model(torch.rand(2, 1, height, width) * 100).ab
            assert ab.shape == (2, 2, height, width)
            assert ab.dtype == torch.float32
        features = model.encoder(torch.zeros(1, 1, 64, 96))
    features = features[-1] if isinstance(features, list) else features
    assert features.shape == (1, model.channels, 64 // model.stride, 96 // model.stride)


@pytest.mark.parametrize(
    ("name", "settings", "scale"),
    [*((*case, 2) for case in ARCHITECTURES if case[0] != "eccv16"), ("eccv16", {}, 4)],
)
def test_a_head_over_the_bins_works_at_any_resolution(name, settings, scale):
    torch.manual_seed(0)
    model = build_colorizer(name, settings, "bins").eval()
    with torch.no_grad():
        for height, width in ((32, 40), (37, 45)):
            prediction = model(torch.rand(2, 1, height, width) * 100)
            assert prediction.ab.shape == (2, 2, height, width)
            resolution = (-(-height // scale), -(-width // scale))
            assert prediction.logits.shape == (2, bins.COUNT, *resolution)
            assert prediction.logits.dtype == torch.float32
    enlarged = torch.nn.functional.interpolate(
        bins.decode(prediction.logits, bins.TEMPERATURE), scale_factor=scale, mode="bilinear"
    )
    assert torch.equal(prediction.ab, enlarged[..., :37, :45])
    assert build_colorizer(name, settings)(torch.zeros(2, 1, 32, 32)).logits is None


def test_the_unet_is_small_and_starts_from_gray():
    settings = config.load_params().model("unet")
    for head in ("ab", "bins"):
        torch.manual_seed(0)
        model = build_colorizer("unet", settings, head).eval()
        assert 2.4e6 < count(model) < 2.5e6
        prediction = model(torch.rand(1, 1, 32, 32) * 100)
        start = prediction.ab if head == "ab" else prediction.logits
        assert not start.any()


@pytest.mark.parametrize("head", ["ab", "bins"])
def test_a_colorizer_starts_from_anothers_weights_without_a_different_head(tmp_path, head):
    settings = {"widths": [8, 8], "blocks": [1, 1]}
    torch.manual_seed(0)
    trained = build_colorizer("unet", settings, "bins")
    redraw_head(trained)
    path = tmp_path / "unet_rebalanced/best.safetensors"
    metadata = {"model": "unet", "settings": settings, "head": "bins"}
    weights.save(path, trained.state_dict(), metadata)
    model = build_colorizer("unet", settings, head)
    redraw_head(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert initialize(model, "unet", settings, path) == "unet_rebalanced"
    theirs = trained.state_dict()
    for name, tensor in model.state_dict().items():
        kept = head == "ab" and name.startswith("decoder.head.")
        assert torch.equal(tensor, before[name] if kept else theirs[name])


def redraw_head(model: nn.Module) -> None:
    """Draw the head of a U-Net at random. It starts with zeros."""
    for parameter in model.decoder.head.parameters():
        nn.init.normal_(parameter)


@pytest.mark.parametrize("head", ["ab", "bins"])
def test_a_colorizer_starts_from_the_bundled_one(tmp_path, head):
    """Start from the file that the download stage writes."""
    tensors, metadata = weights.load(weights.BUNDLED_PATH)
    path = tmp_path / "data/photos/weights/timm_unet.safetensors"
    weights.save(path, tensors, {**metadata, "start_of": "bundled"})
    torch.manual_seed(0)
    settings = config.load_params().model("timm_unet")
    model = build_colorizer("timm_unet", settings, head)
    redraw_head(model)
    own = model.decoder.head.weight.clone()
    assert initialize(model, "timm_unet", settings, path) == "bundled"
    state = model.state_dict()
    for name, tensor in tensors.items():
        if not name.startswith("decoder.head.") and (name != "log_weights" or head == "bins"):
            assert torch.equal(state[name], tensor)
    head_of_file = tensors["decoder.head.weight"]
    expected = head_of_file if head == metadata["head"] else own
    assert torch.equal(state["decoder.head.weight"], expected)


SMALL = {"blocks": [1, 1, 1], "widths": [8, 8, 8]}  # settings of a U-Net
TIMM = {"encoder": "resnet18", "widths": [8, 8, 8, 8]}


@pytest.mark.parametrize(
    ("trained", "settings", "name", "others"),
    [
        ("unet", SMALL, "resnet18", {"cut": "layer1"}),
        ("unet", SMALL, "unet", {**SMALL, "widths": [8, 8, 16]}),
        ("unet", SMALL, "unet", {**SMALL, "blocks": [1, 2, 1]}),
        ("unet", SMALL, "unet", {"blocks": [1, 1], "widths": [8, 8]}),  # some weights would fit
        ("resnet18", {"cut": "layer1"}, "resnet18", {"cut": "layer2"}),
        ("resnet18", {"cut": "layer2"}, "resnet18", {"cut": "layer1"}),  # some weights would fit
        ("timm_unet", TIMM, "timm_unet", {**TIMM, "widths": [8, 8, 8, 16]}),  # another decoder
    ],
)
def test_a_start_of_another_architecture_is_named(tmp_path, trained, settings, name, others):
    path = tmp_path / "best.safetensors"
    state = build_colorizer(trained, settings).state_dict()
    weights.save(path, state, {"model": trained, "settings": settings})
    model = build_colorizer(name, others)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(UserError) as raised:
        initialize(model, name, others, path)
    assert str(raised.value) == (
        f"{path} holds {trained} {settings}, expected {name} {others}: use another start, or the "
        "model and the settings that it holds"
    )
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_start_that_does_not_match_its_metadata_is_named(tmp_path):
    path = tmp_path / "best.safetensors"
    others = build_colorizer("resnet18", {"cut": "layer2"}).state_dict()
    weights.save(path, others, {"model": "unet", "settings": SMALL})
    model = build_colorizer("unet", SMALL)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(UserError, match=r"claims: encoder\.\S+ is absent, expected \(8, "):
        initialize(model, "unet", SMALL, path)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_a_start_that_holds_no_colorizer_is_named(tmp_path):
    path = tmp_path / "best.safetensors"
    weights.save(path, {"weight": torch.ones(2)}, {"mode": "knn"})
    model = build_colorizer("unet", SMALL)
    with pytest.raises(UserError, match=r"best\.safetensors holds no colorizer: use another start"):
        initialize(model, "unet", SMALL, path)


@pytest.mark.parametrize("kind", ["random", "imagenet"])
def test_initialize_returns_the_kind_of_start(tmp_path, kind):
    torch.manual_seed(0)
    source = torchvision.models.resnet18().state_dict()
    weights.save(
        tmp_path / "w.safetensors", source if kind == "imagenet" else {}, {"weights": kind}
    )
    settings = {"cut": "layer1"}
    model = build_colorizer("resnet18", settings)
    before = model.encoder.conv1.weight.clone()
    assert initialize(model, "resnet18", settings, tmp_path / "w.safetensors") == kind
    expected = source["conv1.weight"].sum(dim=1, keepdim=True) if kind == "imagenet" else before
    assert torch.equal(model.encoder.conv1.weight, expected)


@pytest.mark.parametrize("heads", [("ab", "bins"), ("bins", "ab")])
@pytest.mark.parametrize(
    ("name", "settings", "head_layers"),
    [
        ("resnet18", {"cut": "layer1"}, {"decoder.13.weight", "decoder.13.bias"}),
        ("eccv16", {}, {"decoder.8.weight"}),  # maps the distribution over the bins to ab
    ],
)
def test_every_layer_but_the_head_is_loaded(tmp_path, name, settings, head_layers, heads):
    trained_head, head = heads
    torch.manual_seed(0)
    trained = build_colorizer(name, settings, trained_head).state_dict()
    path = tmp_path / "trained/best.safetensors"
    weights.save(path, trained, {"model": name, "settings": settings, "head": trained_head})
    model = build_colorizer(name, settings, head)
    assert initialize(model, name, settings, path) == "trained"
    state = model.state_dict()
    other = {
        key for key in state if key not in trained or not torch.equal(state[key], trained[key])
    }
    assert other == {key for key in {*head_layers, "log_weights"} if key in state}


def test_images_that_need_no_padding_are_not_padded():
    torch.manual_seed(0)
    model = build_colorizer("resnet18", {"cut": "layer2"}).eval()
    L = torch.rand(1, 1, 32, 32) * 100
    with torch.no_grad():
        assert torch.equal(model(L).ab, model.decoder(model.encoder((L - 50) / 50)) * 20)


def test_resnet18_equals_torchvisions_up_to_the_cut():
    ours = build_colorizer("resnet18", {"cut": "layer2"}).encoder.state_dict()
    theirs = torchvision.models.resnet18().state_dict()
    assert ours.keys() == {
        name for name in theirs if name.split(".")[0] in ("conv1", "bn1", "layer1", "layer2")
    }
    assert ours["conv1.weight"].shape == (64, 1, 7, 7)
    assert all(ours[name].shape == theirs[name].shape for name in ours if name != "conv1.weight")


def test_the_decoder_has_five_convolutions_and_three_upsamplings():
    decoder = build_colorizer("resnet18", {"cut": "layer2"}).decoder
    convolutions = [
        (layer.in_channels, layer.out_channels) for layer in decoder if isinstance(layer, nn.Conv2d)
    ]
    assert convolutions == [(128, 128), (128, 64), (64, 64), (64, 32), (32, 2)]
    assert sum(isinstance(layer, nn.Upsample) for layer in decoder) == 3


def test_densenet121_equals_torchvisions_up_to_the_cut():
    ours = build_colorizer("densenet121", {"cut": "denseblock2"}).encoder.state_dict()
    theirs = torchvision.models.densenet121().features.state_dict()
    kept = ("conv0.", "norm0.", "denseblock1.", "transition1.", "denseblock2.", "transition2.norm.")
    assert ours.keys() == {name for name in theirs if name.startswith(kept)}
    assert ours["conv0.weight"].shape == (64, 1, 7, 7)
    assert all(ours[name].shape == theirs[name].shape for name in ours if name != "conv0.weight")


def test_eccv16_has_the_layers_of_zhangs_table():
    model = build_colorizer("eccv16", {})
    convolutions = [
        layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    ]
    table = [
        (c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0], c.dilation[0])
        for c in convolutions
    ]
    assert table == [
        (1, 64, 3, 1, 1), (64, 64, 3, 2, 1),
        (64, 128, 3, 1, 1), (128, 128, 3, 2, 1),
        (128, 256, 3, 1, 1), (256, 256, 3, 1, 1), (256, 256, 3, 2, 1),
        (256, 512, 3, 1, 1), (512, 512, 3, 1, 1), (512, 512, 3, 1, 1),
        (512, 512, 3, 1, 2), (512, 512, 3, 1, 2), (512, 512, 3, 1, 2),
        (512, 512, 3, 1, 2), (512, 512, 3, 1, 2), (512, 512, 3, 1, 2),
        (512, 512, 3, 1, 1), (512, 512, 3, 1, 1), (512, 512, 3, 1, 1),
        (512, 256, 4, 2, 1), (256, 256, 3, 1, 1), (256, 256, 3, 1, 1), (256, 313, 1, 1, 1),
        (313, 2, 1, 1, 1),
    ]  # fmt: skip
    norms = [norm.num_features for norm in model.modules() if isinstance(norm, nn.BatchNorm2d)]
    assert norms == [64, 128, 256, 512, 512, 512, 512]
    assert count(model) == 32_236_011  # as in the authors' release


def test_eccv16s_last_layer_is_initialized_with_the_bins():
    to_ab = build_colorizer("eccv16", {}).decoder[-2]
    assert torch.allclose(to_ab.weight[:, :, 0, 0].T * 20, bins.centers())


def test_a_first_convolution_for_L_is_the_sum_over_rgb():
    torch.manual_seed(0)
    ours = build_colorizer("resnet18", {"cut": "layer1"}).encoder.conv1.weight
    torch.manual_seed(0)
    assert torch.equal(ours, torchvision.models.resnet18().conv1.weight.sum(dim=1, keepdim=True))


@pytest.mark.parametrize(("name", "cut"), [("resnet18", "layer2"), ("densenet121", "denseblock2")])
def test_imagenet_weights_give_the_features_of_the_original_for_gray_images(name, cut):
    torch.manual_seed(0)
    source = getattr(torchvision.models, name)().eval()
    model = build_colorizer(name, {"cut": cut})
    weights = {key.removeprefix("features."): value for key, value in source.state_dict().items()}
    load_imagenet(model.encoder.eval(), weights, name)
    gray = torch.rand(2, 1, 32, 32)
    rgb = gray.expand(-1, 3, -1, -1)
    with torch.no_grad():
        if name == "resnet18":
            stem = source.maxpool(source.relu(source.bn1(source.conv1(rgb))))
            expected = source.layer2(source.layer1(stem))
        else:
            layers = dict(source.features.named_children())
            expected = rgb
            for layer in list(layers)[: list(layers).index("denseblock2") + 1]:
                expected = layers[layer](expected)
            expected = layers["transition2"].relu(layers["transition2"].norm(expected))
        assert torch.allclose(model.encoder(gray), expected, atol=1e-4)


def test_imagenet_weights_of_another_model_are_named():
    model = build_colorizer("resnet18", {"cut": "layer1"})
    with pytest.raises(UserError, match=r"imagenet\.resnet18\.source: conv1\.weight is missing"):
        load_imagenet(model.encoder, {"other": torch.zeros(1)}, "resnet18")
    weights = torchvision.models.resnet18().state_dict()
    weights["bn1.weight"] = torch.zeros(3)
    with pytest.raises(UserError, match=r"bn1\.weight has shape \(3,\), expected \(64,\)"):
        load_imagenet(model.encoder, weights, "resnet18")


@pytest.mark.parametrize(("name", "settings"), ARCHITECTURES)
def test_a_classifier_works_on_any_encoder(name, settings):
    colorizer = build_colorizer(name, settings)
    classifier = Classifier(colorizer, classes=7).eval()
    with torch.no_grad():
        assert classifier(torch.rand(3, 1, 41, 32) * 100).shape == (3, 7)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("resnet18", {"cut": "layer9"}, r"models\.resnet18\.cut: input should be 'layer1'"),
        ("resnet18", {}, r"models\.resnet18\.cut: field required"),
        ("eccv16", {"bins": 2}, r"models\.eccv16\.bins: extra inputs are not permitted, got 2"),
        ("resnet50", {}, r"models\.'resnet50': colorpipe/models/resnet50\.py is missing"),
        ("blocks", {}, r"models\.'blocks': colorpipe/models/blocks\.py is missing"),
        ("wide.v2", {}, r"models\.'wide\.v2': colorpipe/models/wide\.v2\.py is missing"),
    ],
)
def test_wrong_settings_are_named(name, settings, message):
    with pytest.raises(UserError, match=message):
        build_colorizer(name, settings)
