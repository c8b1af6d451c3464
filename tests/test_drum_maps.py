"Maps of drum modules and samplers: read, written, or one's own."

from dataclasses import replace

import mido
import numpy as np
import pytest
from performances import performed

from drumnb.core import DrumnbError
from drumnb.drums import ARTICULATIONS, DRUMS5, FULL_KIT, MIDI_PITCH, articulation, classify, drum_maps, pitch_of
from drumnb.midi_files import write_midi
from drumnb.notation import formats as fm
from drumnb.notation import midi as md
from drumnb.onset_files import read_onsets
from drumnb.onsets import Onsets
from drumnb.transcription.score import make_score


@pytest.mark.parametrize(
    'name, pitches',
    [
        (
            'td17',
            dict(kick=36, snare=38, sidestick=37, hat_closed=42, hat_open=46, hat_pedal=44, tom_floor=43, ride=51),
        ),
        ('alesis', dict(kick=36, snare_rim=40, tom_high=48, tom_mid=45, tom_floor=43, crash=49)),
        ('dtx', dict(snare=38, tom_mid=47, tom_floor=43, hat_open=46, ride_bell=53)),
        ('ezdrummer', dict(hat_closed=22, hat_open=24, hat_pedal=21, crash=49)),
        ('superior', dict(hat_closed=22, ride=51, china=52)),
        ('addictive', dict(snare=38, sidestick=42, hat_closed=52, hat_open=55, tom_floor=65, crash=77, ride=60)),
        ('ssd', dict(hat_closed=61, hat_open=63, hat_pedal=72, ride=52)),
        ('guitar_pro', dict(kick=36, crash=49, china=52)),
    ],
)
def test_known_pitches(name, pitches):
    assert {a: pitch_of(a, name) for a in pitches} == pitches
    assert all(articulation(p, name) == a for a, p in pitches.items())


def test_edges_and_half_open_hats_are_read():
    assert classify([22, 26], 'td17') == classify([23, 21], 'alesis') == classify([78, 79], 'dtx') == ['HH', 'HH']
    assert classify([91, 92, 93, 98], 'guitar_pro') == ['SD', 'HH', 'CY', 'CY']
    assert classify([53, 60, 36], 'kontakt') == [None, None, 'KD']


@pytest.mark.parametrize('name', drum_maps())
def test_what_is_written_is_read_back(tmp_path, name):
    o = Onsets.make(np.arange(5) / 2, DRUMS5)
    write_midi(tmp_path / 'x.mid', o, source=name)
    assert read_onsets(tmp_path / 'x.mid', source=name).names == list(DRUMS5)
    for a in FULL_KIT:
        assert articulation(pitch_of(a, name), name) in ARTICULATIONS
        assert classify([pitch_of(a, name)], name) == classify([MIDI_PITCH[a]], 'gm')


def test_a_map_of_ones_own_in_and_out(tmp_path):
    (tmp_path / 'mine.csv').write_text('pitch,articulation\n1,kick\n2,snare\n3,tom_mid\n4,hat_closed\n5,crash\n')
    (tmp_path / 'mine.yml').write_text('1: KD\n2: 38\n3: tom_mid\n4: HH\n5: CY\n')
    times = np.arange(10) * 0.5
    p = performed(times, ['KD', 'SD', 'TT', 'HH', 'CY'] * 2)
    p = replace(p, score=make_score(p, np.c_[times, np.arange(10) % 4 + 1]))
    for own in ('mine.csv', 'mine.yml'):
        for write in (md.write_performance_midi, md.write_quantised_midi):
            write(tmp_path / 'x.mid', p, source=str(tmp_path / own))
            track = mido.MidiFile(tmp_path / 'x.mid').tracks[0]
            assert [m.note for m in track if m.type == 'note_on' and m.velocity] == [1, 2, 3, 4, 5] * 2
        assert read_onsets(tmp_path / 'x.mid', source=str(tmp_path / own)).names == p.onsets.names
    fm.write_formats(p, tmp_path / 'y', 'mid', midi_map=str(tmp_path / 'mine.csv'))
    assert read_onsets(tmp_path / 'y.mid', source=str(tmp_path / 'mine.csv')).names == p.onsets.names


@pytest.mark.parametrize(
    'name, text, words',
    [
        ('a.csv', '12,tuba\n', "a.csv: 'tuba' is no articulation"),
        ('a.csv', '12,99\n', "a.csv: '99'"),
        ('a.yaml', '[1, 2]', 'a.yaml'),
        ('a.yaml', '{{{', 'a.yaml'),
        ('a.csv', '', 'no pitch for kick'),
    ],
)
def test_a_bad_map_is_one_line(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DrumnbError, match=words) as e:
        pitch_of('KD', str(tmp_path / name))
    assert '\n' not in str(e.value)


def test_a_map_that_does_not_exist_names_those_that_do():
    for name in ('td99', 'no/such.csv'):
        with pytest.raises(DrumnbError, match='td17.*addictive'):
            pitch_of('KD', name)
