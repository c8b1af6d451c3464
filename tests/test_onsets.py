"""Onsets: containers and files."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError
from drumnb.drums import DRUMS3, DRUMS5, DRUMS8
from drumnb.midi_files import read_midi, write_midi
from drumnb.onset_files import read_csv, read_jams, read_labels, read_onsets, write_csv, write_jams, write_labels
from drumnb.onsets import Hits, Onsets

GOLDEN = Path(__file__).parent / 'golden'
strokes = st.lists(st.tuples(st.floats(0, 30), st.integers(0, 4), st.integers(1, 127)), max_size=40)
quick = settings(max_examples=30, deadline=None)


def made(strokes):
    t, d, v = zip(*strokes) if strokes else ((), (), ())
    return Onsets.make(t, d, np.array(v) / 127)


def one_line(error, *words):
    text = str(error.value)
    assert '\n' not in text and all(w in text for w in words), text


# --- containers


@quick
@given(strokes)
def test_onsets_are_sorted_and_complete(s):
    o = made(s)
    assert list(zip(o.times, o.drums)) == sorted((t, d) for t, d, _ in s)
    assert sum(o.counts().values()) == len(o) == sum(len(o.of(d)) for d in DRUMS5)


@quick
@given(strokes, st.floats(0, 30))
def test_cut_and_merge_is_the_whole(s, cut):
    o = made(s)
    again = o.crop(0, cut).merge(o.crop(cut, 100).shift(cut))
    assert all(np.allclose(again.of(d), o.of(d), rtol=0, atol=1e-9) for d in DRUMS5)
    assert np.allclose(np.sort(again.velocities), np.sort(o.velocities))


@quick
@given(strokes)
def test_reduction_keeps_what_the_vocabulary_has(s):
    o = made(s)
    three = o.reduce(3)
    assert three.counts() == dict(BD=o.counts()['KD'], SD=o.counts()['SD'], HH=o.counts()['HH'])
    assert three.reduce(DRUMS3).equals(three)


def test_onsets_travel_to_other_processes():
    o = Onsets.make([1, 0], ['SD', 'KD'], [0.5, 1])
    assert pickle.loads(pickle.dumps(o)).equals(o)
    with pytest.raises(AttributeError):
        o.times = np.zeros(2)


@pytest.mark.parametrize(
    'times, drums, velocities, word',
    [
        ([-0.1], ['KD'], None, 'time -0.1'),
        ([np.nan], ['KD'], None, 'time nan'),
        ([np.inf], [0], None, 'time inf'),
        ([0.1], ['QQ'], None, "'QQ'"),
        ([0.1], [5], None, 'indices'),
        ([0.1], [-1], None, 'indices'),
        ([0.1], [0], [1.5], 'velocity 1.5'),
        ([0.1], [0], [np.nan], 'velocity nan'),
        ([0.1, 0.2], [0], None, 'as many'),
    ],
)
def test_bad_onsets_are_refused(times, drums, velocities, word):
    with pytest.raises(DrumnbError) as e:
        Onsets.make(times, drums, velocities)
    one_line(e, word)


# --- files


@quick
@given(strokes)
def test_files_give_back_what_was_written(tmp_path_factory, s):
    o, d = made(s), tmp_path_factory.mktemp('files')
    write_csv(d / 'a.csv', o)
    write_jams(d / 'a.jams', o, duration=31)
    write_labels(d / 'a.txt', o)
    write_midi(d / 'a.mid', o)
    assert np.allclose(read_csv(d / 'a.csv').times, o.times, rtol=0, atol=1e-6)
    assert np.allclose(np.sort(read_csv(d / 'a.csv').velocities), np.sort(o.velocities), rtol=0, atol=1e-4)
    assert read_jams(d / 'a.jams').equals(o, atol=1e-6)
    midi = read_midi(d / 'a.mid', allow_empty=True).onsets()
    assert np.allclose(midi.times, o.times, rtol=0, atol=0.5 / 1920 + 1e-9)
    assert np.allclose(np.sort(midi.velocities), np.sort(o.velocities), atol=1e-6)
    for back in (read_csv(d / 'a.csv'), read_labels(d / 'a.txt'), midi):
        assert back.counts() == o.counts()


@quick
@given(st.sampled_from([DRUMS3, DRUMS5, DRUMS8]), st.data())
def test_midi_keeps_every_vocabulary(tmp_path_factory, vocabulary, data):
    drums = data.draw(st.lists(st.sampled_from(vocabulary), min_size=1, max_size=12))
    o = Onsets.make(np.arange(len(drums)) * 0.25, drums, vocabulary=vocabulary)
    path = tmp_path_factory.mktemp('midi') / 'a.mid'
    write_midi(path, o, bpm=93.7)
    assert read_onsets(path, vocabulary).names == o.names


def test_roland_file_written_byte_by_byte():
    "Two tracks, a tempo change, running status, note-off as velocity 0, a melodic note, pitches beyond General MIDI."
    h = read_midi(GOLDEN / 'roland.mid', 'td11')
    assert h.times.tolist() == [0, 0, 0.5, 1, 2]
    assert h.pitches.tolist() == [22, 36, 58, 38, 55]
    assert np.allclose(h.velocities * 127, [64, 127, 32, 96, 1])
    assert h.articulations() == ['hat_closed', 'kick', 'tom_floor', 'snare', 'crash']
    assert h.onsets().names == ['KD', 'HH', 'TT', 'SD', 'CY']
    with pytest.raises(DrumnbError) as e:
        read_midi(GOLDEN / 'roland.mid')
    one_line(e, 'roland.mid', '22 (once)', 'gm')
    assert read_midi(GOLDEN / 'roland.mid', unknown='drop').onsets().names == ['KD', 'SD', 'CY']


def test_midi_times_equal_pretty_midi(shared_data):
    import pretty_midi

    files = sorted((shared_data / 'groove').rglob('*.mid'))[:3] + sorted(
        (shared_data / 'rwc-annotations').rglob('*RWC_P00[14].mid')
    )
    assert len(files) == 5
    for path in files:
        midi = pretty_midi.PrettyMIDI(str(path))
        theirs = np.sort([n.start for i in midi.instruments if i.is_drum for n in i.notes])
        ours = read_midi(path, 'td11' if 'groove' in str(path) else 'gm').times
        nearest = np.abs(theirs[:, None] - ours).min(1)  # pretty_midi drops notes that are never switched off
        assert nearest.max() < 1e-9 and 0 <= len(ours) - len(theirs) <= 2


def test_mdb_text():
    o = read_labels(GOLDEN / 'mdb_excerpt.txt', 'mdb')
    assert o.names == ['KD', 'HH', 'SD', 'HH', 'SD', 'TT', 'HH', 'CY']
    assert o.times[3] == 0.8415
    assert read_labels(GOLDEN / 'mdb_excerpt.txt', 'mdb', 3).names == ['BD', 'HH', 'SD', 'HH', 'SD', 'HH']


def test_jams_package_accepts_our_files(tmp_path):
    jams = pytest.importorskip('jams')
    write_jams(tmp_path / 'a.jams', Onsets.make([0.5, 1.25], ['KD', 'CY'], [0.5, 1]), duration=3)
    j = jams.load(str(tmp_path / 'a.jams'), validate=True, strict=True)
    assert [(d.time, d.value) for d in j.annotations[0].data] == [(0.5, 'KD'), (1.25, 'CY')]
    j.save(str(tmp_path / 'b.jams'))  # and we read what the package writes
    assert read_jams(tmp_path / 'b.jams').names == ['KD', 'CY']


@pytest.mark.parametrize(
    'name, text, words',
    [
        ('a.txt', '0.1 KD\nzero SD\n', ['a.txt, line 2', "'zero'"]),
        ('a.txt', '0.1\n', ['a.txt, line 1', 'seconds label']),
        ('a.txt', '0.1 KD 3\n', ['a.txt, line 1', 'seconds label']),
        ('a.txt', '\n# x\n0.1 QQ\n', ['a.txt, line 3', "'QQ'"]),
        ('a.txt', '-0.1 KD\n', ['a.txt, line 1', 'from 0']),
        ('a.txt', 'nan KD\n', ['a.txt, line 1', 'from 0']),
        ('a.txt', 'inf KD\n', ['line 1']),
        ('a.csv', 'onset_s,drum,velocity\n0.1,KD,2\n', ['a.csv, line 2', 'from 0 to 1']),
        ('a.csv', 'onset_s,drum\n0.1,XX\n', ['a.csv, line 2', "'XX'"]),
        ('a.csv', 'onset_s,drum\n-1,KD\n', ['a.csv, line 2', 'from 0']),
        ('a.csv', 'onset_s,drum\nnan,KD\n', ['a.csv, line 2']),
        ('a.csv', '', ['a.csv', 'expected onset_s, drum']),
        ('a.jams', '{"annotations"', ['a.jams', 'not a JSON']),
        ('a.jams', '[]', ['a.jams', 'tag_open']),
        (
            'a.jams',
            '{"annotations": [{"namespace": "tag_open", "data": [{"time": -1, "value": "KD"}]}]}',
            ['a.jams', 'time -1'],
        ),
        ('a.jams', '{"annotations": [{"namespace": "tag_open", "data": [{"time": 1}]}]}', ['a.jams']),
        ('a.mid', '', ['a.mid', 'not a whole MIDI file']),
        ('a.mid', 'RIFF, not MIDI at all', ['a.mid', 'not a whole MIDI file']),
        ('a.xyz', '', ['a.xyz', '.mid, .txt, .csv or .jams']),
    ],
)
def test_bad_files_are_one_line_that_names_them(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DrumnbError) as e:
        read_onsets(tmp_path / name)
    one_line(e, *words)


@pytest.mark.parametrize('name', ['absent.mid', 'absent.txt', 'absent.csv', 'absent.jams'])
def test_absent_files(tmp_path, name):
    with pytest.raises(DrumnbError) as e:
        read_onsets(tmp_path / name)
    one_line(e, name, 'no such file')


def test_midi_cut_off_anywhere_is_refused(tmp_path):
    whole = (GOLDEN / 'roland.mid').read_bytes()
    for n in range(len(whole)):
        (tmp_path / 'cut.mid').write_bytes(whole[:n])
        with pytest.raises(DrumnbError) as e:
            read_midi(tmp_path / 'cut.mid', 'td11')
        one_line(e, 'cut.mid')


def test_binary_is_not_text(tmp_path):
    (tmp_path / 'a.txt').write_bytes(bytes(range(128, 256)))
    with pytest.raises(DrumnbError) as e:
        read_labels(tmp_path / 'a.txt')
    one_line(e, 'a.txt', 'not a text file')


def test_midi_without_drums_names_the_remedy(tmp_path):
    import mido

    m = mido.MidiFile()
    m.tracks.append(mido.MidiTrack([mido.Message('note_on', channel=c, note=60, velocity=9, time=1) for c in (0, 4)]))
    m.save(tmp_path / 'piano.mid')
    with pytest.raises(DrumnbError) as e:
        read_midi(tmp_path / 'piano.mid')
    one_line(e, 'piano.mid', 'no drum notes on channel 10', 'notes on 1, 5', 'put the drums on channel 10')


# --- hits


def test_hits_cut_and_merge():
    h = Hits.make([0, 1, 2], [36, 38, 46], [1, 0.5, 0.2])
    assert h.crop(1, 3).times.tolist() == [0, 1] and h.shift(-1).pitches.tolist() == [38, 46]
    assert h.merge(Hits.make([0.5], [42])).pitches.tolist() == [36, 42, 38, 46]
    with pytest.raises(DrumnbError):
        h.merge(Hits.make([0.5], [42], source='td11'))
