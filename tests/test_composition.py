"""Compositions: progressions of splits, beats and notes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drumnb.rendering.composition as composition
from drumnb.core import DrumnbError, rng_for
from drumnb.rendering.accompaniment import to_notes

METERS = {'4/4': 4, '3/4': 3, '6/8': 6, '5/4': 5, '7/8': 7, '12/8': 12}


def make_beats(meter='4/4', bpm=110, seconds=12.0, drift=0.0, start=0.3):
    n = int(seconds * bpm / 60) + 2
    step = 60 / bpm * (1 + drift * np.sin(np.arange(n) / 5))
    return np.stack([start + np.cumsum(step) - step[0], np.arange(n) % METERS[meter] + 1], 1)


def test_splits_share_no_loop():
    sets = {
        s: {composition.same_loop(p) for rows in composition.progressions_of(s).values() for p in rows}
        for s in ('train', 'validation', 'test')
    }
    assert (
        not sets['train'] & sets['validation']
        and not sets['train'] & sets['test']
        and not sets['validation'] & sets['test']
    )
    assert sum(map(len, sets.values())) >= 40
    assert all(rows for s in sets for rows in composition.progressions_of(s).values())


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_chords_come_from_the_split(split):
    allowed = {
        composition.parse_chord(w)
        for rows in composition.progressions_of(split).values()
        for p in rows
        for w in p.replace('-', ' ').split()
    }
    grid = composition.bar_grid(make_beats(seconds=60), '4/4', 60)
    plan = composition.make_plan(grid, rng_for('split', split), split)
    assert {c for *_, c in plan.spans()} <= allowed


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(list(METERS)), st.floats(50, 200), st.floats(0, 0.1), st.integers(0, 99))
def test_notes_follow_the_beats(meter, bpm, drift, seed):
    beats = make_beats(meter, bpm, 20, drift)
    grid = composition.bar_grid(beats, meter, 20)
    downbeats = beats[(beats[:, 1] == 1) & (beats[:, 0] < 20), 0]
    np.testing.assert_allclose(grid[: len(downbeats), 0], downbeats)
    slots = np.unique(np.concatenate([composition.bar_grid(beats, meter, 20, s).ravel() for s in (0,)]))
    plan = composition.make_plan(grid, rng_for('follow', seed))
    for role in ('bass', 'comp', 'melody', 'power', 'riff', 'arpeggio', 'pad'):
        notes = to_notes(
            composition.WRITERS[role](plan, rng_for(seed, role)), plan, np.ones(len(grid), bool), rng_for(seed), role
        )
        assert notes.shape[1] == 4 and np.isfinite(notes).all()
        if len(notes):
            away = np.abs(
                slots[np.clip(np.searchsorted(slots, notes[:, 0]), 1, len(slots) - 1)][:, None] - notes[:, :1]
            )
            near = np.minimum(
                away[:, 0], np.abs(slots[np.clip(np.searchsorted(slots, notes[:, 0]) - 1, 0, None)] - notes[:, 0])
            )
            assert near.max() < 0.08  # loosely on the grid
            assert (notes[:, 1] > 0).all() and ((notes[:, 3] > 0) & (notes[:, 3] <= 1)).all()
            assert 20 <= notes[:, 2].min() and notes[:, 2].max() <= 108


@pytest.mark.parametrize(
    'call, word',
    [
        (lambda: composition.progressions_of('dev'), 'dev'),
        (lambda: composition.parse_chord('X9'), 'X9'),
        (lambda: composition.bar_grid([[0, 1]], '4/4', 3), 'beats'),
    ],
)
def test_errors_name_what_is_wrong(call, word):
    with pytest.raises(DrumnbError, match=word):
        call()
