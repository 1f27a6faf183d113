"""k nearest neighbors on frozen features, as self-supervised learning counts them (Wu et al. 2018): nothing is trained."""

import torch
import torch.nn.functional as F
from torch import Tensor

QUERIES = 500  # at a time


def predict(features: Tensor, labels: Tensor, queries: Tensor, classes: int, neighbors: int, temperature: float) -> Tensor:
    """The class with the most votes among a query's nearest neighbors; each votes with exp(cosine similarity / T).

    Args:
        features: of the labeled images, (N, D).
        labels: theirs, (N,) int64.
        queries: features of the images to classify, (M, D).
        classes: how many.
        neighbors: k; all labeled images where there are fewer.
        temperature: T.

    Returns:
        (M,) int64.
    """
    known, votes = F.normalize(features, dim=1), F.one_hot(labels, classes).to(features.dtype)
    found = []
    for batch in F.normalize(queries, dim=1).split(QUERIES):
        similarity, nearest = (batch @ known.T).topk(min(neighbors, len(known)), dim=1)  # (B, k)
        weights = (similarity / temperature).exp()
        found.append((weights[:, :, None] * votes[nearest]).sum(dim=1).argmax(dim=1))
    return torch.cat(found)
