"""SoundFonts: pitch, loops, velocity layers and damaged files."""

import numpy as np
import pytest

import drumnb.rendering.soundfonts as soundfonts
from drumnb.core import DrumnbError


def pitch_of(x):
    x = x[8820:53000] * np.hanning(53000 - 8820)
    a = np.fft.irfft(np.abs(np.fft.rfft(x, 2**17)) ** 2)
    lag = np.arange(40, 1200)
    best = lag[np.flatnonzero(a[lag] > 0.9 * a[lag].max())[0]]
    return 69 + 12 * np.log2(44100 / (best + np.argmax(a[best : best + 12])) / 440)


def test_soundfont_is_in_tune():
    font = soundfonts.default_soundfont()
    for program in (0, 24, 33, 48, 61, 73):
        away = [(pitch_of(soundfonts.soundfont_note(font, program, p)) - p + 6) % 12 - 6 for p in (45, 52, 57, 64, 71)]
        assert np.median(np.abs(away)) < 0.35, (program, away)


def write_soundfont(path, rate=44100, root=69, coarse=0, drop=''):
    "A font of one looped sine at 441 Hz with a soft and a loud zone."

    def pack(name, rows):
        return np.array(rows, dtype=soundfonts.TABLES[name]).tobytes()

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
    loud, soft = soundfonts.soundfont_note(font, 5, 69, 100), soundfonts.soundfont_note(font, 5, 69, 30)
    t = np.arange(2000, 100000) / 44100
    np.testing.assert_allclose(
        loud[2000:100000], np.sin(2 * np.pi * 441 * t) * 30000 / 32768, atol=2e-3
    )  # the loop has no seam
    np.testing.assert_allclose(
        np.abs(soft[2000:]).max() / np.abs(loud[2000:]).max(), 10 ** (-0.4 * 400 / 200), rtol=0.01
    )
    octave = soundfonts.soundfont_note(font, 5, 81, 100)
    np.testing.assert_allclose(
        octave[2000:50000], np.sin(2 * np.pi * 882 * np.arange(2000, 50000) / 44100) * 30000 / 32768, atol=2e-2
    )
    lower = write_soundfont(tmp_path / 'lower.sf2', coarse=-12)
    assert round(pitch_of(soundfonts.soundfont_note(lower, 5, 69, 100))) == 57
    assert not soundfonts.soundfont_note(font, 6, 69).any() and soundfonts.font_programs(font) == ()


def test_errors_name_the_font(tmp_path):
    bad = tmp_path / 'bad.sf2'
    bad.write_bytes(b'RIFF nothing')
    for call, word in (
        (lambda: soundfonts.font_programs(str(bad)), 'bad.sf2'),
        (lambda: soundfonts.font_key(str(tmp_path / 'no.sf2')), 'no.sf2'),
    ):
        with pytest.raises(DrumnbError, match=word):
            call()
    torn = write_soundfont(tmp_path / 'torn.sf2', drop='shdr')
    with pytest.raises(DrumnbError, match='torn.sf2'):
        soundfonts.read_soundfont(torn)


def test_fonts_are_found_once(tmp_path, monkeypatch):
    font = write_soundfont(tmp_path / 'sine.sf2')
    (tmp_path / 'again.sf2').symlink_to(font)
    monkeypatch.setenv('DRUMNB_SOUNDFONTS', f'{tmp_path}:{font}:{tmp_path / "none.sf2"}')
    monkeypatch.setattr(soundfonts, 'DEBIAN_FONTS', tmp_path / 'nowhere')
    assert [str(f) for f in soundfonts.installed_fonts()] == [font]
    assert soundfonts.find_soundfonts() == []  # too few programs for General MIDI
