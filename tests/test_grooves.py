"Properties of the groove library and of composed drum parts."

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, rng_for
from drumnb.rendering.drum_parts import compose_part, playable, song_form, swing_ticks
from drumnb.rendering.grooves import FILLS, GROOVES, LANES, METERS, SPLITS, TICKS, fills_of, grooves_of, parse_tab

FEET = [35, 36, 44]
HEAD = 'one: 4/4 steps=4 bpm=90-140 train\n'


def test_library_is_large_enough():
    assert len(GROOVES) >= 60 and len(FILLS) >= 24
    assert len({g.style for g in GROOVES}) >= 12
    assert {g.meter for g in GROOVES} == set(METERS)
    assert all(60 <= g.bpm[0] <= g.bpm[1] <= 200 for g in GROOVES + FILLS)


def test_no_pattern_is_in_two_splits():
    seen = {}
    for g in GROOVES + FILLS:
        seen.setdefault(g.pattern(), set()).add(g.split)
    assert max(len(s) for s in seen.values()) == 1


@pytest.mark.parametrize('split', SPLITS)
def test_each_split_can_stand_alone(split):
    grooves, fills = grooves_of(split), fills_of(split)
    assert len({g.style for g in grooves}) >= 8 and {g.meter for g in grooves} == set(METERS)
    assert {'straight', 'triplet'} == {f.style for f in fills}
    assert {g.name for g in grooves}.isdisjoint({g.name for g in GROOVES if g.split != split})


@pytest.mark.parametrize(
    'lanes, message',
    [
        ('HH |x-x-x-x-x-x-x-x-|\nBD |x---|', 'groove one, lane BD: 4 steps'),
        ('HH |x-x-x-x-x-x-x-x-|\nZZ |x---x---x---x---|', 'unknown lane ZZ'),
        ('HH |x-x-x-q-x-x-x-x-|', "lane HH: unknown sign 'q'"),
        ('HH |x-x-x-x-x-x-x-x-x-|', 'not whole bars of 4/4'),
        ('HH |x---------------|\nRD |x---------------|\nSD |x---------------|', 'needs 3 hands'),
        ('', 'no lanes'),
    ],
)
def test_slips_of_the_hand_are_named(lanes, message):
    with pytest.raises(DrumnbError, match='(?s).*' + message):
        parse_tab(HEAD + lanes, 'rock')


@pytest.mark.parametrize(
    'head', ['one 4/4 steps=4', 'one: 5/4 steps=4 bpm=90-140 train', 'one: 4/4 steps=4 bpm=90-140 train colour=red']
)
def test_bad_headers_are_refused(head):
    with pytest.raises(DrumnbError):
        parse_tab(head + '\nBD |x---x---x---x---x---|', 'rock')


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SPLITS), st.floats(2, 90))
def test_parts_are_playable_and_in_bounds(seed, split, seconds):
    part = compose_part(rng_for('test', seed), split, seconds)
    times, hits = part.hits.times, part.hits
    hands = np.sort(times[~np.isin(hits.pitches, FEET)])
    assert not np.any(hands[2:] - hands[:-2] < 0.012)
    assert np.all(np.diff(times) >= 0) and np.all((times >= 0) & (times < seconds))
    assert np.all((hits.velocities > 0) & (hits.velocities <= 1))
    assert set(part.grooves) <= {g.name for g in grooves_of(split)} and set(part.fills) <= {
        f.name for f in fills_of(split)
    }
    beats, size = part.beats, METERS[part.meter]
    assert np.all(np.diff(beats[:, 0]) > 0) and np.array_equal(beats[:, 1], np.arange(len(beats)) % size + 1)
    assert part.duration == seconds and len(hits) > seconds / 2


def test_strokes_stay_near_the_grid():
    "A straight song's strokes lie near 48ths of a beat, and kicks and snares near steps."
    near = []
    for seed in range(40):
        part = compose_part(rng_for('grid', seed), 'train', 30, style='punk')
        position = np.interp(part.hits.times, part.beats[:, 0], np.arange(len(part.beats)))
        inside = (part.hits.times < part.beats[-1, 0]) & (part.hits.times > part.beats[0, 0])
        step = 4 if part.bpm < 140 else 2
        near.append(np.abs(position * step - np.round(position * step))[inside] * 60 / part.bpm / step)
    assert np.quantile(np.concatenate(near), 0.95) < 0.03


def test_same_generator_same_part():
    a, b = (compose_part(rng_for('same', 1), 'test', 20) for _ in range(2))
    assert np.array_equal(a.hits.times, b.hits.times) and np.array_equal(a.hits.velocities, b.hits.velocities)
    c = compose_part(rng_for('same', 2), 'test', 20)
    assert not np.array_equal(a.hits.times, c.hits.times)


def test_every_style_of_a_split_composes():
    for split in SPLITS:
        for style in {g.style for g in grooves_of(split)}:
            part = compose_part(rng_for(split, style), split, 20, style)
            assert part.style == style and len(part.hits) > 10


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.sampled_from([8, 12, 16, 24]), st.floats(50, 75))
def test_swing_keeps_order_and_pairs(ticks, unit, percent):
    even = np.sort(np.array(ticks))
    uneven = swing_ticks(even, unit, percent)
    assert np.all(np.diff(uneven) >= -1e-9)
    assert np.allclose(swing_ticks(even // (2 * unit) * 2 * unit, unit, percent), even // (2 * unit) * 2 * unit)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, len(LANES) - 1), st.floats(0.1, 1), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
def test_playable_never_needs_a_third_hand(rows):
    kept = playable(np.array(rows, float))
    names = [list(LANES)[int(lane)] for lane in kept[:, 1]]
    for tick in set(kept[:, 0]):
        here = [(n, f) for n, t, f in zip(names, kept[:, 0], kept[:, 3]) if t == tick]
        assert sum(1 + (f > 0) for n, f in here if n not in ('BD', 'HP')) <= 2
        assert len({n for n, _ in here}) == len(here)
        assert not {'HO', 'HP'} <= {n for n, _ in here}
    assert len(playable(kept)) == len(kept)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 200), st.integers(0, 1000))
def test_form_fills_the_song(n_bars, seed):
    form = song_form(rng_for(seed), n_bars)
    assert sum(n for _, n in form) == n_bars and all(n > 0 for _, n in form)
    assert (form[-1][0] == 'ending') == (n_bars >= 3)


def test_flams_have_a_grace_note():
    fill = next(f for f in FILLS if f.name == 'eighth-flams')
    ticks, lanes, strengths, flams = fill.events()
    assert flams.sum() == 4 and set(np.diff(ticks[flams])) == {TICKS}
