"""Features against madmom, librosa and a direct computation; chunks, lengths, presets."""

import tracemalloc

import librosa
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.audio import SAMPLE_RATE
from drumnb.core import DrumnbError, rng_for
from drumnb.spectrograms import (
    FPS,
    FREQUENCIES,
    HOP,
    N_FFT,
    LogSpec,
    MelSpec,
    feature_spec,
    log_filterbank,
    log_frequencies,
    mel_filterbank,
    n_frames,
    stft_magnitude,
    stream_features,
)

small = settings(max_examples=20, deadline=None)


def noise(n, *name):
    return rng_for('spectrograms', n, *name).normal(0, 0.1, n).astype(np.float32)


def madmom_bank(filters):
    return filters.LogarithmicFilterbank(
        FREQUENCIES, num_bands=12, fmin=20, fmax=20000, norm_filters=True, unique_filters=True
    )


def test_filter_bank_equals_madmom(madmom):
    from madmom.audio import filters

    theirs = np.asarray(madmom_bank(filters))
    assert theirs.shape == log_filterbank().shape == (1025, 84)
    assert np.abs(theirs - log_filterbank()).max() < 1e-6


def test_filter_bank_equals_madmom_without_the_nyquist_bin(madmom):
    from madmom.audio import filters, stft

    theirs = filters.LogarithmicFilterbank(
        stft.fft_frequencies(1024, 44100), num_bands=12, fmin=20, fmax=20000, norm_filters=True, unique_filters=True
    )
    assert np.abs(np.asarray(theirs) - log_filterbank()[:1024]).max() < 1e-6 and not log_filterbank()[1024].any()


@pytest.mark.parametrize('per_octave,fmin,fmax', [(3, 30, 17000), (6, 20, 20000), (24, 100, 10000)])
def test_other_banks_equal_madmom(madmom, per_octave, fmin, fmax):
    from madmom.audio import filters

    theirs = filters.LogarithmicFilterbank(
        FREQUENCIES, num_bands=per_octave, fmin=fmin, fmax=fmax, norm_filters=True, unique_filters=True
    )
    assert np.abs(np.asarray(theirs) - log_filterbank(per_octave, fmin, fmax)).max() < 1e-6
    assert np.allclose(
        filters.log_frequencies(per_octave, fmin, fmax), log_frequencies(per_octave, fmin, fmax), rtol=1e-12
    )


@pytest.mark.parametrize('n', [1, 440, 441, 2047, 44100, 50001])
def test_features_equal_madmom(madmom, n):
    from madmom.audio import filters, signal, stft

    x = noise(n, 'madmom')
    frames = signal.FramedSignal(
        signal.Signal(x, sample_rate=44100), frame_size=N_FFT, hop_size=HOP, origin=0, end='extend'
    )
    magnitudes = np.abs(stft.ShortTimeFourierTransform(frames, include_nyquist=True))
    assert magnitudes.shape == (n_frames(n), 1025)
    assert np.allclose(stft_magnitude(x), magnitudes, atol=1e-5)
    theirs = stft_magnitude(x) @ np.asarray(madmom_bank(filters))  # the same transform
    assert np.abs(LogSpec().linear(x) - theirs).max() < 1e-6 * max(1, theirs.max())
    assert np.allclose(LogSpec()(x), np.log10(1 + magnitudes @ np.asarray(madmom_bank(filters))), atol=1e-5)


def test_features_equal_a_double_precision_sum():
    x = noise(5000, 'direct')
    padded = np.pad(x.astype(float), (N_FFT // 2, N_FFT))
    frames = np.stack([padded[t * HOP : t * HOP + N_FFT] * np.hanning(N_FFT) for t in range(n_frames(5000))])
    magnitudes = np.abs(np.fft.rfft(frames))
    assert np.abs(LogSpec().linear(x) - magnitudes @ log_filterbank().astype(float)).max() < 1e-5
    assert np.abs(MelSpec().linear(x) - magnitudes @ mel_filterbank().astype(float)).max() < 1e-5


def test_mel_bank_is_librosas():
    theirs = librosa.filters.mel(sr=44100, n_fft=2048, n_mels=80, fmin=20, fmax=20000).T
    assert np.array_equal(theirs, mel_filterbank(80)) and mel_filterbank().dtype == np.float32


@small
@given(n=st.integers(0, 3000), extra=st.integers(0, 3))
def test_frame_count(n, extra):
    assert len(LogSpec().linear(np.zeros(n, np.float32))) == n_frames(n) == 1 + n // HOP
    assert n_frames(n + extra * HOP) == n_frames(n) + extra


@small
@given(frame=st.integers(0, 99))
def test_frames_are_centred(frame):
    x = np.zeros(44100, np.float32)
    x[frame * HOP] = 1
    assert LogSpec().linear(x).sum(axis=1).argmax() == frame and frame / FPS == frame * HOP / 44100


@small
@given(n=st.integers(1, 9000), chunk=st.integers(1, 30), preset=st.sampled_from([LogSpec, MelSpec]))
def test_chunks_do_not_show(n, chunk, preset):
    x, whole = noise(n), preset().linear(noise(n))
    old, preset.chunk = preset.chunk, chunk
    try:
        assert np.allclose(preset().linear(x), whole, atol=1e-5)
    finally:
        preset.chunk = old


@small
@given(gain=st.floats(0.05, 20), mul=st.floats(0.1, 30))
def test_level_and_compression(gain, mul):
    x, spec = noise(3000), LogSpec(mul=mul, rms=0.1)
    assert np.allclose(spec(x * np.float32(gain)), spec(x), atol=1e-4)  # the level of the file does not matter
    assert np.allclose(LogSpec().linear(x * np.float32(gain)), LogSpec().linear(x) * gain, rtol=1e-3, atol=1e-4)
    values = np.linspace(0, 50, 100, dtype=np.float16)
    assert (
        spec.compress(values).dtype == np.float32
        and (np.diff(spec.compress(values)) > 0).all()
        and spec.compress(values)[0] == 0
    )


def test_quiet_and_silent_input_stay_finite():
    for x in (np.zeros(2000, np.float32), np.full(2000, 1e-30, np.float32)):
        assert np.isfinite(LogSpec(mul=3, rms=0.1)(x)).all()


@small
@given(preset=st.sampled_from([LogSpec, MelSpec]), mul=st.floats(0.1, 10), rms=st.none() | st.floats(0.01, 1))
def test_presets_survive_a_dictionary(preset, mul, rms):
    spec = preset(mul, rms)
    assert (
        feature_spec(spec.to_dict()) == spec
        and feature_spec(spec) is spec
        and hash(feature_spec(spec.to_dict())) == hash(spec)
    )


@pytest.mark.parametrize(
    'bad,named', [('cqt', 'cqt'), ({'mul': 2}, 'None'), ({'name': 'log', 'hop': 3}, 'hop'), (None, 'None')]
)
def test_unknown_presets_are_refused(bad, named):
    with pytest.raises(DrumnbError, match=named):
        feature_spec(bad)


def test_stereo_is_refused():
    with pytest.raises(DrumnbError, match='one channel'):
        LogSpec()(np.zeros((2, 1000)))


def test_shared_banks_cannot_be_changed_by_accident():
    for bank in (log_filterbank(), mel_filterbank()):
        with pytest.raises(ValueError):
            bank[0, 0] = 1


def test_streamed_features_equal_those_of_the_whole_file(tmp_path):
    x = rng_for('stream').normal(0, 0.1, 700_123).astype(np.float32)
    soundfile.write(tmp_path / 'x.wav', x, SAMPLE_RATE, 'FLOAT')
    for spec in (LogSpec(), LogSpec(mul=3, rms=0.1)):
        streamed, seconds = stream_features(tmp_path / 'x.wav', spec)
        whole = spec.linear(x)
        assert (
            streamed.shape == whole.shape
            and np.allclose(streamed, whole, rtol=1e-4, atol=1e-5)
            and seconds == len(x) / SAMPLE_RATE
        )


def test_memory_does_not_grow_with_the_audio(tmp_path):
    peaks = []
    for seconds in (20, 50):
        soundfile.write(tmp_path / 'long.wav', np.zeros(seconds * SAMPLE_RATE, np.float32) + 0.01, SAMPLE_RATE)
        tracemalloc.start()
        stream_features(tmp_path / 'long.wav', LogSpec())
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 3e5 < 30 * SAMPLE_RATE * 4
