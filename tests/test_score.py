"""From onsets to beats, bars and the grid of every beat."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from performances import performed

from drumnb.core import DrumnbError, rng_for
from drumnb.transcription.meter import beats_per_bar, find_beats
from drumnb.transcription.score import make_score, nominal_times


@settings(max_examples=25, deadline=None)
@given(st.integers(60, 200), st.sampled_from(['4/4', '3/4', '6/8', '5/4']), st.integers(0, 10**6))
def test_every_onset_is_in_the_score_once(bpm, meter, seed):
    rng = rng_for('score', seed)
    n = int(rng.integers(1, 60))
    p = performed(np.sort(rng.uniform(0, 20, n)), rng.integers(0, 5, n))
    k = beats_per_bar(meter)
    beats = np.c_[0.3 + np.arange(30) * 60 / bpm, np.arange(30) % k + 1]
    s = make_score(p, beats, meter)
    assert len(s.notes) + s.dropped == n and s.notes.onset.is_unique
    assert ((0 <= s.notes.tick) & (s.notes.tick < s.notes.parts)).all() and s.notes.bar.between(0, s.n_bars - 1).all()
    at = s.downbeats[s.notes.bar] + s.notes.beat
    assert (s.grids[at] == s.notes.parts).all()
    nominal = nominal_times(s.beats[:, 0], at.to_numpy(), (s.notes.tick / s.notes.parts).to_numpy())
    plain = ~s.notes.grace
    assert np.allclose((nominal - s.notes.onset_s)[plain], s.notes.moved_s[plain], atol=1e-9)
    assert s.notes.moved_s.abs().max() <= 60 / bpm * 0.5 + 0.05


def test_swing_becomes_even_eighths_under_a_mark_and_straight_stays_straight():
    beats = np.c_[np.arange(0, 16, 0.5), np.arange(32) % 4 + 1]
    rng = rng_for('swing')
    for place in (2 / 3, 0.5):
        t = np.concatenate([np.arange(0, 15, 0.5), np.arange(0, 15, 0.5) + 0.5 * place])
        s = make_score(performed(np.clip(t + rng.normal(0, 0.008, len(t)), 0, None), np.full(len(t), 3)), beats)
        assert s.swing == (place > 0.5) and (s.tempo().grid.iloc[:28] == 'straight').mean() > 0.9
        assert (s.notes.tick / s.notes.parts).isin([0, 0.5]).mean() > 0.95 and s.notes.moved_s.abs().max() < 0.05


def test_triplets_with_their_middle_are_no_swing():
    t = np.arange(90) / 6
    s = make_score(performed(t, np.full(len(t), 3)), np.c_[np.arange(0, 16, 0.5), np.arange(32) % 4 + 1])
    assert not s.swing and set(s.notes.parts) == {3}


def test_flams_become_grace_notes_of_the_same_place():
    s = make_score(performed([0.97, 1.0, 2.0], ['SD', 'SD', 'KD']), np.c_[np.arange(0, 5, 0.5), np.arange(10) % 4 + 1])
    snares = s.notes[s.notes.drum == 'SD']
    assert snares.grace.tolist() == [True, False] or snares.grace.tolist() == [False, True]
    assert snares.tick.nunique() == snares.beat.nunique() == 1


@pytest.mark.parametrize('bpm', [80, 100, 120, 150])
def test_the_tempo_of_a_rock_beat_is_found(bpm):
    rng, beat = rng_for('rock', bpm), 60 / bpm
    rows = [
        (k * beat * 4 + t * beat, d)
        for k in range(12)
        for t, d in [(0, 'KD'), (2, 'KD'), (1, 'SD'), (3, 'SD'), *[(i / 2, 'HH') for i in range(8)]]
    ]
    times, drums = zip(*rows)
    p = performed(0.4 + np.array(times) + np.abs(rng.normal(0, 0.006, len(times))), drums)
    beats = find_beats(None, p)
    inside = beats[(beats[:, 0] > 1) & (beats[:, 0] < 12 * 4 * beat - 1)]
    assert np.median(np.diff(beats[:, 0])) == pytest.approx(beat, rel=0.02)
    assert np.abs((inside[:, 0] - 0.4 + beat / 2) % beat - beat / 2).max() < 0.04
    assert (np.rint((inside[:, 0] - 0.4) / beat) % 4 + 1 == inside[:, 1]).all()


def test_beats_from_words_and_files(tmp_path):
    p = performed([0.1, 0.6, 1.1], ['KD', 'SD', 'KD'])
    assert find_beats('bpm=120', p)[0, 0] == pytest.approx(0.1, abs=0.01)
    (tmp_path / 'b.txt').write_text('# beats\n0.5 1\n1.0 2\n1.5 3\n')
    assert find_beats(tmp_path / 'b.txt', p).tolist() == [[0.5, 1], [1, 2], [1.5, 3]]
    for text in ('1 1\n0.5 2\n', 'one\n', '1\n'):
        (tmp_path / 'b.txt').write_text(text)
        with pytest.raises(DrumnbError, match='b.txt.*expected'):
            find_beats(tmp_path / 'b.txt', p)
    with pytest.raises(DrumnbError, match='20 to 400'):
        find_beats('bpm=1000', p)
