"""Settings of the results of experiments."""

import pandas as pd

from experiments.collect import drop_sources


def test_settings_without_the_sources_of_files():
    settings = [
        "threads=1; datasets.cifar10.source=...; datasets.cifar10.md5=...; train.lr=0.1",
        "datasets.cifar10.source=...; train.lr=0.1",
        "train.lr=0.1; datasets.cifar10.md5=...",
        "datasets.cifar10.md5=...",
        "",
    ]
    expected = ["threads=1; train.lr=0.1", "train.lr=0.1", "train.lr=0.1", "", ""]
    assert drop_sources(pd.Series(settings)).to_list() == expected
