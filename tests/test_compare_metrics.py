import pytest
from compare_metrics import too_far


@pytest.mark.parametrize(
    ("metric", "old", "new", "far"),
    [
        ("test.loss", 100.0, 140.0, False),
        ("test.loss", 100.0, 160.0, True),
        ("test.ssim", 0.3, 0.45, True),
        ("test.accuracy", 0.6, 0.5, False),
        ("test.psnr", 18.0, float("nan"), True),
        ("no_colour.loss", 700.0, 700.1, False),
        ("no_colour.loss", 700.0, 710.0, True),
        ("original.colourfulness", 42.0, 43.0, True),
        ("n", 198, 199, True),
        ("data", "photos", "cifar10", True),
        ("test.loss", 100.0, None, True),
        ("best_epoch", 3, 5, False),
    ],
)
def test_the_tolerance(metric, old, new, far):
    assert too_far(metric, old, new) is far
