"""Accompaniment: determinism, levels, splits, beats, and renderers that misbehave."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import drumnb.rendering.accompaniment as acc
from drumnb.core import DrumnbError, rng_for

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


def test_splits_share_no_loop():
    sets = {
        s: {acc.same_loop(p) for rows in acc.progressions_of(s).values() for p in rows}
        for s in ('train', 'validation', 'test')
    }
    assert (
        not sets['train'] & sets['validation']
        and not sets['train'] & sets['test']
        and not sets['validation'] & sets['test']
    )
    assert sum(map(len, sets.values())) >= 40
    assert all(rows for s in sets for rows in acc.progressions_of(s).values())


@pytest.mark.parametrize('split', ['train', 'validation', 'test'])
def test_chords_come_from_the_split(split):
    allowed = {
        acc.parse_chord(w)
        for rows in acc.progressions_of(split).values()
        for p in rows
        for w in p.replace('-', ' ').split()
    }
    grid = acc.bar_grid(make_beats(seconds=60), '4/4', 60)
    plan = acc.make_plan(grid, rng_for('split', split), split)
    assert {c for *_, c in plan.spans()} <= allowed


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(list(METERS)), st.floats(50, 200), st.floats(0, 0.1), st.integers(0, 99))
def test_notes_follow_the_beats(meter, bpm, drift, seed):
    beats = make_beats(meter, bpm, 20, drift)
    grid = acc.bar_grid(beats, meter, 20)
    downbeats = beats[(beats[:, 1] == 1) & (beats[:, 0] < 20), 0]
    np.testing.assert_allclose(grid[: len(downbeats), 0], downbeats)
    slots = np.unique(np.concatenate([acc.bar_grid(beats, meter, 20, s).ravel() for s in (0,)]))
    plan = acc.make_plan(grid, rng_for('follow', seed))
    for role in ('bass', 'comp', 'melody', 'power', 'riff', 'arpeggio', 'pad'):
        notes = acc.to_notes(
            acc.WRITERS[role](plan, rng_for(seed, role)), plan, np.ones(len(grid), bool), rng_for(seed), role
        )
        assert notes.shape[1] == 4 and np.isfinite(notes).all()
        if len(notes):
            away = np.abs(
                slots[np.clip(np.searchsorted(slots, notes[:, 0]), 1, len(slots) - 1)][:, None] - notes[:, :1]
            )
            near = np.minimum(
                away[:, 0], np.abs(slots[np.clip(np.searchsorted(slots, notes[:, 0]) - 1, 0, None)] - notes[:, 0])
            )
            assert near.max() < 0.08  # loosely on the grid
            assert (notes[:, 1] > 0).all() and ((notes[:, 3] > 0) & (notes[:, 3] <= 1)).all()
            assert 20 <= notes[:, 2].min() and notes[:, 2].max() <= 108


def test_partials_equal_the_sum_of_sines():
    rng = rng_for('partials')
    f, a, d, ph = rng.uniform(30, 15000, 20), rng.random(20), rng.uniform(0, 9, 20), rng.uniform(0, 6, 20)
    t = np.arange(5000) / 44100
    np.testing.assert_allclose(
        acc.partials(f, a, d, ph, 5000),
        sum(a[k] * np.exp(-d[k] * t) * np.sin(2 * np.pi * f[k] * t + ph[k]) for k in range(20)),
        atol=1e-3,
    )


@pytest.mark.parametrize('kind', list(acc.SYNTHS))
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


def pitch_of(x):
    x = x[8820:53000] * np.hanning(53000 - 8820)
    a = np.fft.irfft(np.abs(np.fft.rfft(x, 2**17)) ** 2)
    lag = np.arange(40, 1200)
    best = lag[np.flatnonzero(a[lag] > 0.9 * a[lag].max())[0]]
    return 69 + 12 * np.log2(44100 / (best + np.argmax(a[best : best + 12])) / 440)


def test_soundfont_is_in_tune():
    font = acc.default_soundfont()
    for program in (0, 24, 33, 48, 61, 73):
        away = [(pitch_of(acc.soundfont_note(font, program, p)) - p + 6) % 12 - 6 for p in (45, 52, 57, 64, 71)]
        assert np.median(np.abs(away)) < 0.35, (program, away)


def write_soundfont(path, rate=44100, root=69, coarse=0, drop=''):
    "A font of one looped sine at 441 Hz with a soft and a loud zone."

    def pack(name, rows):
        return np.array(rows, dtype=acc._TABLES[name]).tobytes()

    wave = np.sin(2 * np.pi * np.arange(1000) / 100)

    def gens(*g):
        return [(o, v) for o, v in g]

    zones = (
        gens((44, 63 << 8), (54, 1), (51, coarse), (48, 400), (53, 0))
        + gens((44, 127 << 8 | 64), (54, 1), (51, coarse), (53, 0))
        + [(0, 0)]
    )
    tables = dict(
        phdr=[(b'p', 5, 0, 0, b''), (b'EOP', 0, 0, 1, b'')],
        pbag=[(0, 0), (1, 0)],
        pgen=[(41, 0), (0, 0)],
        inst=[(b'i', 0), (b'EOI', 2)],
        ibag=[(0, 0), (5, 0), (9, 0)],
        igen=zones,
        shdr=[(b's', 0, 1000, 100, 900, rate, root, 0, 0, 1), (b'EOS', 0, 0, 0, 0, 0, 0, 0, 0, 0)],
    )

    def chunk(name, body):
        return name + len(body).to_bytes(4, 'little') + body + b'\0' * (len(body) % 2)

    pdta = b''.join(chunk(k.encode(), pack(k, v)) for k, v in tables.items() if k != drop)
    body = (
        b'sfbk'
        + chunk(b'LIST', b'sdta' + chunk(b'smpl', (wave * 30000).astype('<i2').tobytes()))
        + chunk(b'LIST', b'pdta' + pdta)
    )
    path.write_bytes(chunk(b'RIFF', body))
    return str(path)


def test_reader_on_a_font_written_by_hand(tmp_path):
    font = write_soundfont(tmp_path / 'sine.sf2')
    loud, soft = acc.soundfont_note(font, 5, 69, 100), acc.soundfont_note(font, 5, 69, 30)
    t = np.arange(2000, 100000) / 44100
    np.testing.assert_allclose(
        loud[2000:100000], np.sin(2 * np.pi * 441 * t) * 30000 / 32768, atol=2e-3
    )  # the loop has no seam
    np.testing.assert_allclose(
        np.abs(soft[2000:]).max() / np.abs(loud[2000:]).max(), 10 ** (-0.4 * 400 / 200), rtol=0.01
    )
    octave = acc.soundfont_note(font, 5, 81, 100)
    np.testing.assert_allclose(
        octave[2000:50000], np.sin(2 * np.pi * 882 * np.arange(2000, 50000) / 44100) * 30000 / 32768, atol=2e-2
    )
    lower = write_soundfont(tmp_path / 'lower.sf2', coarse=-12)
    assert round(pitch_of(acc.soundfont_note(lower, 5, 69, 100))) == 57
    assert not acc.soundfont_note(font, 6, 69).any() and acc.font_programs(font) == ()


def test_silent_programs_are_left_out(monkeypatch):
    monkeypatch.setattr(acc, 'program_sounds', lambda font, program: program not in (29, 30))
    drawn = [acc.choose_instrument('power', rng_for('silent', k), [acc.default_soundfont()]) for k in range(12)]
    assert {i.kind for i in drawn} == {'distorted_guitar'}


def test_without_a_soundfont_everything_is_synthesised(monkeypatch):
    with_fonts = acc.accompaniment_fingerprint()
    monkeypatch.setattr(acc, 'default_soundfont', lambda: '')
    voices = [
        v for k in range(4) for v in acc.compose_accompaniment(make_beats(), '4/4', rng_for('none', k), seconds=8)
    ]
    assert voices and all(v.instrument.kind in acc.SYNTHS for v in voices)
    assert acc.accompaniment_fingerprint() != with_fonts


def test_errors_name_what_is_wrong(tmp_path):
    bad = tmp_path / 'bad.sf2'
    bad.write_bytes(b'RIFF nothing')
    for call, word in (
        (lambda: acc.progressions_of('dev'), 'dev'),
        (lambda: acc.parse_chord('X9'), 'X9'),
        (lambda: acc.font_programs(str(bad)), 'bad.sf2'),
        (lambda: acc.font_key(str(tmp_path / 'no.sf2')), 'no.sf2'),
        (lambda: acc.bar_grid([[0, 1]], '4/4', 3), 'beats'),
        (lambda: acc.accompaniment(make_beats(), 'waltz', 3, rng_for(0)), 'waltz'),
        (lambda: acc.accompaniment(make_beats(), '4/4', 3, rng_for(0), soundfonts=[bad]), 'bad.sf2'),
    ):
        with pytest.raises(DrumnbError, match=word):
            call()
    torn = write_soundfont(tmp_path / 'torn.sf2', drop='shdr')
    with pytest.raises(DrumnbError, match='torn.sf2'):
        acc.read_soundfont(torn)
