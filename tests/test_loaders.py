"""The data sets of the thesis on their fixtures, on the published annotations, and with broken files."""

import gzip
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from drumnb.core import DrumnbError
from drumnb.datasets.adtof_yt import (
    parse_tensor,
    read_elements,
    read_records,
    serialise_tensor,
    snapshot_files,
    write_records,
    write_snapshot,
)
from drumnb.datasets.core import assert_disjoint_groups
from drumnb.datasets.registry import get_dataset, write_fixture
from drumnb.drums import DRUM_TABLE
from drumnb.spectrograms import LogSpec, MelSpec

SIZES = dict(
    mdb=dict(seconds=0.5),
    enst=dict(seconds=0.5),
    enst_mdb=dict(seconds=0.5),
    groove=dict(performances=3, seconds=1.0),
    egmd=dict(performances=3, seconds=1.0),
    slakh=dict(songs=3, seconds=1.0),
    adtof_yt=dict(windows=2),
    sadtp=dict(songs=16, seconds=1.0),
    rwc=dict(songs=10, seconds=2.0),
    music=dict(recordings=8),
    folder=dict(seconds=2.0),
)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "The fixture of each data set, written once."
    home = tmp_path_factory.mktemp('fixtures')
    return {name: write_fixture(name, home / name, **size) for name, size in SIZES.items()}


@pytest.mark.parametrize('name', SIZES)
def test_fixtures_are_whole_and_give_onsets_and_sound(made, name):
    ds = get_dataset(name, made[name])
    report = ds.validate()
    assert report.ok, report
    assert report.counts['tracks'] == len(ds.tracks()) > 0
    assert (sum(report.counts['onsets'].values()) > 0) == (name != 'music')  # the one in which nobody drums
    assert_disjoint_groups(ds.tracks())
    track = ds.tracks()[0]
    assert pickle.loads(pickle.dumps(track)).fingerprint() == track.fingerprint()
    if name in ('groove', 'adtof_yt'):
        return  # rendered, which is slow; features only
    sound = track.audio()
    assert sound.dtype == np.float32 and abs(len(sound) / 44100 - track.duration) < 0.02 and np.isfinite(sound).all()


@pytest.mark.parametrize(
    'name,silent', [('rwc', 'rwc-annotations/audio'), ('sadtp', 'SADTP'), ('mdb', 'MDB Drums/audio')]
)
def test_annotations_without_recordings_pass_on_request_only(tmp_path, name, silent):
    folder = write_fixture(name, tmp_path, **SIZES[name])
    for wav in (tmp_path / silent).rglob('*.wav'):
        wav.unlink()
    ds = get_dataset(name, folder)
    assert not ds.validate().ok
    report = ds.validate(recordings=False)
    assert report.ok and any('annotations only' in n for n in report.notes)


def test_a_folder_refuses_what_stays_alone_and_names_the_file(tmp_path):
    home = write_fixture('folder', tmp_path)
    track = get_dataset(f'folder:{home}').tracks('train')[0]
    annotation, recording = track.files()['annotation'], track.files()['audio']

    def refused(words=''):
        with pytest.raises(DrumnbError) as e:
            get_dataset(f'folder:{home}{words}').tracks('test')
        assert '\n' not in str(e.value)
        return str(e.value)

    annotation.rename(annotation.with_stem('take1'))
    assert 'take 1.wav: no annotation; expected take 1.csv' in refused()
    annotation.with_stem('take1').rename(annotation)
    recording.rename(tmp_path / 'elsewhere.wav')
    assert 'take 1.csv: an annotation without a recording' in refused()
    (tmp_path / 'elsewhere.wav').rename(recording)
    (home / 'take 1.txt').write_text('0.5 KD\n')
    assert 'take 1.txt: an annotation without' in refused()  # the one beside the recording is taken
    (home / 'take 1.txt').rename(annotation.with_suffix('.txt'))
    assert '2 annotations' in refused()
    annotation.with_suffix('.txt').unlink()
    recording.with_suffix('.flac').write_bytes(b'')
    assert 'take 1.wav: take 1.flac has the same name' in refused()
    recording.with_suffix('.flac').unlink()
    assert [t.id for t in get_dataset(f'folder:{home}').tracks('test')] == ['test/take 3']
    annotation.write_text('onset_s,drum\n0.5,boom\n')
    report = get_dataset(f'folder:{home}').validate()
    assert not report.ok and 'take 1.csv, line 2' in report.problems[0]
    for wav in home.rglob('*.wav'):
        wav.unlink()
    assert 'no recording in it' in refused()
    assert 'no such folder' in refused('/nowhere')


def test_a_folder_trains_and_tests_by_its_name(tmp_path):
    from drumnb.experiments.experiment import all_tracks
    from drumnb.experiments.recipes import experiment

    name = f'folder:{write_fixture("folder", tmp_path)}'
    exp = experiment(recipe='tiny', train=name, validation=name, test=name)
    assert {role: [t.id for t in sets[name]] for role, sets in all_tracks(exp).items()} == dict(
        train=['train/take 1'], validation=['validation/take 2'], test=['test/take 3']
    )
    assert '/' not in exp.run and 'folder.folder' in exp.run
    with pytest.raises(DrumnbError, match='in train of .* and test|in test of .* and train'):
        all_tracks(experiment(recipe='tiny', train=name, validation=name, test=f'{name}@all'))


# published annotations

COUNTS = dict(mdb=(23, 7994), groove=(1150, None), rwc=(100, None), sadtp=(15, None))


@pytest.mark.parametrize('name', ['mdb', 'sadtp'])
def test_real_annotations_validate_with_their_counts(shared_data, monkeypatch, name):
    monkeypatch.setenv('DRUMNB_DATA', str(shared_data))
    report = get_dataset(name).validate(recordings=False)
    assert report.ok, report
    tracks, onsets = COUNTS[name]
    assert report.counts['tracks'] == tracks
    assert onsets in (None, sum(report.counts['onsets'].values()))
    if name == 'sadtp':
        assert '1 of the 16 songs missing' in report.notes


@pytest.mark.parametrize('name', ['groove', 'rwc'])
def test_real_indexes_are_whole(shared_data, monkeypatch, name):
    monkeypatch.setenv('DRUMNB_DATA', str(shared_data))
    report = get_dataset(name).validate(deep=False, recordings=False)
    assert report.ok and report.counts['tracks'] == COUNTS[name][0]


def test_a_real_score_has_the_drums_of_all_its_parts(shared_data, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(shared_data))
    all_parts, one = (get_dataset(n).track('RWC_P028').hits() for n in ('rwc', 'rwc:channel10'))
    assert (len(one), len(all_parts)) == (777, 777 + 3372)
    assert len(get_dataset('rwc').track('RWC_P071').onsets()) == 0


# mappings


def test_roland_and_general_midi_classes_are_those_of_the_thesis():
    roland = dict(
        KD='35 36', SD='37 38 39 40', TT='41 43 45 47 48 50 58', HH='22 26 42 44 46 54', CY='49 51 52 53 55 56 57 59'
    )
    for source, leave in (('td11', ()), ('gm', (22, 26, 58))):
        for drum, pitches in roland.items():
            expected = {int(p) for p in pitches.split()} - set(leave)
            assert {int(label) for s, label, _, c in DRUM_TABLE if s == source and c == drum} == expected


def test_egmd_and_groove_share_groups(made):
    groups = [{t.group for t in get_dataset(n, made[n]).tracks()} for n in ('egmd', 'groove')]
    assert groups[0] == groups[1]
    assert len(get_dataset('egmd:kits=1', made['egmd']).tracks()) * 2 == len(get_dataset('egmd', made['egmd']).tracks())


def test_slakh_sums_all_drum_stems_that_were_rendered(made):
    slakh = get_dataset('slakh', made['slakh'])
    for track in slakh.tracks():
        stems = track.stems()
        assert np.abs(stems['drums'] + stems['accompaniment'] - track.audio()).max() < 1e-3
    rendered = [len([f for f in slakh.files(t) if f.startswith('notes')]) for t in slakh.tracks()]
    assert sorted(rendered) == [1, 2, 2]


def test_rwc_folds_test_each_song_once(made):
    tests = [t.id for fold in range(3) for t in get_dataset(f'rwc:folds=3,fold={fold}', made['rwc']).tracks('test')]
    assert sorted(tests) == sorted({t.id for t in get_dataset('rwc', made['rwc']).tracks()})


# TensorFlow's files


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_tensors_survive_a_round_trip(data):
    dtype = data.draw(st.sampled_from([np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_]))
    x = data.draw(arrays(dtype, array_shapes(max_dims=3, max_side=5)))
    y = parse_tensor(serialise_tensor(x))
    assert (
        y.dtype == x.dtype and y.shape == x.shape and np.array_equal(x, y, equal_nan=np.issubdtype(dtype, np.floating))
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=5), st.booleans())
def test_records_survive_a_round_trip(tmp_path_factory, records, compress):
    path = tmp_path_factory.mktemp('records') / 'x'
    write_records(path, records, compress)
    assert list(read_records(path, check=True)) == records


def test_a_record_has_the_published_framing(tmp_path):
    write_records(tmp_path / 'x', [b'\x0a\x00'])
    data = (tmp_path / 'x').read_bytes()
    assert data[:8] == (2).to_bytes(8, 'little') and data[12:14] == b'\x0a\x00' and len(data) == 18


def test_other_tensors_of_an_element_are_passed_over(tmp_path):
    rows = [
        [np.float32(0.5) * np.ones((400, 84, 1), np.float32), np.ones(400, np.float32), np.zeros((400, 5), np.float32)]
    ] * 2
    write_snapshot(tmp_path, rows)
    (path,) = snapshot_files(tmp_path)
    pairs = list(read_elements(path, 3, check=True))
    assert len(pairs) == 2 and pairs[0][0].shape == (400, 84) and pairs[0][1].shape == (400, 5)
    with pytest.raises(DrumnbError, match='within an element'):
        list(read_elements(path, 4))


def test_features_only_data_say_what_they_cannot(made):
    track = get_dataset('adtof_yt', made['adtof_yt']).tracks()[0]
    with pytest.raises(DrumnbError, match='no audio'):
        track.audio()
    with pytest.raises(DrumnbError, match='mel'):
        track.ds.load_features(track, MelSpec())
    assert track.ds.load_features(track, LogSpec()).shape == (800, 84)


# damaged files


def test_gzip_garbage_is_one_line(tmp_path):
    (tmp_path / 'x').write_bytes(gzip.compress(b'no records here')[:-4])
    with pytest.raises(DrumnbError, match='damaged or cut off'):
        list(read_records(tmp_path / 'x'))


# drums that nobody annotated


def test_unannotated_drums_are_not_scored(monkeypatch):
    from types import SimpleNamespace

    from drumnb.experiments import experiment, recipes
    from drumnb.experiments.features import Entry
    from drumnb.onsets import Onsets

    entry = Entry('a', 'toy', 'test', 200, {}, {}, Onsets.make([0.5, 1.0], ['KD', 'SD']), (), annotated=('KD', 'SD'))
    loud = np.zeros((200, 5), np.float32)
    loud[50] = loud[100] = 1.0  # hears all five drums twice
    monkeypatch.setattr(experiment, 'store_activations', lambda *a: loud)
    rows = experiment.score_model(
        recipes.Experiment(decoding=recipes.Decoding(protocols=('onset@50',))),
        None,
        None,
        {'toy': SimpleNamespace(entries=[entry])},
        0.5,
    )
    assert sorted(rows['drum']) == ['KD', 'SD'] and rows[['tp', 'fp', 'fn']].sum().tolist() == [2, 2, 0]
