from collections.abc import Callable
from itertools import combinations
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepose.prove.rescue import (
    LayerDrift,
    Limits,
    Search,
    find_pins,
    likely_pins,
    suspects,
)

LAYERS = tuple(f"layer{index}" for index in range(40))
Pins = tuple[str, ...]


def needing(*culprits: str) -> Callable[[Pins], bool]:
    """A proof that passes once all of ``culprits`` are pinned."""
    return lambda pins: set(culprits) <= set(pins)


def suspect(layers: Pins, *first: str) -> Pins:
    """``layers`` with ``first`` at their head."""
    return (*first, *(layer for layer in layers if layer not in first))


def test_a_culprit_that_the_ranking_names_first_takes_two_trials() -> None:
    assert find_pins(LAYERS, needing("layer0")) == Search(("layer0",), 2, True)


def test_a_culprit_further_down_is_found_alone() -> None:
    search = find_pins(LAYERS, needing("layer11"))
    assert search.pinned == ("layer11",)
    assert search.minimal
    assert search.tried <= 12


def test_two_culprits_are_found_together() -> None:
    search = find_pins(suspect(LAYERS, "layer30"), needing("layer30", "layer9"))
    assert search.pinned == ("layer30", "layer9")
    assert search.minimal


def test_either_of_two_is_enough_where_they_only_interact() -> None:
    """An overflow may be mended before or behind the layer that shows it."""
    search = find_pins(LAYERS, lambda pins: bool({"layer2", "layer3"} & set(pins)))
    assert len(search.pinned) == 1


def test_a_layer_that_does_harm_when_pinned_with_others_is_left_out() -> None:
    def passes(pins: Pins) -> bool:
        return "layer5" in pins and ("layer4" not in pins or len(pins) > 10)

    search = find_pins(LAYERS, passes, Limits(trials=100))
    assert passes(search.pinned)
    assert search.minimal


def test_where_not_even_all_layers_suffice_one_trial_tells() -> None:
    search = find_pins(LAYERS, lambda pins: False)
    assert search == Search((), 1, False, "it fails even with every layer in single precision")


def test_more_culprits_than_a_few_are_a_clear_failure() -> None:
    search = find_pins(LAYERS, needing(*LAYERS[:17]), Limits(layers=16))
    assert search.pinned == ()
    assert search.reason == "the 16 most suspect layers do not suffice"
    assert search.tried == 6  # all, then 1, 2, 4, 8 and 16


def test_a_net_without_layers_to_pin_is_a_clear_failure() -> None:
    assert find_pins((), lambda pins: True).pinned == ()


def test_the_limit_of_trials_ends_the_search_and_keeps_what_passed() -> None:
    search = find_pins(LAYERS, needing("layer9", "layer14"), Limits(trials=6))
    assert search.tried == 6
    assert not search.minimal
    assert {"layer9", "layer14"} <= set(search.pinned)
    assert search.reason == "the limit of 6 trials was reached"


def test_the_limit_of_trials_may_come_before_anything_passed() -> None:
    search = find_pins(LAYERS, needing("layer9"), Limits(trials=3))
    assert search == Search((), 3, False, "the limit of 3 trials was reached")


def test_the_time_ends_the_search() -> None:
    clock = iter([False, False, True])
    search = find_pins(LAYERS, needing("layer9"), out_of_time=lambda: next(clock))
    assert search == Search((), 2, False, "the time was up after 2 trials")


@given(
    culprits=st.sets(st.sampled_from(LAYERS), min_size=1, max_size=5), order=st.permutations(LAYERS)
)
def test_what_is_found_passes_and_every_single_pin_is_needed(
    culprits: set[str], order: list[str]
) -> None:
    passes = needing(*culprits)
    search = find_pins(order, passes, Limits(trials=1000, layers=len(LAYERS)))
    assert set(search.pinned) == culprits
    assert search.minimal


@given(
    sets=st.sets(st.frozensets(st.integers(0, 5), min_size=1), min_size=1, max_size=12),
    limit=st.integers(1, 40),
)
def test_even_a_proof_without_any_order_gives_a_set_that_passes(
    sets: set[frozenset[int]], limit: int
) -> None:
    """Whatever passes: rounding errors may cancel, so that more pins are not always better."""
    layers = tuple("abcdef")
    good = {tuple(layers[index] for index in sorted(one)) for one in sets} | {layers}
    asked: list[Pins] = []

    def passes(pins: Pins) -> bool:
        asked.append(pins)
        return pins in good

    search = find_pins(layers, passes, Limits(trials=limit, layers=6))
    assert len(asked) == len(set(asked)) == search.tried <= limit
    if search.pinned:
        assert search.pinned in good
    if search.minimal:
        rest = combinations(search.pinned, len(search.pinned) - 1)
        assert not good & set(rest)
    assert bool(search.reason) != search.minimal


def test_layers_that_lose_finite_values_are_suspected_first_in_their_order() -> None:
    found = suspects(
        [
            LayerDrift(name="a", harm=0.5),
            LayerDrift(name="b", harm=inf),
            LayerDrift(name="c", harm=0.001),
            LayerDrift(name="d", harm=inf),
        ],
        ("a", "b", "c", "d"),
    )
    assert found == ("b", "d", "a", "c")


def test_the_worst_case_of_a_layer_counts_and_unpinnable_layers_do_not() -> None:
    found = suspects(
        [
            LayerDrift(name="a", harm=0.1),
            LayerDrift(name="b", harm=0.2),
            LayerDrift(name="a", harm=0.3),
            LayerDrift(name="move", harm=0.9),
        ],
        ("a", "b", "unseen"),
    )
    assert found == ("a", "b", "unseen")


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_a_net_smaller_than_the_limit_is_pinned_whole_where_it_must(size: int) -> None:
    layers = LAYERS[:size]
    assert find_pins(layers, needing(*layers)).pinned == layers


def drifts_of(*harms: float) -> list[LayerDrift]:
    return [LayerDrift(name=f"layer{index}", harm=harm) for index, harm in enumerate(harms)]


@pytest.mark.parametrize(
    ("harms", "size"),
    [
        ((5.0, 0.1, 0.1), 1),
        ((1.5, 1.2, 0.9, 0.1), 2),
        ((0.9, 0.9, 0.1), 1),  # 1.28 together, which is beyond the gate; 0.91 is not
        ((0.9,) * 6, 5),
        ((inf, inf, 3.0), 1),
        ((0.1, 0.1), 1),  # the proof failed all the same
    ],
)
def test_as_many_pins_are_likely_as_keep_random_errors_within_the_gate(
    harms: tuple[float, ...], size: int
) -> None:
    assert likely_pins(drifts_of(*harms), LAYERS[: len(harms)]) == size


def test_many_layers_that_each_do_a_little_harm_are_pinned_in_few_trials() -> None:
    """The search begins with as many as are likely, not with one."""
    search = find_pins(LAYERS, lambda pins: len(pins) >= 20, Limits(layers=32), first=22)
    assert len(search.pinned) == 20
    begun = find_pins(LAYERS, lambda pins: len(pins) >= 20, Limits(2, layers=32), first=22)
    assert len(begun.pinned) == 22
    assert begun.tried == 2


def test_no_more_layers_than_the_limit_are_tried_however_many_are_likely() -> None:
    search = find_pins(LAYERS, needing(*LAYERS), Limits(layers=16), first=30)
    assert search == Search((), 2, False, "the 16 most suspect layers do not suffice")
