"""Accompaniment: determinism, levels, tuning, and renderers that misbehave."""

import numpy as np
import pytest

import drumnb.rendering.accompaniment as acc
from drumnb.core import DrumnbError, rng_for
from drumnb.rendering.accompaniment import SYNTHS

METERS = {'4/4': 4, '3/4': 3, '6/8': 6, '5/4': 5, '7/8': 7, '12/8': 12}


def make_beats(meter='4/4', bpm=110, seconds=12.0, drift=0.0, start=0.3):
    n = int(seconds * bpm / 60) + 2
    step = 60 / bpm * (1 + drift * np.sin(np.arange(n) / 5))
    return np.stack([start + np.cumsum(step) - step[0], np.arange(n) % METERS[meter] + 1], 1)


def test_same_generator_same_audio():
    a, b, c = (acc.accompaniment(make_beats(), '4/4', 6, rng_for('same', k)) for k in (1, 1, 2))
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_audio_does_not_depend_on_what_was_rendered_before():
    cold = acc.accompaniment(make_beats(), '4/4', 4, rng_for('cold', 3))
    acc.accompaniment(make_beats(), '4/4', 2, rng_for('other'))
    assert np.array_equal(cold, acc.accompaniment(make_beats(), '4/4', 4, rng_for('cold', 3)))


@pytest.mark.parametrize('meter', list(METERS))
def test_audio_is_usable(meter):
    for k in range(2):
        x = acc.accompaniment(
            make_beats(meter), meter, 8.5, rng_for('usable', meter, k), split='validation', percussion=1.0
        )
        assert x.dtype == np.float32 and x.shape == (int(8.5 * 44100),)
        assert np.isfinite(x).all() and np.abs(x).max() < 1
        assert not x.any() or 0.07 < np.sqrt(np.mean(x**2)) < 0.11


@pytest.mark.parametrize('kind', list(SYNTHS))
def test_every_synthesiser_sounds(kind):
    for pitch in (28, 60, 88):
        for layer in (0, 2):
            x = acc.note(acc.Instrument(kind, seed=pitch), pitch, layer)
            assert x.dtype == np.float32 and np.isfinite(x).all() and np.abs(x).max() > 0.2


def test_synthesised_notes_are_in_tune():
    for kind in ('pluck_bass', 'synth_bass', 'lead', 'pad', 'fm_piano', 'clean_guitar'):
        spectra = [np.abs(np.fft.rfft(acc.note(acc.Instrument(kind, 5), p, 2)[:88200])) for p in (45, 46)]
        a, b = (s[100:3000] for s in spectra)
        grid = np.arange(len(a))
        stretched = [np.interp((grid + 100) * 2 ** (c / 1200) - 100, grid, b) @ a for c in range(0, 201, 10)]
        assert abs(np.argmax(stretched) * 10 - 100) <= 20, kind  # one semitone is 100 cents


def test_silent_programs_are_left_out(monkeypatch):
    monkeypatch.setattr(acc, 'program_sounds', lambda font, program: program not in (29, 30))
    drawn = [acc.choose_instrument('power', rng_for('silent', k), [str(acc.default_soundfont())]) for k in range(12)]
    assert {i.kind for i in drawn} == {'distorted_guitar'}


def test_without_a_soundfont_everything_is_synthesised(monkeypatch):
    with_fonts = acc.accompaniment_fingerprint()
    monkeypatch.setattr(acc, 'default_soundfont', lambda: None)
    voices = [
        v for k in range(4) for v in acc.compose_accompaniment(make_beats(), '4/4', rng_for('none', k), seconds=8)
    ]
    assert voices and all(v.instrument.kind in SYNTHS for v in voices)
    assert acc.accompaniment_fingerprint() != with_fonts


def test_errors_name_what_is_wrong(tmp_path):
    bad = tmp_path / 'bad.sf2'
    bad.write_bytes(b'RIFF nothing')
    for call, word in (
        (lambda: acc.accompaniment(make_beats(), 'waltz', 3, rng_for(0)), 'waltz'),
        (lambda: acc.accompaniment(make_beats(), '4/4', 3, rng_for(0), soundfonts=[bad]), 'bad.sf2'),
    ):
        with pytest.raises(DrumnbError, match=word):
            call()
