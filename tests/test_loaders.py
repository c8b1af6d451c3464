"""The data sets of the thesis on their stand-ins, on the annotations we hold, and with broken files."""

import gzip
import io
import pickle
import tarfile
import zipfile

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
from drumnb.datasets.core import assert_disjoint_groups, fetch, get_dataset, unpack_safely, write_standin
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
)


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    "The stand-in of each data set, written once."
    home = tmp_path_factory.mktemp('standins')
    return {name: write_standin(name, home / name, **size) for name, size in SIZES.items()}


@pytest.mark.parametrize('name', SIZES)
def test_stand_ins_are_whole_and_give_onsets_and_sound(made, name):
    ds = get_dataset(name, made[name])
    report = ds.validate()
    assert report.ok, report
    assert report.counts['tracks'] == len(ds.tracks()) > 0 and sum(report.counts['onsets'].values()) > 0
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
    folder = write_standin(name, tmp_path, **SIZES[name])
    for wav in (tmp_path / silent).rglob('*.wav'):
        wav.unlink()
    ds = get_dataset(name, folder)
    assert not ds.validate().ok
    report = ds.validate(recordings=False)
    assert report.ok and any('annotations only' in n for n in report.notes)


# what we hold

HELD = dict(mdb=(23, 7994), groove=(1150, None), rwc=(100, None), sadtp=(15, None))


@pytest.mark.parametrize('name', ['mdb', 'sadtp'])
def test_real_annotations_validate_with_their_counts(shared_data, monkeypatch, name):
    monkeypatch.setenv('DRUMNB_DATA', str(shared_data))
    report = get_dataset(name).validate(recordings=False)
    assert report.ok, report
    tracks, onsets = HELD[name]
    assert report.counts['tracks'] == tracks
    assert onsets in (None, sum(report.counts['onsets'].values()))
    if name == 'sadtp':
        assert '1 of the 16 songs missing' in report.notes


@pytest.mark.parametrize('name', ['groove', 'rwc'])
def test_real_indexes_are_whole(shared_data, monkeypatch, name):
    monkeypatch.setenv('DRUMNB_DATA', str(shared_data))
    report = get_dataset(name).validate(deep=False, recordings=False)
    assert report.ok and report.counts['tracks'] == HELD[name][0]


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
        assert np.abs(stems['drums'] + stems['rest'] - track.audio()).max() < 1e-3
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


# downloads and archives


@pytest.mark.parametrize('name', ['../x', '/x', 'a/../../x', '..\\x', 'C:\\x'])
@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz'])
def test_archives_cannot_write_outside(tmp_path, name, kind):
    path = tmp_path / f'evil.{kind}'
    if kind == 'zip':
        with zipfile.ZipFile(path, 'w') as z:
            z.writestr('fine', 'x')
            z.writestr(name, 'x')
    else:
        with tarfile.open(path, 'w:gz' if kind.endswith('gz') else 'w') as t:
            t.addfile(tarfile.TarInfo('fine'), io.BytesIO())
            t.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(DrumnbError, match='outside its folder'):
        unpack_safely(path, tmp_path / 'in' / 'side')
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_links_in_archives_are_refused(tmp_path):
    link = zipfile.ZipInfo('link')
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / 'l.zip', 'w') as z:
        z.writestr(link, '/etc')
    with pytest.raises(DrumnbError, match='a link'):
        unpack_safely(tmp_path / 'l.zip', tmp_path / 'out')


def test_a_download_resumes_and_is_checked(tmp_path):
    import hashlib

    data = bytes(range(256)) * 5000
    (tmp_path / 'set.bin').write_bytes(data)
    url, md5 = (tmp_path / 'set.bin').as_uri(), 'md5:' + hashlib.md5(data).hexdigest()
    (tmp_path / 'home').mkdir()
    (tmp_path / 'home' / 'set.bin.part').write_bytes(data[:1000])
    assert fetch(url, md5, tmp_path / 'home').read_bytes() == data
    (tmp_path / 'set.bin').unlink()
    assert fetch(url, md5, tmp_path / 'home').read_bytes() == data  # there already: not asked for again
    (tmp_path / 'home2').mkdir()
    (tmp_path / 'home2' / 'set.bin.part').write_bytes(b'something else')
    (tmp_path / 'set.bin').write_bytes(data)
    with pytest.raises(DrumnbError, match='not the published file'):
        fetch(url, md5, tmp_path / 'home2')
    assert fetch(url, md5, tmp_path / 'home2').read_bytes() == data  # a bad beginning is thrown away


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
        recipes.Experiment(protocols=('onset@50',)), None, None, {'toy': SimpleNamespace(entries=[entry])}, 0.5
    )
    assert sorted(rows['drum']) == ['KD', 'SD'] and rows[['tp', 'fp', 'fn']].sum().tolist() == [2, 2, 0]
