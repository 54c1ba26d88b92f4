"""Line charts as SVG text."""

import itertools
import re

import pytest

from kajiya.line_chart import HEIGHT, RIGHT, WIDTH, line_chart, ticks


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1.7, 9.3), (0, 400), (-3e-5, 2e-5), (1e6, 3.3e6)])
def test_ticks_enclose_the_range_in_few_even_steps(low, high):
    found = ticks(low, high)

    assert found[0] <= low + 1e-12
    assert found[-1] >= high - 1e-12
    assert 4 <= len(found) <= 9
    steps = [b - a for a, b in itertools.pairwise(found)]
    assert max(steps) == pytest.approx(min(steps))


def test_chart_leaves_out_what_is_not_finite():
    assert "nan" not in line_chart({"loss": [(0, 3.0), (1, float("nan")), (2, 2.0)]}, "step", "loss")


@pytest.mark.parametrize(
    ("line", "left", "top"),
    [
        ([(0, 9), (5, 5), (9, 0)], False, True),
        ([(0, 0), (10, 10)], True, True),
        ([(0, 0), (1, 10), (10, 10)], False, False),
    ],
)
def test_chart_names_its_lines_where_no_line_is(line, left, top):
    x, y = re.findall(r'<text x="([\d.]+)" y="([\d.]+)">the name<', line_chart({"the name": line}, "x", "y"))[
        0
    ]
    assert (float(x) < WIDTH / 2, float(y) < HEIGHT / 2) == (left, top)


def test_chart_of_nothing_is_empty():
    assert line_chart({"loss": []}, "step", "loss") == ""


def test_chart_of_a_long_run_stays_small_and_ends_at_the_end():
    chart = line_chart({"loss": [(step, 1 / (step + 1)) for step in range(100_000)]}, "step", "loss")

    assert len(chart) < 20_000
    assert re.search(rf'points="[^"]* {WIDTH - RIGHT:.1f},', chart)
