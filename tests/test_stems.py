"""Stems as files: of every kind of recording, named plainly, never in place of a recording."""

import numpy as np
import pytest
import soundfile

from drumnb.core import DrumnbError
from drumnb.notation.batch_transcription import find_recordings, refused_names
from drumnb.notation.formats import as_formats, write_formats
from drumnb.onsets import Onsets
from drumnb.transcription import stems as st
from drumnb.transcription.transcribe import Transcription


def played(folder, rate=44100, channels=2, seconds=3.0, **form):
    "A tone with bursts of noise on it every half second, and its transcription."
    rng, n = np.random.default_rng(0), int(rate * seconds)
    t, times = np.arange(n) / rate, np.arange(0, seconds, 0.5)
    x = 0.2 * np.sin(2 * np.pi * 220 * t) + 0.2 * np.exp(-(t % 0.5) * 30) * rng.normal(size=n)
    path = folder / f'song.{form.get("format", "wav").lower()}'
    soundfile.write(path, np.stack([x * (0.5**c) for c in range(channels)], 1), rate, **form)
    o = Onsets.make(times, ['SD'] * len(times), np.full(len(times), 0.8))
    return Transcription(o, np.ones(len(o), np.float32), seconds, 'song', path)


def written(transcription, stem):
    write_formats(transcription, stem, 'stems')
    return [soundfile.read(f'{stem}{s}', always_2d=True) for s in st.STEMS]


@pytest.mark.parametrize('rate', [8000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize('channels', [1, 2])
def test_both_together_are_the_recording_at_its_own_rate(tmp_path, rate, channels):
    p = played(tmp_path, rate, channels)
    (backing, r1), (drums, r2) = written(p, tmp_path / 'out')
    whole = soundfile.read(p.audio, always_2d=True)[0]
    assert r1 == r2 == rate and backing.shape == whole.shape
    assert np.abs(backing + drums - whole).max() < 2e-4
    tone = np.sin(2 * np.pi * 220 * np.arange(len(whole)) / rate)
    share = [abs(np.vdot(x[:, 0], tone)) / abs(np.vdot(whole[:, 0], tone)) for x in (backing, drums)]
    assert share[0] > 0.8 > 0.2 > share[1], 'the tone is in the backing'
    assert np.square(drums).sum() > 0.5 * np.square(whole - 0.2 * tone[:, None] * 0.5 ** np.arange(channels)).sum()


@pytest.mark.parametrize('rate, channels', [(44100, 6), (11025, 1), (37800, 2)])
def test_what_players_do_not_know_is_written_as_one_channel(tmp_path, rate, channels):
    (backing, r), (drums, _) = written(played(tmp_path, rate, channels), tmp_path / 'out')
    assert r == 44100 and backing.shape == drums.shape and abs(len(backing) / r - 3) < 0.01


def test_ten_milliseconds_and_no_onsets(tmp_path):
    p = played(tmp_path, seconds=0.01)
    (backing, _), (drums, _) = written(p, tmp_path / 'out')
    assert len(backing) == len(drums) == 441
    none = Transcription(Onsets.empty(), np.zeros(0), 3.0, 'song', played(tmp_path).audio)
    assert not written(none, tmp_path / 'none')[1][0].any()


def test_channels_that_cancel_keep_their_drums(tmp_path):
    p = played(tmp_path)
    x = soundfile.read(p.audio)[0][:, 0]
    soundfile.write(p.audio, np.stack([x, -x], 1), 44100)
    assert np.abs(written(p, tmp_path / 'out')[1][0]).max() > 0.05


def test_blocks_join_without_a_seam(tmp_path, monkeypatch):
    p = played(tmp_path, channels=1, seconds=9.0)
    monkeypatch.setattr(st, 'BLOCK', 4.0)
    (backing, _), (drums, _) = written(p, tmp_path / 'out')
    whole = soundfile.read(p.audio, always_2d=True)[0]
    assert backing.shape == whole.shape and np.abs(backing + drums - whole).max() < 2e-4
    assert np.abs(np.diff(backing[:, 0])).max() < 1.5 * np.abs(np.diff(whole[:, 0])).max()


def test_all_is_without_stems_and_a_table_alone_has_none(tmp_path):
    assert 'stems' not in as_formats('all') and as_formats('all,stems')[-1] == 'stems' == as_formats(['stems'])[0]
    p = played(tmp_path)
    with pytest.raises(DrumnbError, match='give one'):
        write_formats(Transcription(p.onsets, p.confidence, 3.0), tmp_path / 'x', 'stems')
    assert not list(tmp_path.glob('x*'))


def test_stems_are_no_recordings_and_overwrite_none(tmp_path):
    p = played(tmp_path)
    written(p, tmp_path / 'song')
    assert len(find_recordings([tmp_path])) == 3, 'somebody else may have written them'
    (tmp_path / '.drumnb').mkdir()
    (tmp_path / '.drumnb' / 'song.json').write_text('{}')
    assert find_recordings([tmp_path]) == [p.audio]
    own = tmp_path / 'song.drums.flac'
    assert 'would overwrite the recording' in refused_names([p.audio, own], ['stems'], tmp_path)[p.audio]
    assert not refused_names([p.audio, own], ['csv'], tmp_path)
