"""Beats from onsets: compound meters, hints, rounded tempi, confidence."""

import numpy as np
import pytest

from drumnb.core import DrumnbError
from drumnb.onsets import Onsets
from drumnb.transcription.meter import beats_of_onsets, doubts, find_meter, number_beats, read_hints, steady_beats
from drumnb.transcription.score import make_score
from drumnb.transcription.transcribe import Transcription


def rock(bpm, bars, start=0.4):
    beat, rng = 60 / bpm, np.random.default_rng(0)
    rows = [
        (start + (4 * m + k + h) * beat, d) for m in range(bars) for k in range(4) for h, d in ((0, 'HH'), (0.5, 'HH'))
    ]
    rows += [(start + (4 * m + k) * beat, 'SD' if k % 2 else 'KD') for m in range(bars) for k in range(4)]
    times, drums = zip(*sorted(rows))
    return Onsets.make(np.maximum(0, np.array(times) + rng.normal(0, 0.004, len(times))), drums)


def on_two_and_four(onsets, beats, meter='4/4'):
    score = make_score(Transcription(onsets, np.ones(len(onsets)), onsets.times[-1] + 1), beats, meter)
    snares = score.notes[score.notes.drum == 'SD']
    return ((snares.tick == 0) & snares.beat.isin([1, 3])).mean()


@pytest.mark.parametrize('bpm', [75, 104.3, 138])
def test_straight_rock_is_found_with_its_bars(bpm):
    onsets = rock(bpm, 20)
    found = beats_of_onsets(onsets)
    assert found.signature == '4/4' and abs(60 / np.median(np.diff(found.beats[:, 0])) / bpm - 1) < 0.02
    assert on_two_and_four(onsets, found.beats) > 0.95


@pytest.mark.parametrize('real, given', [(104.3, 104), (99.6, 100)])
def test_a_click_at_a_rounded_tempo_stays_on_the_beat(real, given):
    onsets = rock(real, 64)
    beats = number_beats(steady_beats(given, onsets, onsets.times[-1] + 1), onsets)
    assert on_two_and_four(onsets, beats) > 0.95


@pytest.mark.parametrize('bpm', [45, 60, 70])
def test_dotted_quarters_are_the_beats_of_six_eight(bpm):
    eighth = 20 / bpm
    rows = [
        ((6 * m + k) * eighth + 0.4, d)
        for m in range(16)
        for k in range(6)
        for d in ('HH', {0: 'KD', 3: 'SD'}.get(k))
        if d
    ]
    onsets = Onsets.make(*zip(*rows))
    beats = beats_of_onsets(onsets, '6/8').beats
    assert abs(60 / np.median(np.diff(beats[:, 0])) / bpm - 1) < 0.04
    near = np.abs(onsets.of('SD')[:, None] - beats[beats[:, 1] == 2, 0]).min(1)
    assert (near < 0.04).mean() > 0.9


def test_hints_are_followed_and_checked():
    onsets = rock(120, 16)
    half = beats_of_onsets(onsets, tempo='half').beats
    assert abs(np.median(np.diff(half[:, 0])) - 1) < 0.03
    late = onsets.of('SD')[0]
    pinned = beats_of_onsets(onsets, first_beat=late).beats
    assert np.abs(pinned[pinned[:, 1] == 1, 0] - late).min() < 0.03
    assert read_hints('tempo=half,first=1.37') == dict(tempo='half', first_beat=1.37)
    for wrong in ('tempo=slow', 'first=soon', 'tempo=900', 'tempo=100,last=3'):
        with pytest.raises(DrumnbError):
            read_hints(wrong)


def test_few_onsets_and_none_still_give_beats():
    for n in (0, 1, 5):
        onsets = Onsets.make(np.arange(n) * 0.5, ['KD'] * n)
        found = find_meter(None, Transcription(onsets, np.ones(n), 3.0))
        assert len(found.beats) >= 2 and found.beats[0, 1] >= 1


def test_low_confidence_names_the_remedy():
    assert '--tempo' in doubts(0.3, 0.9, 60) and '--first-beat' in doubts(0.9, 0.3, 60) and not doubts(0.9, 0.9, 60)
