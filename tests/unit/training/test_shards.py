"""The parts of a batch in one process: gradients, running statistics and order."""

import pytest
import torch
from torch import nn

from colorpipe.runtime.errors import UserError
from colorpipe.training import loop, processes
from colorpipe.training.loop import NonFiniteGuard
from colorpipe.training.settings import TrainSettings
from colorpipe.training.shards import Shards

SETTINGS = TrainSettings(epochs=1, lr=0.1, batch_size=8, precision="float32", seed=0)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3))


def loss_of(model: nn.Module, part: tuple[torch.Tensor, ...]) -> torch.Tensor:
    return model(part[0]).square().mean()


def test_the_gradient_is_the_mean_over_the_parts_and_the_first_part_sets_the_running_statistics():
    images, shards, model = torch.randn(7, 2, 8, 8), Shards(3), network()
    parts = shards.split((images,))
    assert [len(part[0]) for part in parts] == [3, 2, 2]
    losses = shards.each(model, lambda part: loss_of(model, part), parts)
    shards.backward(model, losses)

    gradients, statistics = [], []
    for part in parts:
        alone = network()
        loss_of(alone, part).backward()
        gradients.append([parameter.grad for parameter in alone.parameters()])
        statistics.append(alone[1].running_mean)
    for parameter, own in zip(model.parameters(), zip(*gradients, strict=True), strict=True):
        torch.testing.assert_close(parameter.grad, sum(own) / 3)
    assert torch.equal(model[1].running_mean, statistics[0])
    assert not torch.equal(statistics[0], statistics[1])
    assert model[1].num_batches_tracked == 1
    assert model[1].track_running_stats


def test_one_part_is_the_whole_batch():
    batch = (torch.randn(5, 2, 8, 8), torch.arange(5))
    assert Shards().split(batch) == [batch]
    model, expected = network(), network()
    Shards().backward(model, [loss_of(model, batch)])
    loss_of(expected, batch).backward()
    assert all(
        torch.equal(a.grad, b.grad)
        for a, b in zip(model.parameters(), expected.parameters(), strict=True)
    )


def test_the_parts_of_a_process_are_its_own(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    monkeypatch.setattr(processes, "rank", lambda: 1)
    images = torch.arange(10)
    assert [part[0].tolist() for part in Shards(4).split((images,))] == [[6, 7], [8, 9]]
    assert list(processes.deal("abcde")) == ["b", "d"]
    with pytest.raises(
        UserError, match=r"train\.shards: 3 parts cannot be divided evenly among 2 processes"
    ):
        Shards(3)


def test_terms_are_added_from_the_first_to_the_last():
    terms = torch.tensor([[1e8], [1.0], [-1e8], [1.0]])  # in float32: 1e8 + 1 is 1e8
    assert processes.sum_in_order(terms).tolist() == [1.0]
    assert processes.sum_in_order(terms.flip(0)).tolist() == [0.0]


def test_losses_are_read_every_fifty_steps_and_the_first_bad_one_is_named(monkeypatch):
    read = []
    check = NonFiniteGuard.check
    monkeypatch.setattr(
        NonFiniteGuard, "check", lambda self: (read.append(len(self.losses)), check(self))
    )
    guard = NonFiniteGuard(3, SETTINGS)
    for _ in range(2 * loop.CHECK_INTERVAL + 7):
        guard.update(torch.tensor(1.0))
    assert read == [50, 50]
    guard.update(torch.tensor(float("inf")))
    guard.update(torch.tensor(float("nan")))
    with pytest.raises(UserError, match="the loss is inf in epoch 3, step 108"):
        guard.check()
