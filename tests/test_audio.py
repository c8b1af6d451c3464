"""Audio files: any kind in, one kind inside; broken files refused in one line; nothing half-written."""

import struct
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drumnb import audio
from drumnb.audio import SAMPLE_RATE, duration, load, normalise_rms, rms, save, sonify
from drumnb.core import DrumnbError, rng_for

small = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VOCABULARY = ('KD', 'SD', 'TT', 'HH', 'CY')


def tone(rate, seconds=0.5, hz=440.0):
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate)


def refused(path, *parts):
    with pytest.raises(DrumnbError) as e:
        load(path)
    message = str(e.value)
    assert str(path) in message and '\n' not in message and ';' in message  # names the file, one line, says what to do
    for p in parts:
        assert p in message
    return message


@pytest.mark.parametrize('suffix,tolerance', [('wav', 2e-4), ('flac', 2e-4), ('ogg', 0.05), ('mp3', 0.05)])
@pytest.mark.parametrize('rate,channels', [(44100, 1), (44100, 2), (48000, 2), (22050, 1)])
def test_every_format_rate_and_channel_count(tmp_path, suffix, tolerance, rate, channels):
    path = tmp_path / f'a.{suffix}'
    sf.write(path, np.tile(tone(rate)[:, None], (1, channels)), rate)
    x = load(path)
    assert x.dtype == np.float32 and x.ndim == 1 and abs(len(x) - 22050) <= 1
    assert abs(duration(path) - 0.5) < 1e-3
    inner = slice(3000, 19000)
    assert np.abs(x[inner] - tone(SAMPLE_RATE)[inner]).max() < tolerance


def test_more_channels_are_averaged_and_can_be_kept(tmp_path):
    channels = rng_for('channels').uniform(-0.5, 0.5, (1000, 6)).astype(np.float32)
    sf.write(tmp_path / 'six.wav', channels, 44100, subtype='FLOAT')
    assert np.allclose(load(tmp_path / 'six.wav'), channels.mean(axis=1), atol=1e-7)
    assert np.array_equal(load(tmp_path / 'six.wav', mono=False), channels)


def test_resampling_removes_what_the_new_rate_cannot_hold(tmp_path):
    sf.write(tmp_path / 'high.wav', tone(96000, hz=30000.0), 96000)
    assert rms(load(tmp_path / 'high.wav')[2000:-2000]) < 1e-3


@small
@given(
    cut=st.floats(0, 0.999),
    subtype=st.sampled_from(['PCM_16', 'PCM_24', 'FLOAT', 'PCM_U8']),
    channels=st.integers(1, 3),
)
def test_a_wav_cut_anywhere_is_refused(tmp_path, cut, subtype, channels):
    path = tmp_path / 'whole.wav'
    sf.write(path, np.tile(tone(8000)[:, None], (1, channels)), 8000, subtype=subtype)
    load(path)
    whole = path.read_bytes()
    (tmp_path / 'cut.wav').write_bytes(whole[: int(cut * len(whole))])
    refused(tmp_path / 'cut.wav')
    with pytest.raises(DrumnbError):
        duration(tmp_path / 'cut.wav')


@pytest.mark.parametrize('suffix', ['flac', 'ogg', 'mp3'])
@pytest.mark.parametrize('keep', [0.3, 0.5, 0.9])
def test_other_cut_files_are_refused(tmp_path, suffix, keep):
    path = tmp_path / f'a.{suffix}'
    sf.write(path, rng_for('cut').normal(0, 0.1, 5 * 44100), 44100)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    refused(path)


def test_a_wav_that_promises_nothing_is_read_to_its_end(tmp_path):
    sf.write(tmp_path / 'a.wav', tone(44100), 44100, subtype='PCM_16')
    raw = bytearray((tmp_path / 'a.wav').read_bytes())
    at = raw.index(b'data')
    raw[at + 4 : at + 8] = struct.pack('<I', 0xFFFFFFFF)
    (tmp_path / 'piped.wav').write_bytes(raw)
    assert len(load(tmp_path / 'piped.wav')) == 22050


def test_chunks_before_and_after_the_samples_do_no_harm(tmp_path):
    sf.write(tmp_path / 'a.wav', tone(44100), 44100, subtype='PCM_16')
    raw = (tmp_path / 'a.wav').read_bytes()
    extra = b'LIST' + struct.pack('<I', 5) + b'notes\0'  # odd length, padded
    body = raw[12:36] + extra + raw[36:] + extra
    (tmp_path / 'tagged.wav').write_bytes(b'RIFF' + struct.pack('<I', 4 + len(body)) + b'WAVE' + body)
    assert np.array_equal(load(tmp_path / 'tagged.wav'), load(tmp_path / 'a.wav'))


def test_an_rf64_file_is_read_and_its_truncation_seen(tmp_path):
    sf.write(tmp_path / 'a.wav', tone(44100), 44100, format='RF64', subtype='PCM_16')
    raw = (tmp_path / 'a.wav').read_bytes()
    assert raw[:4] == b'RF64' and len(load(tmp_path / 'a.wav')) == 22050
    (tmp_path / 'cut.wav').write_bytes(raw[:-1000])
    refused(tmp_path / 'cut.wav', 'truncated')


def test_what_is_not_audio_is_refused(tmp_path):
    (tmp_path / 'empty.wav').write_bytes(b'')
    (tmp_path / 'text.wav').write_text('not a sound')
    (tmp_path / 'riff.wav').write_bytes(b'RIFF\x04\0\0\0WAVE')
    sf.write(tmp_path / 'zero.wav', np.zeros(0), 44100)
    sf.write(tmp_path / 'nan.wav', np.array([0, np.nan, 0]), 44100, subtype='FLOAT')
    for name, part in {
        'empty.wav': 'empty',
        'text.wav': 'cannot be read',
        'riff.wav': 'cannot be read',
        'zero.wav': 'no samples',
        'nan.wav': 'not finite',
        'gone.wav': 'no such file',
    }.items():
        refused(tmp_path / name, part)
    refused(tmp_path, 'folder')


@small
@given(
    channels=st.integers(1, 3), n=st.integers(1, 2000), suffix=st.sampled_from(['wav', 'flac']), seed=st.integers(0, 99)
)
def test_what_is_saved_is_loaded(tmp_path, channels, n, suffix, seed):
    x = rng_for('saved', seed).uniform(-1, 1, (n, channels)).astype(np.float32)
    save(tmp_path / f'a.{suffix}', x)
    assert np.abs(load(tmp_path / f'a.{suffix}', mono=False) - x).max() < 2**-22
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith('.')] == []


def test_a_refused_save_leaves_the_old_file(tmp_path):
    path = tmp_path / 'a.wav'
    save(path, tone(44100))
    before = path.read_bytes()
    for bad in (tone(44100) * 9, np.zeros(0), np.array([np.nan])):
        with pytest.raises(DrumnbError, match='a.wav'):
            save(path, bad)
    with pytest.raises(DrumnbError, match='aiffc'):
        save(tmp_path / 'a.aiffc', tone(44100))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ['a.wav']


@small
@given(level=st.floats(1e-3, 10), scale=st.floats(1e-3, 1e3), n=st.integers(1, 5000))
def test_normalised_level(level, scale, n):
    x = rng_for('level', n).normal(0, scale, n) + scale
    assert rms(normalise_rms(x, level)) == pytest.approx(level, rel=1e-4)


@small
@given(
    times=st.lists(st.floats(0, 0.9), min_size=1, max_size=8, unique_by=lambda t: round(t, 2)), drum=st.integers(0, 4)
)
def test_sonified_onsets_start_on_time(times, drum):
    sound = sonify(SimpleNamespace(times=times, drums=[drum] * len(times), vocabulary=VOCABULARY), SAMPLE_RATE)
    assert sound.dtype == np.float32 and len(sound) == SAMPLE_RATE and 0 < np.abs(sound).max() <= 0.9001
    first = int(round(min(times) * SAMPLE_RATE))
    assert np.abs(sound[:first]).max(initial=0) < 1e-5 and np.abs(sound[first : first + 200]).max() > 1e-3


def test_recordings_load(shared_data):
    for path in sorted((shared_data / 'MDB Drums' / 'audio' / 'drum_only').glob('*.wav'))[:3]:
        assert len(load(path)) == pytest.approx(duration(path) * SAMPLE_RATE, abs=1)


def test_a_player_holds_what_it_plays():
    import io

    t = np.arange(22050) / 44100
    quiet, loud = 0.1 * np.sin(2 * np.pi * 440 * t), 0.8 * np.sin(2 * np.pi * 440 * t)
    player = audio.listen(quiet)
    assert player.mimetype == 'audio/mpeg' and player.data == audio.listen(quiet).data
    assert audio.rms(sf.read(io.BytesIO(audio.listen(quiet).data))[0]) > 0.9 * audio.rms(
        sf.read(io.BytesIO(audio.listen(loud).data))[0]
    )
    assert audio.rms(sf.read(io.BytesIO(audio.listen(quiet, peak=0.8).data))[0]) < 0.2 * audio.rms(
        sf.read(io.BytesIO(audio.listen(loud, peak=0.8).data))[0]
    )
    assert np.isfinite(sf.read(io.BytesIO(audio.listen(np.zeros(1000)).data))[0]).all()
