"The embedded data set: deterministic, exact, and without anything in two splits."

import pickle
import subprocess
import sys

import numpy as np
import pytest

from drumnb.core import DrumnbError
from drumnb.datasets.registry import get_dataset
from drumnb.datasets.synthetic import _materials, active_level, shared_materials

SMALL = 'synthetic:train=3,validation=2,test=2,seconds=5,kits=procedural'


@pytest.fixture(scope='module')
def songs():
    return get_dataset(SMALL)


def test_index(songs):
    assert [t.id for t in songs.tracks()] == [
        'train-0000',
        'train-0001',
        'train-0002',
        'validation-0000',
        'validation-0001',
        'test-0000',
        'test-0001',
    ]
    assert len({t.group for t in songs.tracks()}) == 7
    default = get_dataset('synthetic')
    assert [len(default.tracks(s)) for s in ('train', 'validation', 'test')] == [60, 12, 12]
    assert {t.duration for t in default.tracks()} == {60.0}


def test_audio_is_the_sum_of_its_stems_and_always_the_same(songs):
    track = songs.track('train-0001')
    audio, stems = track.audio(), track.stems()
    assert audio.dtype == np.float32 and audio.shape == (5 * 44100,) and np.isfinite(audio).all()
    np.testing.assert_allclose(audio, stems['drums'] + stems['accompaniment'], atol=1e-6)
    stems['drums'][:] = 0  # a caller's scribbling does not reach the cache
    np.testing.assert_array_equal(track.audio(), audio)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(track)).audio(), audio)


def test_same_audio_in_another_process(songs):
    code = (
        'import hashlib; from drumnb.datasets.registry import get_dataset; '
        f'print(hashlib.sha256(get_dataset({SMALL!r}).track("test-0001").audio().tobytes()).hexdigest())'
    )
    other = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()[-1]
    import hashlib

    assert hashlib.sha256(songs.track('test-0001').audio().tobytes()).hexdigest() == other


def test_more_songs_leave_the_first_as_they_are(songs):
    more = get_dataset(SMALL.replace('train=3', 'train=30'))
    for t in songs.tracks():
        assert more.track(t.id).fingerprint() == t.fingerprint()


@pytest.mark.parametrize('change', ['seed=1', 'seconds=6', 'dtd', 'low=-3'])
def test_fingerprint_follows_the_options(songs, change):
    base, key = SMALL, change.split('=')[0]
    kept = ','.join(o for o in base.split(':')[1].split(',') if not o.startswith(key + '='))
    assert (
        get_dataset(f'synthetic:{kept},{change}').track('train-0000').fingerprint()
        != songs.track('train-0000').fingerprint()
    )


def test_onsets_beats_and_levels(songs):
    for t in songs.tracks('validation'):
        onsets, beats, stems = t.onsets(), t.beats(), t.stems()
        assert len(onsets) > 5 and onsets.times[-1] < 5 and (onsets.velocities > 0).all()
        assert beats.shape[1] == 2 and beats[0, 1] == 1 and (np.diff(beats[:, 0]) > 0).all()
        ratio = 20 * np.log10(active_level(stems['drums']) / active_level(stems['accompaniment']))
        assert -7 < ratio < 7


def test_nothing_is_in_two_splits(songs):
    materials = _materials('shipped')
    assert all(len(v) > 0 for by in materials.values() for v in by.values())
    assert shared_materials(materials) == []
    materials['groove']['test'] |= set(list(materials['groove']['train'])[:2])
    assert shared_materials(materials) == ['2 groove(s) in both train and test']
    report = songs.validate()
    assert report.ok and report.counts['tracks'] == 7


def test_validate_finds_a_groove_of_another_split(songs, monkeypatch):
    import drumnb.datasets.synthetic as module

    foreign = songs.part(songs.track('train-0000'))
    monkeypatch.setattr(module, 'song_part', lambda options, split, index: foreign)
    assert any('belongs to train' in p for p in songs.validate().problems)


def test_bad_options():
    with pytest.raises(DrumnbError, match="no option 'songs=3'"):
        get_dataset('synthetic:songs=3')
    with pytest.raises(DrumnbError, match='expected int'):
        get_dataset('synthetic:train=many')
