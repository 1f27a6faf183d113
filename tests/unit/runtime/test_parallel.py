import time

import pytest

from colorpipe.runtime.parallel import PixelBudget, ordered_map


def test_results_and_errors_come_in_the_order_of_the_items():
    seen = []

    def double(number: int) -> int:
        seen.append(number)
        if number == 7:
            raise ValueError(number)
        return 2 * number

    results = ordered_map(double, iter(range(100)), workers=3)
    assert [next(results) for _ in range(7)] == [0, 2, 4, 6, 8, 10, 12]
    with pytest.raises(ValueError, match="7"):
        next(results)
    assert max(seen) < 20  # the workers are never far ahead


def test_large_photographs_wait_for_each_other():
    budget, inside, totals = PixelBudget(100), [], []

    def work(pixels: int) -> None:
        with budget.spend(pixels):
            inside.append(pixels)
            totals.append(sum(inside))
            time.sleep(0.01)
            inside.remove(pixels)

    assert len(list(ordered_map(work, [40, 50, 30, 90, 500, 10, 60, 40] * 3, workers=4))) == 24
    assert max(total for total in totals if total != 500) <= 100
    # A photograph of 500 pixels exceeds the budget, so it runs alone.
    assert [total for total in totals if total > 100] == [500] * 3
    assert budget.free == 100
