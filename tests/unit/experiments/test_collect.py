"""Which experiments are collected, and their settings."""

import pandas as pd

from experiments import collect
from experiments.collect import Experiment, drop_sources


def test_the_sources_of_data_sets_are_not_settings():
    settings = [
        "threads=1; datasets.cifar10.source=...; datasets.cifar10.md5=...; train.lr=0.1",
        "datasets.cifar10.source=...; train.lr=0.1",
        "train.lr=0.1; datasets.cifar10.md5=...",
        "datasets.cifar10.md5=...",
        "",
    ]
    expected = ["threads=1; train.lr=0.1", "train.lr=0.1", "train.lr=0.1", "", ""]
    assert drop_sources(pd.Series(settings)).to_list() == expected


def test_the_newest_of_two_results_with_the_same_settings_is_kept(monkeypatch, capsys):
    def load_result(experiment, name, params):
        row = {"colorizer": name, "seed": 0, "data": "photos", "settings": ""}
        mse = {"new": 1.0, "old": 2.0, "same": 1.0}[experiment.name]
        return {**row, "test.mse": mse, "experiment": experiment.name}, pd.DataFrame()

    monkeypatch.setattr(collect, "find_results", lambda experiment: [("resnet", {})])
    monkeypatch.setattr(collect, "read_result", load_result)
    monkeypatch.setattr(collect, "read_decodings", lambda experiment, name: pd.DataFrame())
    monkeypatch.setattr(collect, "read", lambda experiment, path: b"")
    experiments = [Experiment(name, None, "", {"seed": 0}, {}) for name in ("new", "old", "same")]
    results = collect.collect(experiments).results
    assert results["experiment"].to_list() == ["new"]
    assert capsys.readouterr().err == (
        "old: resnet is not used, because new is newer and has the same settings and seed\n"
    )
