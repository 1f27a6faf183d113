"""The table of metrics."""

from project import ROOT

from colorpipe.evaluation.table import METRICS

MEASURED = [metric for metric in METRICS if metric.key != "top1"]  # top1 is a metric of classifiers


def test_keys_and_titles_are_unique():
    assert len({metric.key for metric in METRICS}) == len(METRICS)
    assert len({metric.title for metric in METRICS}) == len(METRICS)


def test_no_key_is_a_section_of_another():
    """A dot in a key means nesting, so `rgb` and `rgb.ssim` cannot be in the same file."""
    keys = {metric.key for metric in METRICS}
    assert not [key for key in keys for other in keys if other.startswith(f"{key}.")]


def test_a_metric_is_computed_from_batches_or_from_the_test_set():
    assert all(
        (metric.batch_value is None) != (metric.test_set_value is None) for metric in MEASURED
    )


def test_only_tracked_metrics_have_a_tolerance():
    for metric in METRICS:
        assert all(limit >= 0 for limit in metric.tolerance)
        assert any(metric.tolerance) == metric.tracked, metric.key


def test_the_documentation_has_every_metric():
    text = (ROOT / "docs/metrics.md").read_text()
    assert not [metric.key for metric in METRICS if f"`{metric.key}`" not in text]
