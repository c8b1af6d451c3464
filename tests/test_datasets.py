"""Data sets: names and options, tracks in worker processes, reports, MDB Drums and Groove on fixtures and real data."""

import multiprocessing
import shutil
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError
from drumnb.datasets.core import Track, assert_disjoint_groups, describe_options, parse_options
from drumnb.datasets.enst_mdb import fixture_noise, write_enst_fixture, write_mdb_fixture
from drumnb.datasets.groove import metronome, write_groove_fixture
from drumnb.datasets.registry import PUBLISHED, datasets_table, get_dataset
from drumnb.drums import DRUMS3, DRUMS5, DRUMS8


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "A data home with all fixtures."
    folder = tmp_path_factory.mktemp('data')
    write_mdb_fixture(folder)
    write_groove_fixture(folder)
    write_enst_fixture(folder, seconds=0.5)
    return folder


@pytest.fixture
def at_home(home, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(home))
    return home


def summary(track):
    "What a worker process sends back."
    return track.id, track.onsets().counts(), track.fingerprint(), float(np.abs(track.audio()).sum())


# names and options


def test_every_listed_data_set_loads_and_has_its_facts():
    for name in ('synthetic', 'enst_mdb', *PUBLISHED):  # not what other tests register
        ds = get_dataset(name)
        assert ds.name == name and ds.title and ds.licence and ds.size_text, name


def test_unknown_names_suggest_the_known():
    with pytest.raises(DrumnbError, match="did you mean 'groove'"):
        get_dataset('groov')
    with pytest.raises(DrumnbError, match='known: .*mdb'):
        get_dataset('nothing-like-it')
    with pytest.raises(DrumnbError, match=r'full_mix\|drum_only'):
        get_dataset('mdb:drumonly')


OPTIONS = dict(mode=('a', 'b', 'c'), n=3, x=0.5, flag=False)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from('abc'), st.integers(-99, 99), st.floats(-1e3, 1e3), st.booleans())
def test_options_survive_the_name(mode, n, x, flag):
    values = dict(mode=mode, n=n, x=x, flag=flag)
    assert parse_options(f'{mode},n={n},x={x!r},flag={flag}', OPTIONS) == values
    assert parse_options(','.join(f'{k}={v}' for k, v in values.items()), OPTIONS) == values


def test_options_in_one_line():
    assert describe_options(OPTIONS) == 'a|b|c, n=3, x=0.5, flag=False'
    for bad in ('d', 'mode=d', 'n=1.5', 'flag=maybe', 'y=1'):
        with pytest.raises(DrumnbError):
            parse_options(bad, OPTIONS)


def test_spec_gives_the_same_data_set_again(at_home):
    for name in ('mdb', 'mdb:drum_only', 'groove:dtm,procedural,variants=2,seed=5'):
        ds = get_dataset(name)
        assert ds.spec == name
        assert get_dataset(ds.tracks()[0].dataset).options == ds.options


# tracks


def test_tracks_load_in_spawned_workers(at_home):
    tracks = [get_dataset('mdb:drum_only').tracks()[0], get_dataset('groove:procedural').tracks()[0]]
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        assert pool.map(summary, tracks) == [summary(t) for t in tracks]


def test_tracks_of_an_explicit_home_find_it_in_workers(tmp_path, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(tmp_path / 'nowhere'))
    import pickle

    ds = get_dataset('mdb', write_mdb_fixture(tmp_path, ['MusicDelta_Punk']))
    assert pickle.loads(pickle.dumps(ds.track('MusicDelta_Punk'))).audio().shape == (44100,)


def test_disjoint_groups_across_data_sets():
    train = [Track('a', 'groove', 'train', 'groove:d1/s1/1')]
    assert_disjoint_groups(train, [Track('b', 'egmd', 'train', 'groove:d1/s1/1')])
    with pytest.raises(DrumnbError, match='test of egmd and train of groove'):
        assert_disjoint_groups(train, [Track('b', 'egmd', 'test', 'groove:d1/s1/1')])


def test_a_missing_data_home_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(tmp_path / 'nowhere'))
    for name in ('mdb', 'groove'):
        with pytest.raises(DrumnbError, match='nowhere does not exist; set DRUMNB_DATA') as e:
            get_dataset(name).tracks()
        assert '\n' not in str(e.value)
        assert not get_dataset(name).validate().ok
    monkeypatch.setenv('DRUMNB_DATA', str(tmp_path))
    with pytest.raises(DrumnbError, match='Groove MIDI Dataset not found at .*download'):
        get_dataset('groove').tracks()


def test_table_of_data_sets(at_home):
    table = datasets_table(['mdb', 'groove', 'groove:dtm']).set_index('name')
    assert table.there.all() and table.complete.all()
    assert table.tracks.tolist() == [23, 6, 6]
    assert table.licence['groove'] == 'CC BY 4.0'


# MDB Drums


def test_mdb_fixture_is_whole(at_home):
    for name in ('mdb', 'mdb:drum_only'):
        report = get_dataset(name).validate()
        assert report.ok, report
        assert report.counts['splits'] == dict(train=15, validation=4, test=4)
        assert sum(report.counts['onsets'].values()) == 5 * 23
        assert 'fixture' in report.notes[0]


def test_mdb_loads_what_is_written(at_home):
    track = get_dataset('mdb:drum_only').track('MusicDelta_Grunge')
    assert track.audio().dtype == np.float32 and track.audio().shape == (44100,)
    np.testing.assert_allclose(track.audio(), fixture_noise(track.id, 'drum_only', seconds=1.0), atol=1e-6)
    assert (track.split, track.group, track.duration) == ('validation', 'medleydb:MusicDelta_Grunge', 1.0)
    assert track.beats()[:, 1].tolist() == [1, 2, 3, 4, 1]
    for vocabulary in (DRUMS3, DRUMS5, DRUMS8):
        assert track.onsets(vocabulary).vocabulary == vocabulary


def test_mdb_missing_audio_is_named_by_track(tmp_path):
    folder = write_mdb_fixture(tmp_path)
    (folder / 'audio/full_mix/MusicDelta_Rock_MIX.wav').unlink()
    mdb = get_dataset('mdb', folder)
    assert mdb.validate().problems == ['MusicDelta_Rock: missing audio/full_mix/MusicDelta_Rock_MIX.wav']
    assert len(mdb.tracks()) == 23 and len(mdb.tracks(present_only=True)) == 22
    assert get_dataset('mdb:drum_only', folder).validate().ok


def test_mdb_damage_is_named_by_file(tmp_path):
    folder = write_mdb_fixture(tmp_path)
    (folder / 'annotations/subclass/MusicDelta_Rock_subclass.txt').write_text('0.1 KD\n0.2 gong\n')
    (folder / 'annotations/subclass/MusicDelta_Punk_subclass.txt').write_text('0.1 KD\n7.5 SD\n')
    problems = '\n'.join(get_dataset('mdb', folder).validate().problems)
    assert 'MusicDelta_Rock_subclass.txt' in problems and 'gong' in problems
    assert 'MusicDelta_Punk: onset at 7.50 s' in problems


def test_a_cut_off_recording_is_named_and_stops_no_other(tmp_path):
    folder = write_mdb_fixture(tmp_path)
    path = folder / 'audio/drum_only/MusicDelta_Rock_Drum.wav'
    path.write_bytes(path.read_bytes()[:20000])
    mdb = get_dataset('mdb:drum_only', folder)
    assert len(mdb.tracks()) == 23 and mdb.track('MusicDelta_Rock').duration is None
    problems = mdb.validate().problems
    assert len(problems) == 1 and path.name in problems[0]


def test_fingerprints_follow_the_sources(tmp_path):
    folder = write_mdb_fixture(tmp_path, ['MusicDelta_Punk', 'MusicDelta_Rock'])

    def prints():
        return [t.fingerprint() for t in get_dataset('mdb', folder).tracks(present_only=True)]

    before = prints()
    assert before == prints() and len(set(before)) == 2
    with (folder / 'annotations/subclass/MusicDelta_Punk_subclass.txt').open('a') as f:
        f.write('0.95 KD\n')
    changed = [a != b for a, b in zip(before, prints())]
    assert Counter(changed) == {True: 1, False: 1}
    moved = shutil.copytree(folder, tmp_path / 'elsewhere')
    assert [t.fingerprint() for t in get_dataset('mdb', moved).tracks(present_only=True)] == prints()


def test_mdb_real(shared_data):
    mdb = get_dataset('mdb', shared_data / 'MDB Drums')
    report = mdb.validate()
    assert sum(report.counts['onsets'].values()) == 7994
    assert report.counts['tracks'] == 23 and report.counts['splits'] == dict(train=15, validation=4, test=4)
    present = mdb.tracks(present_only=True)
    assert len(present) == 9 and len(report.problems) == 14
    assert all('missing audio/full_mix/' in p and 'annotations' not in p for p in report.problems)
    assert not report.notes
    for t in present:
        assert t.beats()[-1, 0] < t.duration + 1 and t.onsets().times[-1] < t.duration


# ENST-Drums, and both together


def test_enst_fixture_is_whole(at_home):
    report = get_dataset('enst').validate()
    assert report.ok, report
    assert report.counts['splits'] == dict(train=43, validation=10, test=11)
    assert sum(report.counts['onsets'].values()) == 5 * 64


def test_enst_mix_is_the_sum_of_its_files(at_home):
    for track in get_dataset('enst').tracks()[:3]:
        stems = track.stems()
        assert len(stems['drums']) == len(stems['accompaniment']) == 22050
        np.testing.assert_array_equal(track.audio(), stems['drums'] + stems['accompaniment'])
        np.testing.assert_allclose(stems['drums'], fixture_noise(track.id, 'wet_mix', seconds=0.5), atol=1e-6)


def test_enst_mdb_is_the_union(at_home):
    both = get_dataset('enst_mdb')
    assert both.validate().ok and both.is_present()
    assert Counter(t.dataset for t in both.tracks()) == dict(enst=64, mdb=23)
    assert Counter(t.split for t in both.tracks()) == dict(train=58, validation=14, test=15)
    assert {t.audio().dtype for t in both.tracks('test')} == {np.dtype('float32')}


# Groove


def test_groove_fixture_is_whole(at_home):
    report = get_dataset('groove:dtm').validate()
    assert report.ok, report
    assert report.counts['splits'] == dict(train=2, validation=2, test=2)


def test_groove_audio_has_its_drums_at_the_onsets(at_home):
    track = get_dataset('groove:procedural').tracks('test')[0]
    sound = track.audio()
    assert sound.dtype == np.float32 and len(sound) == round(track.duration * 44100) and np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1
    energy = np.array([np.sqrt(np.mean(sound[s : s + 2205] ** 2)) for s in (track.onsets().times * 44100).astype(int)])
    assert energy.min() > 1e-4
    np.testing.assert_array_equal(sound, track.audio())


def test_groove_accompaniment_keeps_the_drums(at_home):
    alone, mixed = (get_dataset(f'groove:procedural,{m}').tracks('validation')[0] for m in ('dtd', 'dtm'))
    stems = mixed.stems()
    assert set(stems) == {'drums', 'accompaniment'} and set(alone.stems()) == {'drums'}
    np.testing.assert_array_equal(mixed.audio(), stems['drums'] + stems['accompaniment'])
    assert np.corrcoef(alone.audio(), stems['drums'])[0, 1] > 0.9999
    assert alone.fingerprint() != mixed.fingerprint()


def test_groove_variants_share_the_group(at_home):
    tracks = get_dataset('groove:procedural,variants=3').tracks('train')
    assert [t.id[-2:] for t in tracks[:3]] == ['#0', '#1', '#2']
    assert len({t.group for t in tracks}) == len(tracks) // 3
    a, b = tracks[0].audio(), tracks[1].audio()
    assert a.shape == b.shape and abs(np.corrcoef(a, b)[0, 1]) < 0.9
    other_seed = get_dataset('groove:procedural,variants=3,seed=1').tracks('train')[0]
    assert not np.array_equal(a, other_seed.audio())


@pytest.mark.parametrize('meter, bar', [('4/4', 4), ('3/4', 3), ('6/8', 2), ('5/4', 5), ('5/8', 5), ('12/8', 4)])
def test_metronome(meter, bar):
    beats = metronome(90, meter, 20.0)
    assert beats[0].tolist() == [0, 1] and beats[-1, 0] < 20 and set(beats[:, 1]) == set(range(1, bar + 1))
    numerator, unit = map(int, meter.split('/'))
    np.testing.assert_allclose(np.diff(beats[beats[:, 1] == 1, 0]), 60 / 90 * 4 / unit * numerator)


def test_groove_damage_is_named(tmp_path):
    folder = write_groove_fixture(tmp_path)
    midi = sorted(folder.rglob('*.mid'))
    midi[0].unlink()
    midi[1].write_bytes(midi[1].read_bytes()[:40])
    problems = get_dataset('groove', folder).validate().problems
    assert (
        len(problems) == 2 and midi[0].name in problems[0] + problems[1] and midi[1].name in problems[0] + problems[1]
    )
    (folder / 'info.csv').write_text('id,split\n1,train\n')
    assert 'info.csv: columns' in get_dataset('groove', folder).validate().problems[0]


def test_groove_real(shared_data):
    groove = get_dataset('groove', shared_data / 'groove')
    tracks = groove.tracks()
    assert len(tracks) == 1150 and all(t.is_present() for t in tracks)
    assert Counter(t.split for t in tracks) == dict(train=897, validation=124, test=129)
    assert groove.validate(deep=False).problems == [] and groove.check_index(tracks) == ([], [])
    assert len({t.group for t in tracks}) == 1149
    longest = max(tracks, key=lambda t: t.duration)
    assert len(longest.onsets()) > 5000 and longest.onsets().times[-1] < longest.duration
