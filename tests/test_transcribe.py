"""From a file to onsets, with everything that can be wrong with a file."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from performances import HAND, SR, bad_files, kicks

from drumnb.core import DrumnbError, rng_for
from drumnb.drums import DRUMS5
from drumnb.models.registry import make_model, save_model
from drumnb.spectrograms import LogSpec
from drumnb.transcription import transcribe as tr
from drumnb.transcription.score import transcribe

# ---- reading


@pytest.mark.parametrize('rate,channels', [(SR, 1), (8000, 1), (96000, 6), (48000, 2)])
def test_any_rate_and_channels_give_the_same_onsets(tmp_path, rate, channels):
    soundfile.write(tmp_path / 'x.wav', kicks(4.0, 0.5, rate, channels), rate)
    out = tr.transcribe_performance(tmp_path / 'x.wav', HAND)
    found = out.onsets.of('KD')
    assert out.duration == pytest.approx(4, abs=0.01)
    assert len(found) in (7, 8) and np.abs((found + 0.25) % 0.5 - 0.25).max() < 0.03


def test_silence_gives_nothing_and_noise_and_speech_a_whole_result(tmp_path):
    rng, t = rng_for('speech'), np.arange(3 * SR) / SR
    syllables = np.sin(np.pi * np.minimum((t % 0.25) / 0.25, 1)) ** 2
    speech = 0.3 * syllables * sum(np.sin(2 * np.pi * k * 140 * t + k) / k for k in range(1, 20)) / 3
    for name, x in (('silence', np.zeros(3 * SR)), ('noise', rng.normal(0, 0.1, 3 * SR)), ('speech', speech)):
        soundfile.write(tmp_path / f'{name}.wav', x, SR)
        out = transcribe(tmp_path / f'{name}.wav', HAND)
        assert (len(out) == 0) if name == 'silence' else np.isfinite(out.confidence).all()
        assert out.score.n_bars >= 1 and len(out.score.notes) <= len(out)


@pytest.mark.parametrize('seconds', [1 / SR, 0.01, 0.2])
def test_a_very_short_file_is_transcribed(tmp_path, seconds):
    soundfile.write(tmp_path / 'x.wav', kicks(max(seconds, 1 / SR))[: max(1, int(seconds * SR))], SR)
    out = transcribe(tmp_path / 'x.wav', HAND)
    assert out.duration == pytest.approx(seconds, abs=1e-4) and out.onsets.times.max(initial=0) <= seconds + 0.011


@pytest.mark.parametrize('name', ['truncated.mp3', 'text.wav', 'video.mp4', 'empty.wav', 'half.wav'])
def test_a_bad_file_is_one_clear_line(tmp_path, name):
    (tmp_path / name).write_bytes(bad_files(tmp_path)[name])
    with pytest.raises(DrumnbError) as e:
        transcribe(tmp_path / name, HAND)
    assert name in str(e.value) and '\n' not in str(e.value)


def test_the_sound_of_a_video_is_read(tmp_path):
    if not shutil.which('ffmpeg'):
        pytest.skip('ffmpeg is not installed: no video file can be made')
    made = subprocess.run(
        [
            'ffmpeg',
            '-v',
            'error',
            '-f',
            'lavfi',
            '-i',
            'testsrc=d=1:s=64x64',
            '-f',
            'lavfi',
            '-i',
            'sine=d=1',
            '-c:v',
            'mpeg4',
            str(tmp_path / 'v.mp4'),
        ],
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    assert transcribe(tmp_path / 'v.mp4', HAND).duration == pytest.approx(1, abs=0.1)


# ---- model


def test_without_weights_the_remedy_is_named(monkeypatch):
    monkeypatch.setattr(tr, 'shipped_weights', lambda: [])
    with pytest.raises(DrumnbError, match='ships no weights; train one with `drumnb run'):
        tr.load_transcriber()


def test_settings_come_from_the_model_file(tmp_path):
    path = save_model(
        tmp_path / 'm',
        make_model('rnn'),
        features=LogSpec(rms=0.2).to_dict(),
        vocabulary=list(DRUMS5),
        threshold=[0.1, 0.2, 0.3, 0.4, 0.5],
        picking=dict(threshold=0.02),
        calibration=dict(drums=dict(KD=[2, 1])),
        velocity=dict(drums=dict(KD=[0.5, 0.1])),
    )
    t = tr.load_transcriber(path)
    assert t.spec == LogSpec(rms=0.2) and t.threshold == (0.1, 0.2, 0.3, 0.4, 0.5) and t.picking.threshold == 0.02
    assert t.calibration.drums['KD'] == (2, 1) and t.velocity.drums['KD'] == (0.5, 0.1)
    foreign = save_model(tmp_path / 'n', make_model('rnn'))
    with pytest.raises(DrumnbError, match='which features'):
        tr.load_transcriber(foreign)


def test_a_new_file_under_the_same_name_is_read_again(tmp_path):
    a = tr.load_transcriber(save_model(tmp_path / 'm', make_model('rnn'), features='log', threshold=0.5))
    b = tr.load_transcriber(save_model(tmp_path / 'm', make_model('rnn', seed=1), features='log', threshold=0.6))
    assert a.threshold == 0.5 and b.threshold == 0.6 and a.key != b.key


def test_the_full_kit_is_written_when_asked_for(tmp_path):
    "The onsets are the same; only what is asked for has the column, and a second call with another kit is new work."
    import numpy as np

    from drumnb import audio
    from drumnb.cli import main
    from drumnb.core import rng_for
    from drumnb.drums import DRUMS5, FULL_KIT, reduce_drum
    from drumnb.models.registry import make_model, save_model
    from drumnb.spectrograms import LogSpec

    about = dict(features=LogSpec(mul=3, rms=0.1).to_dict(), vocabulary=list(DRUMS5), threshold=0.45)
    weights = save_model(tmp_path / 'full', make_model('rnn', n_drums=5 + len(FULL_KIT)), **about)
    audio.save(tmp_path / 'song.wav', rng_for('full').normal(0, 0.1, 3 * audio.SAMPLE_RATE).astype(np.float32))
    command = ['transcribe', str(tmp_path / 'song.wav'), '--model', str(weights), '--out', str(tmp_path), '-f', 'csv']
    tables = []
    for kit in ([], ['--kit', 'full']):
        assert main([*command, '--beats', 'bpm=120', *kit]) == 0
        tables.append([line.split(',') for line in (tmp_path / 'song.csv').read_text().splitlines()])
    five, full = tables
    assert five[0] == ['onset_s', 'drum', 'velocity', 'confidence'] and full[0] == [*five[0], 'articulation']
    assert [row[:4] for row in full] == five and len(five) > 1
    assert all(reduce_drum(row[4], DRUMS5) == row[1] for row in full[1:])


def test_the_tool_needs_no_torch():
    "The base install has none; the wheel's smoke test would notice much later."
    needed = 'transcription.transcribe', 'notation.batch_transcription', 'notation.corrections', 'notation.formats'
    said = f"import sys, {', '.join(f'drumnb.{name}' for name in needed)}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, '-c', said], check=True)
