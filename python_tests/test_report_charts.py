"""Scales, ticks and lines of the page's drawings."""

import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarcore.report.axes import Scale, fitted, label
from sarcore.report.charts import Line, chart, running_mean, script_data, thinned
from sarcore.report.study_charts import generator_curves

VALUES = st.floats(-1e12, 1e12, allow_nan=False)


@given(st.lists(VALUES, min_size=1, max_size=20))
def test_every_value_lies_on_its_scale_and_in_order(values):
    scale = fitted(values, 200.0, 10.0)
    places = [scale.at(value) for value in sorted(values)]
    assert all(10.0 <= place <= 200.0 for place in places)
    assert places == sorted(places, reverse=True)
    ticks = scale.ticks()
    assert all(10.0 <= place <= 200.0 for place, _ in ticks)
    assert 1 <= len(ticks) <= 12


@given(st.floats(1e-9, 1e3), st.floats(1.1, 1e9))
def test_ticks_of_a_logarithmic_scale_are_inside_and_differ(low, factor):
    scale = fitted([low, low * factor], 0.0, 100.0, log=True)
    texts = [text for _, text in scale.ticks()]
    assert len(set(texts)) == len(texts) <= 10


def test_a_scale_is_logarithmic_where_values_span_two_decades():
    assert not fitted([2.2250738585072014e-308, 4.0], 0, 1).log
    assert fitted([0.01, 1.1], 0, 1).log
    assert not fitted([0.02, 1.1], 0, 1).log
    assert not fitted([-1.0, 1000.0], 0, 1).log
    assert not fitted([0.0, 1000.0], 0, 1).log
    assert not fitted([1e-5, 1.0], 0, 1, log=False).log


def test_constant_and_missing_values_have_a_scale():
    assert fitted([3.0, 3.0], 0, 1).low < 3.0 < fitted([3.0, 3.0], 0, 1).high
    assert fitted([0.0], 0, 1, bounds=(0.0, None)).low == 0.0
    assert fitted([], 0, 1).high > fitted([], 0, 1).low


def test_whole_ticks_leave_out_parts_of_a_step():
    assert [text for _, text in Scale(1.0, 3.0, 0.0, 1.0).ticks(whole=True)] == ["1", "2", "3"]
    assert [label(value) for value in (0.0, 1e-4, 1234.5, 1e4, -0.5, 3e12)] == [
        "0",
        "0.0001",
        "1234.5",
        "10k",
        "−0.5",
        "3e12",
    ]


@given(st.lists(st.one_of(st.none(), VALUES), min_size=1, max_size=300), st.integers(4, 40))
def test_thinning_keeps_the_extremes_and_the_order(values, kept):
    points = list(enumerate(values))
    thin = thinned(points, kept)
    assert len(thin) <= max(kept + 1, 1) or len(points) <= kept
    assert set(thin) <= set(points)
    assert [place for place, _ in thin] == sorted({place for place, _ in thin})
    known = [value for value in values if value is not None]
    if known:
        shown = [value for _, value in thin if value is not None]
        assert (min(shown), max(shown)) == (min(known), max(known))


def test_the_running_mean_is_the_mean_of_the_rows_around():
    values = np.random.default_rng(0).normal(size=200)
    means = dict(running_mean(list(enumerate(values.tolist()))))
    assert means[100] == pytest.approx(values[95:106].mean())
    assert means[0] == pytest.approx(values[:6].mean())
    assert running_mean([(i, 1.0) for i in range(20)]) == []


def test_a_line_is_drawn_where_its_values_are():
    drawn = chart("a", [Line("b", [(0, 0.0), (10, 1.0)])], x_bounds=(0.0, 10.0), y_bounds=(0.0, 1.0), log=False)
    path = re.search(r'<path class="line c0" d="([^"]*)"', drawn)[1]
    data = json.loads(re.search(r"<script[^>]*>(.*)</script>", drawn)[1])
    (left, bottom), (right, top) = (map(float, pair.split()) for pair in path[1:].split("L"))
    assert [left, right] == data["x"][2:]
    assert [bottom, top] == data["y"][2:]


def test_one_value_is_a_dot_and_none_is_said():
    assert re.search(r'<circle class="c0" r="3.5" cx="[\d.]+" cy="[\d.]+"/>', chart("a", [Line("b", [(5, 2.0)])]))
    empty = chart("a", [Line("b", [(1, None)])])
    assert "no values</text>" in empty
    assert ", no values" in re.search(r'aria-label="(.*?)"', empty)[1]


def test_names_cannot_leave_their_place():
    drawn = chart("<em>", [Line('</script><b x="', [(1, 2.0), (2, 3.0)])], marks=[(1, "<u>")], note="<s>")
    for tag in ("<em>", "<b x", "<u>", "<s>"):
        assert tag not in drawn
    assert drawn.count("</script>") == 1
    assert script_data({"a": "</script>"}).count("</script>") == 1


def test_the_balance_term_of_a_study_is_not_drawn_on_a_logarithm():
    rows = [{"step": step, "M": 0.1, "loss_real": 0.1, "loss_fake": 0.1, "k": 1e-4 * step} for step in range(1, 1001)]
    made = str(generator_curves({"water": rows})[-1])
    assert "balance term k" in made
    assert '"log":false' in made
    assert "logarithmic" not in made
