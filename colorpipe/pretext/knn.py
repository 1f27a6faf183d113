"""k-nearest-neighbor classification on frozen features (Wu et al. 2018). Nothing is trained."""

import torch
import torch.nn.functional as F
from torch import Tensor

QUERY_BATCH = 500  # queries whose similarities to all features are in memory at a time


def predict_classes(
    features: Tensor,
    labels: Tensor,
    queries: Tensor,
    classes: int,
    neighbors: int,
    temperature: float,
) -> Tensor:
    """Return the class with the most votes among the nearest neighbors of each query.

    Each neighbor votes with the weight exp(cosine similarity / temperature).

    Args:
        features: Features of the labeled images, (N, D).
        labels: Labels of these images, (N,) int64.
        queries: Features of the images to classify, (M, D).
        classes: Number of classes.
        neighbors: Number of neighbors that vote. If it exceeds N, all labeled images vote.
        temperature: Temperature of the votes.

    Returns:
        Predicted labels, (M,) int64.
    """
    keys = F.normalize(features, dim=1)
    predicted = []
    for batch in F.normalize(queries, dim=1).split(QUERY_BATCH):
        similarity, nearest = (batch @ keys.T).topk(min(neighbors, len(keys)), dim=1)  # (B, k)
        # Subtracting the largest similarity, the first, avoids an overflow and changes no result.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        votes = weights.new_zeros(len(batch), classes).scatter_add_(1, labels[nearest], weights)
        predicted.append(votes.argmax(dim=1))
    return torch.cat(predicted)
