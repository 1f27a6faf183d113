"""The path from faithful to vivid on made-up numbers."""

import itertools

import pytest

from colorpipe.evaluation.vividness import POINTS, Decoding, find_path, interpolate


def made_up(*points: tuple[float, float]) -> list[Decoding]:
    """Return decodings from pairs of MSE and colorfulness. Each alpha is the decoding's number."""
    return [Decoding(number / 10, 1.0, *point) for number, point in enumerate(points)]


def numbers(path: list[Decoding]) -> list[int]:
    return [round(10 * point.alpha) for point in path]


def test_the_path_leads_from_the_lowest_error_to_the_originals_colorfulness():
    #                     0          1          2          3          4          5          6
    decodings = made_up((120, 20), (125, 24), (130, 29), (128, 36), (150, 41), (170, 55), (119, 10))
    # Levels of colorfulness: 10, 17.75, 25.5, 33.25 and 41.
    assert numbers(find_path(decodings, 44)) == [6, 0, 3, 3, 4]
    assert find_path(decodings[::-1], 44) == find_path(decodings, 44)


def test_no_point_is_more_colorful_than_the_vivid_one():
    """Decoding 2 has a lower error than decoding 1, but is more colorful than the originals."""
    assert numbers(find_path(made_up((100, 10), (150, 30), (120, 40)), 31)) == [0, 1, 1, 1, 1]


def test_the_error_and_the_colorfulness_never_fall_along_a_path():
    decodings = made_up(*((100 + 37 * n % 101, 10 + 53 * n % 47) for n in range(15)))
    for original in range(5, 65, 5):
        for point, following in itertools.pairwise(find_path(decodings, original)):
            assert following.mse >= point.mse
            assert following.colorfulness >= point.colorfulness


def test_a_tie_is_decided_by_the_other_number():
    assert numbers(find_path(made_up((100, 10), (100, 12), (130, 19), (120, 21)), 20)) == [
        1,
        3,
        3,
        3,
        3,
    ]
    equal = made_up((100, 10), (100, 10))
    assert numbers(find_path(equal, 10)) == [0] * POINTS


@pytest.mark.parametrize("original", [5.0, 10.0, 50.0])
def test_a_single_decoding_is_the_whole_path(original):
    (only,) = made_up((100, 10))
    path = find_path([only], original)
    assert path == [only] * POINTS
    assert interpolate(path, 0.3) == (only.alpha, only.temperature)


@pytest.mark.parametrize("original", [5.0, 18.0, 50.0])
def test_the_faithful_decoding_is_the_path_if_no_other_is_more_colorful(original):
    assert numbers(find_path(made_up((120, 15), (100, 20), (130, 3)), original)) == [1] * POINTS


def test_between_two_points_alpha_and_temperature_are_interpolated():
    path = [Decoding(0.75, 1.0, 0, 0), Decoding(0.5, 1.0, 0, 0), Decoding(0.0, 0.4, 0, 0)]
    assert interpolate(path, 0) == (0.75, 1.0)
    assert interpolate(path, 0.25) == pytest.approx((0.625, 1.0))
    assert interpolate(path, 0.5) == (0.5, 1.0)
    assert interpolate(path, 0.75) == pytest.approx((0.25, 0.7))
    assert interpolate(path, 1) == (0.0, 0.4)
