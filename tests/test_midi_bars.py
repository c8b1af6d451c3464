"The MIDI that we write opens in bars, at the second; whatever tempo, start, time signature or pick-up."

from dataclasses import replace

import mido
import numpy as np
import pytest
from performances import performed

from drumnb.core import DrumnbError
from drumnb.midi_files import read_midi
from drumnb.notation import midi as md
from drumnb.transcription.score import make_score


def rock(beats, per_bar=4):
    "Kick on 1, snare elsewhere, hats on beats and between them."
    times, drums = [], []
    for i, (t, after) in enumerate(zip(beats, beats[1:])):
        times += [t, t, (t + after) / 2]
        drums += ['HH', 'SD' if i % per_bar else 'KD', 'HH']
    return performed(times, drums)


def scored(beats, positions, meter='4/4', per_bar=4):
    p = rock(beats, per_bar)
    return replace(p, score=make_score(p, np.c_[beats, positions], meter))


def bar_lines(path):
    "Ticks of the bar lines of a file, from its time signatures alone."
    track, at, signs = mido.MidiFile(path).tracks[0], 0, []
    for m in track:
        at += m.time
        if m.type == 'time_signature':
            signs.append((at, m.numerator, m.denominator))
    per_beat, lines = mido.MidiFile(path).ticks_per_beat, []
    for (start, n, unit), (end, *_) in zip(signs, [*signs[1:], (at + 1,)]):
        lines += range(start, end, per_beat * 4 * n // unit)
    return np.array(lines)


def kicks(path, pitch=36):
    track = mido.MidiFile(path).tracks[0]
    at = np.cumsum([m.time for m in track])
    return np.array([t for t, m in zip(at, track) if m.type == 'note_on' and m.velocity and m.note == pitch])


@pytest.mark.parametrize('start', [0.0, 0.0002, 0.02, 0.5, 1.0, 1.37, 7.1, 33.3])
@pytest.mark.parametrize('bpm', [47, 120, 203])
def test_downbeats_are_on_bar_lines_and_notes_at_their_seconds(tmp_path, start, bpm):
    p = scored(start + 60 / bpm * np.arange(33), np.arange(33) % 4 + 1)
    md.write_performance_midi(tmp_path / 'x.mid', p)
    midi, down = mido.MidiFile(tmp_path / 'x.mid'), kicks(tmp_path / 'x.mid')
    assert (down % (4 * midi.ticks_per_beat)).max() <= 4 and set(down) <= set(bar_lines(tmp_path / 'x.mid'))
    assert np.abs(read_midi(tmp_path / 'x.mid').onsets().times - p.onsets.times).max() < 1e-3
    md.write_quantised_midi(tmp_path / 'q.mid', p)
    assert kicks(tmp_path / 'q.mid').tolist() == [i * 4 * midi.ticks_per_beat for i in range(8)]  # bar 1 is bar 1


@pytest.mark.parametrize(
    'meter, per_bar, beat, sign',
    [
        ('3/4', 3, 0.5, (3, 4)),
        ('6/8', 2, 0.75, (6, 8)),
        ('12/8', 4, 0.6, (12, 8)),
        ('5/4', 5, 0.4, (5, 4)),
        ('7/8', 7, 0.3, (7, 8)),
        ('2/2', 2, 0.6, (2, 2)),
    ],
)
def test_the_time_signature_is_that_of_the_sheet_and_stands_once(tmp_path, meter, per_bar, beat, sign):
    n = 8 * per_bar + 1
    p = scored(0.5 + beat * np.arange(n), np.arange(n) % per_bar + 1, meter, per_bar)
    for name, write in (('x.mid', md.write_performance_midi), ('q.mid', md.write_quantised_midi)):
        write(tmp_path / name, p)
        signs = [m for m in mido.MidiFile(tmp_path / name).tracks[0] if m.type == 'time_signature']
        assert [(m.numerator, m.denominator) for m in signs] == [sign]
        assert set(kicks(tmp_path / name)) <= set(bar_lines(tmp_path / name))


def test_changing_bars_change_the_time_signature(tmp_path):
    positions = [1, 2, 3, 4, 1, 2, 3, 1, 2, 3, 4, 1, 2, 3, 4, 1]
    p = performed([0.5 + 0.5 * i for i, k in enumerate(positions) if k == 1], ['KD'] * positions.count(1))
    p = replace(p, score=make_score(p, np.c_[0.5 + 0.5 * np.arange(len(positions)), positions]))
    md.write_quantised_midi(tmp_path / 'q.mid', p)
    signs = [m.numerator for m in mido.MidiFile(tmp_path / 'q.mid').tracks[0] if m.type == 'time_signature']
    assert signs[:3] == [4, 3, 4] and set(kicks(tmp_path / 'q.mid')) <= set(bar_lines(tmp_path / 'q.mid'))


def test_swung_eighths_are_written_even_and_played_two_to_one(tmp_path):
    times = [k / 2 + part for k in range(16) for part in (0, 1 / 3)]
    p = performed(times, ['HH', 'KD'] * 16)
    p = replace(p, score=make_score(p, np.c_[0.5 * np.arange(17), np.arange(17) % 4 + 1]))
    assert p.score.swing and set(p.score.notes.parts) == {2}
    md.write_quantised_midi(tmp_path / 'q.mid', p)
    assert set(kicks(tmp_path / 'q.mid') % 1920) == {1280}


def test_an_hour_of_wandering_tempo_stays_within_a_millisecond(tmp_path):
    rng = np.random.default_rng(1)
    beats = 0.83 + np.cumsum(60 / (118 + 8 * np.sin(np.arange(7000) / 80) + 0.4 * rng.normal(size=7000)))
    p = scored(beats, np.arange(7000) % 4 + 1)
    md.write_performance_midi(tmp_path / 'x.mid', p)
    again = read_midi(tmp_path / 'x.mid').onsets()
    assert p.onsets.times[-1] > 3500 and np.abs(again.times - p.onsets.times).max() < 5e-4


def test_bars_that_begin_before_the_recording(tmp_path):
    p = scored(0.1 + 0.5 * np.arange(30), (np.arange(30) + 2) % 4 + 1)  # the first beat is a third one
    assert p.score.beats[0, 0] < 0
    md.write_performance_midi(tmp_path / 'x.mid', p)
    assert np.abs(np.sort(read_midi(tmp_path / 'x.mid').times) - p.onsets.times).max() < 1e-3
    score_bars = p.score.beats[p.score.downbeats, 0]
    ticks = mido.MidiFile(tmp_path / 'x.mid').ticks_per_beat * 4 * np.arange(len(score_bars))
    assert np.allclose(md.midi_bars(p.score, 1920).at(score_bars[1:]), ticks[1:], atol=2)


def test_a_pickup_completes_the_lead_in():
    assert md.lead_in(0.5, 0.5, 1, 4) == 3 and md.lead_in(2.0, 0.5, 1, 4) == 3 and md.lead_in(2.5, 0.5, 1, 4) == 7
    assert md.lead_in(0.0, 0.5, 1, 4) == 0


def test_a_pickup_is_a_short_first_bar_of_the_sheet_and_a_whole_one_of_the_performance(tmp_path):
    times = [0.5, 0.75, *(1 + 0.5 * np.arange(16))]
    p = performed(times, ['SD', 'SD', *['KD', 'HH', 'SD', 'HH'] * 4])
    p = replace(p, score=make_score(p, np.c_[0.5 * np.arange(20), (np.arange(20) + 2) % 4 + 1]))
    assert p.score.first_bar == 0
    md.write_quantised_midi(tmp_path / 'q.mid', p)
    signs = [m for m in mido.MidiFile(tmp_path / 'q.mid').tracks[0] if m.type == 'time_signature']
    assert [(m.numerator, m.denominator) for m in signs] == [(1, 4), (4, 4)]
    assert bar_lines(tmp_path / 'q.mid')[1:5].tolist() == kicks(tmp_path / 'q.mid').tolist()  # bar 1 is the second
    md.write_performance_midi(tmp_path / 'x.mid', p)
    assert set(kicks(tmp_path / 'x.mid') // 8) <= set(bar_lines(tmp_path / 'x.mid') // 8)
    assert np.abs(read_midi(tmp_path / 'x.mid').times - p.onsets.times).max() < 1e-3
    track, at = mido.MidiFile(tmp_path / 'x.mid').tracks[0], 0
    for m in track:
        at += m.time
        if m.type == 'marker':
            assert m.text == 'bar 1' and abs(at - kicks(tmp_path / 'x.mid')[0]) <= 4


def test_a_longer_first_bar_has_its_own_time_signature(tmp_path):
    positions = [1, 2, 3, 4, 5, *[1, 2, 3, 4] * 4, 1]
    p = performed(2 + 0.5 * np.arange(21), ['KD' if k == 1 else 'HH' for k in positions[:-1]])
    p = replace(p, score=make_score(p, np.c_[2 + 0.5 * np.arange(22), positions]))
    md.write_performance_midi(tmp_path / 'x.mid', p)
    assert set(kicks(tmp_path / 'x.mid')) <= set(bar_lines(tmp_path / 'x.mid'))


def test_without_a_score_there_are_seconds_and_no_bars(tmp_path):
    p = performed([0.313, 1.007, 59.9], ['KD', 'SD', 'HH'])
    md.write_performance_midi(tmp_path / 'x.mid', p)
    assert np.abs(read_midi(tmp_path / 'x.mid').times - p.onsets.times).max() < 3e-4
    assert 'time_signature' not in {m.type for m in mido.MidiFile(tmp_path / 'x.mid').tracks[0]}
    with pytest.raises(DrumnbError):
        md.write_quantised_midi(tmp_path / 'q.mid', p)
    assert not (tmp_path / 'q.mid').exists()


def test_velocities_channel_and_articulations(tmp_path):
    p = scored(0.5 + 0.5 * np.arange(9), np.arange(9) % 4 + 1)
    names = ['hat_open' if d == 'HH' else None for d in p.onsets.names]
    object.__setattr__(p, 'articulations', names)
    for write in (md.write_performance_midi, md.write_quantised_midi):
        write(tmp_path / 'x.mid', p)
        notes = [m for m in mido.MidiFile(tmp_path / 'x.mid').tracks[0] if m.type == 'note_on' and m.velocity]
        assert {m.channel for m in notes} == {9} and {m.note for m in notes} == {36, 38, 46}
        expected = np.sort(np.clip(np.rint(p.onsets.velocities * 127), 1, 127))
        assert sorted(m.velocity for m in notes) == expected.tolist()
