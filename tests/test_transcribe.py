"""From a file to onsets, score and results on disk, with everything that can be wrong with a file."""

import shutil
import subprocess

import mido
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb import audio
from drumnb.core import DrumnbError, rng_for
from drumnb.drums import DRUMS5
from drumnb.experiments.inference import STRIKE_BANDS, _logit, _sigmoid, calibration_error
from drumnb.models.registry import make_model, save_model
from drumnb.onsets import Onsets, PeakPicking, read_midi
from drumnb.spectrograms import LogSpec
from drumnb.transcription import transcribe as tr

SR = audio.SAMPLE_RATE


class Rise(torch.nn.Module):
    "A detector made by hand: an onset is a rise of energy in the bands of a drum."

    chunk, overlap = 500, 20

    def __init__(self):
        super().__init__()
        hz = torch.tensor(LogSpec().frequencies.copy())
        bands = torch.stack([((hz >= a) & (hz < b)).float() for a, b in map(STRIKE_BANDS.get, DRUMS5)], 1)
        self.bands = torch.nn.Parameter(bands / bands.sum(0), requires_grad=False)

    def forward(self, x):
        level = x @ self.bands
        rise = level - torch.nn.functional.pad(level, (0, 0, 2, 0))[:, :-2]
        return 40 * rise - 6


HAND = tr.Transcriber(
    Rise(),
    LogSpec(mul=3, rms=0.1),
    None,
    DRUMS5,
    PeakPicking(mean_pre=10, mean_post=10),
    0.5,
    name='by hand',
    key='hand',
)


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    return save_model(
        tmp_path_factory.mktemp('model') / 'tiny',
        make_model('rnn'),
        features=LogSpec(mul=3, rms=0.1).to_dict(),
        vocabulary=list(DRUMS5),
        threshold=0.5,
    )


def kicks(seconds=4.0, every=0.5, sample_rate=SR, channels=1):
    "A decaying 60 Hz tone every half second."
    t = np.arange(int(seconds * sample_rate)) / sample_rate
    x = (0.6 * np.exp(-(t % every) * 25) * np.sin(2 * np.pi * 60 * (t % every))).astype(np.float32)
    return x if channels == 1 else np.repeat(x[:, None], channels, 1)


@pytest.fixture
def song(tmp_path):
    soundfile.write(tmp_path / 'song.wav', kicks(), SR)
    return tmp_path / 'song.wav'


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
        out = tr.transcribe(tmp_path / f'{name}.wav', HAND)
        assert (len(out) == 0) if name == 'silence' else np.isfinite(out.confidence).all()
        assert out.score.n_bars >= 1 and len(out.score.notes) <= len(out)


@pytest.mark.parametrize('seconds', [1 / SR, 0.01, 0.2])
def test_a_very_short_file_is_transcribed(tmp_path, seconds):
    soundfile.write(tmp_path / 'x.wav', kicks(max(seconds, 1 / SR))[: max(1, int(seconds * SR))], SR)
    out = tr.transcribe(tmp_path / 'x.wav', HAND)
    assert out.duration == pytest.approx(seconds, abs=1e-4) and out.onsets.times.max(initial=0) <= seconds + 0.011


def mp3(path, x):
    with soundfile.SoundFile(path, 'w', SR, 1, 'MPEG_LAYER_III', format='MP3') as f:
        f.write(x)
    return path.read_bytes()


def bad_files(folder):
    "Files that cannot be transcribed, by name."
    whole = mp3(folder / 'whole.mp3', kicks(6.0))
    (folder / 'whole.mp3').unlink()
    return {
        'truncated.mp3': whole[: len(whole) // 2],
        'text.wav': b'this is a letter, not a song',
        'video.mp4': b'\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41' + b'\0' * 2000,
        'empty.wav': b'',
        'half.wav': b'RIFF\xff\xff\0\0WAVEfmt ' + b'\0' * 10,
    }


@pytest.mark.parametrize('name', ['truncated.mp3', 'text.wav', 'video.mp4', 'empty.wav', 'half.wav'])
def test_a_bad_file_is_one_clear_line(tmp_path, name):
    (tmp_path / name).write_bytes(bad_files(tmp_path)[name])
    with pytest.raises(DrumnbError) as e:
        tr.transcribe(tmp_path / name, HAND)
    assert name in str(e.value) and '\n' not in str(e.value)


def test_a_real_video_is_refused_or_read(tmp_path):
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
    with pytest.raises(DrumnbError, match='v.mp4: cannot be read as audio'):
        tr.transcribe(tmp_path / 'v.mp4', HAND)


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


def test_calibration_is_monotone_and_right_on_average():
    rng = rng_for('calibration')
    truth = {'KD': (2.0, 1.0), 'CY': (0.7, -1.0)}
    tables = []
    for drum, (a, b) in truth.items():
        p = rng.uniform(0.05, 0.95, 4000)
        tables.append(pd.DataFrame(dict(drum=drum, activation=p, true=rng.random(4000) < _sigmoid(a * _logit(p) + b))))
    peaks = pd.concat(tables)
    c = tr.Calibration.fit(peaks)
    for drum, w in truth.items():
        assert np.allclose(c.drums[drum], w, atol=0.2)
    assert calibration_error(c(peaks.activation, peaks.drum), peaks.true) < 0.02
    assert tr.Calibration()([0.3], ['KD'])[0] == pytest.approx(0.3)


# ---- score


def performed(times, drums, duration=None):
    o = Onsets.make(times, drums, np.full(len(times), 0.7))
    return tr.Transcription(o, np.full(len(o), 0.9, np.float32), duration or float(max(times) + 1))


@settings(max_examples=25, deadline=None)
@given(st.integers(60, 200), st.sampled_from(['4/4', '3/4', '6/8', '5/4']), st.integers(0, 10**6))
def test_every_onset_is_in_the_score_once(bpm, meter, seed):
    rng = rng_for('score', seed)
    n = int(rng.integers(1, 60))
    p = performed(np.sort(rng.uniform(0, 20, n)), rng.integers(0, 5, n))
    k = tr.beats_per_bar(meter)
    beats = np.c_[0.3 + np.arange(30) * 60 / bpm, np.arange(30) % k + 1]
    s = tr.make_score(p, beats, meter)
    assert len(s.notes) + s.dropped == n and s.notes.onset.is_unique
    assert ((0 <= s.notes.tick) & (s.notes.tick < s.notes.parts)).all() and s.notes.bar.between(0, s.n_bars - 1).all()
    at = s.downbeats[s.notes.bar] + s.notes.beat
    assert (s.grids[at] == s.notes.parts).all()
    nominal = tr._nominal(s.beats[:, 0], at.to_numpy(), (s.notes.tick / s.notes.parts).to_numpy())
    plain = ~s.notes.grace
    assert np.allclose((nominal - s.notes.onset_s)[plain], s.notes.moved_s[plain], atol=1e-9)
    assert s.notes.moved_s.abs().max() <= 60 / bpm * 0.5 + 0.05


def test_swing_becomes_triplets_and_straight_stays_straight():
    beats = np.c_[np.arange(0, 16, 0.5), np.arange(32) % 4 + 1]
    rng = rng_for('swing')
    for place, want in ((2 / 3, 'triplet'), (0.5, 'straight')):
        t = np.concatenate([np.arange(0, 15, 0.5), np.arange(0, 15, 0.5) + 0.5 * place])
        s = tr.make_score(performed(np.clip(t + rng.normal(0, 0.008, len(t)), 0, None), np.full(len(t), 3)), beats)
        assert (s.tempo().grid.iloc[:28] == want).mean() > 0.9


def test_flams_become_grace_notes_of_the_same_place():
    s = tr.make_score(
        performed([0.97, 1.0, 2.0], ['SD', 'SD', 'KD']), np.c_[np.arange(0, 5, 0.5), np.arange(10) % 4 + 1]
    )
    snares = s.notes[s.notes.drum == 'SD']
    assert snares.grace.tolist() == [True, False] or snares.grace.tolist() == [False, True]
    assert snares.tick.nunique() == snares.beat.nunique() == 1


@pytest.mark.parametrize('bpm', [80, 100, 120, 150])
def test_the_tempo_of_a_rock_beat_is_found(bpm):
    rng, beat = rng_for('rock', bpm), 60 / bpm
    rows = [
        (k * beat * 4 + t * beat, d)
        for k in range(12)
        for t, d in [(0, 'KD'), (2, 'KD'), (1, 'SD'), (3, 'SD'), *[(i / 2, 'HH') for i in range(8)]]
    ]
    times, drums = zip(*rows)
    p = performed(0.4 + np.array(times) + np.abs(rng.normal(0, 0.006, len(times))), drums)
    beats = tr.find_beats(None, p)
    inside = beats[(beats[:, 0] > 1) & (beats[:, 0] < 12 * 4 * beat - 1)]
    assert np.median(np.diff(beats[:, 0])) == pytest.approx(beat, rel=0.02)
    assert np.abs((inside[:, 0] - 0.4 + beat / 2) % beat - beat / 2).max() < 0.04
    assert (np.rint((inside[:, 0] - 0.4) / beat) % 4 + 1 == inside[:, 1]).all()


def test_beats_from_words_and_files(tmp_path):
    p = performed([0.1, 0.6, 1.1], ['KD', 'SD', 'KD'])
    assert tr.find_beats('bpm=120', p)[0, 0] == pytest.approx(0.1, abs=0.01)
    (tmp_path / 'b.txt').write_text('# beats\n0.5 1\n1.0 2\n1.5 3\n')
    assert tr.find_beats(tmp_path / 'b.txt', p).tolist() == [[0.5, 1], [1, 2], [1.5, 3]]
    for text in ('1 1\n0.5 2\n', 'one\n', '1\n'):
        (tmp_path / 'b.txt').write_text(text)
        with pytest.raises(DrumnbError, match='b.txt: expected'):
            tr.find_beats(tmp_path / 'b.txt', p)
    with pytest.raises(DrumnbError, match='20 to 400'):
        tr.find_beats('bpm=1000', p)


# ---- files


def test_midi_keeps_seconds_and_carries_the_tempo(tmp_path):
    p = performed([0.313, 1.007, 1.9, 4.2], ['KD', 'SD', 'KD', 'HH'])
    beats = np.c_[0.3 + np.cumsum(np.r_[0, np.linspace(0.5, 0.7, 9)]), np.arange(10) % 4 + 1]
    p = tr.replace(p, score=tr.make_score(p, beats))
    tr.write_performance_midi(tmp_path / 'x.mid', p)
    again = read_midi(tmp_path / 'x.mid').onsets()
    assert np.abs(again.times - p.onsets.times).max() < 1.5e-3
    assert len({m.tempo for m in mido.MidiFile(tmp_path / 'x.mid') if m.type == 'set_tempo'}) > 5


def test_jams_is_valid(tmp_path):
    import jams

    p = performed([0.5, 1, 1.5], ['KD', 'SD', 'KD'])
    p = tr.replace(p, title='<script>', score=tr.make_score(p, tr.find_beats('bpm=120', p)))
    tr.write_transcription_jams(tmp_path / 'x.jams', p)
    j = jams.load(str(tmp_path / 'x.jams'))
    assert j.validate() and {a.namespace for a in j.annotations} == {'tag_open', 'beat', 'tempo'}
    assert [o.confidence for o in j.annotations[0].data] == pytest.approx([0.9] * 3, abs=1e-6)


def test_a_corrected_table_is_read_back(tmp_path, song):
    out = tr.transcribe(song, HAND, 'bpm=120')
    tr.write_table(tmp_path / 'x.csv', out)
    assert (tmp_path / 'x.csv').read_text().splitlines()[0] == 'onset_s,drum,velocity,confidence'
    back = tr.read_transcription(tmp_path / 'x.csv', song)
    assert (
        back.onsets.equals(out.onsets, 1e-4)
        and np.allclose(back.confidence, out.confidence, atol=1e-3)
        and back.duration == pytest.approx(4)
    )
    with open(tmp_path / 'x.csv', 'a') as f:
        f.write('3.9,SD,,\n')
    assert len(tr.read_transcription(tmp_path / 'x.csv')) == len(out) + 1


# ---- batches


def test_a_batch_goes_past_bad_files_and_resumes(tmp_path, song, tiny):
    files = [song]
    for name, content in bad_files(tmp_path).items():
        (tmp_path / name).write_bytes(content)
        files.append(tmp_path / name)
    odd = tmp_path / 'a<script>alert(1)<script>.wav'
    shutil.copy(song, odd)
    files.append(odd)
    out = tmp_path / 'out'
    first = tr.transcribe_files(files, out, 'csv,mid,jams,score', tiny)
    assert first.status.tolist() == ['done', *['failed'] * 5, 'done']
    assert all(name in m for name, m in zip(bad_files(tmp_path), first.message[1:6]))
    before = {p: p.stat().st_mtime_ns for p in out.iterdir() if p.is_file()}
    second = tr.transcribe_files(files, out, 'csv,mid,jams,score', tiny)
    assert second.status.tolist() == ['skipped', *['failed'] * 5, 'skipped'] and before == {
        p: p.stat().st_mtime_ns for p in out.iterdir() if p.is_file()
    }
    (out / 'song.mid').unlink()
    assert tr.transcribe_files([song], out, 'csv,mid,jams,score', tiny).status[0] == 'done'
    assert tr.transcribe_files([song], out, 'csv', tiny, beats='bpm=90').status[0] == 'done', (
        'other options are another job'
    )
    assert not [p for p in out.rglob('*') if '.part' in p.name]


def test_an_interrupted_batch_keeps_what_is_finished(tmp_path, song, tiny, monkeypatch):
    other = tmp_path / 'other.wav'
    shutil.copy(song, other)
    real = tr.write_formats

    def interrupted(transcription, stem, formats=('csv',)):
        if 'other' in str(stem):
            raise KeyboardInterrupt
        return real(transcription, stem, formats)

    monkeypatch.setattr(tr, 'write_formats', interrupted)
    with pytest.raises(KeyboardInterrupt):
        tr.transcribe_files([song, other], tmp_path / 'out', 'csv', tiny)
    assert pd.read_csv(tmp_path / 'out' / 'song.csv').columns.tolist() == ['onset_s', 'drum', 'velocity', 'confidence']
    assert not (tmp_path / 'out' / 'other.csv').exists()
    monkeypatch.setattr(tr, 'write_formats', real)
    assert tr.transcribe_files([song, other], tmp_path / 'out', 'csv', tiny).status.tolist() == ['skipped', 'done']


def test_an_interruption_inside_a_file_leaves_no_half_file(tmp_path, monkeypatch):
    p = performed([0.5], ['KD'])
    tr.write_table(tmp_path / 'x.csv', p)
    whole = (tmp_path / 'x.csv').read_bytes()

    def torn(*a, **k):
        raise KeyboardInterrupt

    monkeypatch.setattr('pathlib.Path.write_text', torn)
    with pytest.raises(KeyboardInterrupt):
        tr.write_table(tmp_path / 'x.csv', performed([0.5, 0.7], ['KD', 'SD']))
    assert (tmp_path / 'x.csv').read_bytes() == whole and [q.name for q in tmp_path.iterdir()] == ['x.csv']


def test_a_folder_that_cannot_be_written_is_named_first(tmp_path, song, tiny):
    for out in (song, '/proc/drumnb-out'):
        with pytest.raises(DrumnbError, match='cannot be written to .*--out'):
            tr.transcribe_files([song], out, 'csv', tiny)


def test_a_disk_that_fills_up_fails_one_file(tmp_path, song, tiny, monkeypatch):
    def full(*a):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(tr, 'write_performance_midi', full)
    r = tr.transcribe_files([song], tmp_path / 'out', 'csv,mid', tiny)
    assert r.status[0] == 'failed' and 'No space left' in r.message[0] and (tmp_path / 'out' / 'song.csv').exists()


def test_wrong_options_are_named_before_any_work(tmp_path, song, tiny):
    for options, text in (
        (dict(formats='docx'), 'docx'),
        (dict(meter='4/5'), '4/5'),
        (dict(beats=str(tmp_path / 'none')), 'no such file'),
        (dict(model=tmp_path / 'none'), 'no such model'),
    ):
        with pytest.raises(DrumnbError, match=text):
            tr.transcribe_files([song], tmp_path / 'out', **dict(dict(model=tiny), **options))
    assert not (tmp_path / 'out').exists()


def test_shared_stems_are_refused(tmp_path, song, tiny):
    (tmp_path / 'b').mkdir()
    shutil.copy(song, tmp_path / 'b' / 'Song.wav')
    r = tr.transcribe_files([song, tmp_path / 'b' / 'Song.wav'], tmp_path / 'out', 'csv', tiny)
    assert r.status.tolist() == ['done', 'failed'] and 'overwrite' in r.message[1]


def test_velocity_follows_loudness():
    t = np.arange(8 * SR) / SR
    hard = np.where((t // 0.5).astype(int) % 2 == 0, 1.0, 0.25)
    x = (0.6 * hard * np.exp(-(t % 0.5) * 25) * np.sin(2 * np.pi * 60 * (t % 0.5))).astype(np.float32)
    linear = LogSpec().linear(x)
    o = Onsets.make(np.arange(1, 16) * 0.5, ['KD'] * 15)
    levels = tr.strike_levels(linear, o, LogSpec())
    assert (
        np.diff(levels)[::2].min() > 8
        and tr.VelocityModel()(levels, o.names)[1] > tr.VelocityModel()(levels, o.names)[0]
    )


# ---- the command


def run_cli(*words):
    from drumnb.cli import main

    return main(['transcribe', *map(str, words)])


def test_the_command_goes_on_and_lists_what_failed(tmp_path, song, tiny, capsys, monkeypatch):
    monkeypatch.setenv('DRUMNB_QUIET', '1')
    (tmp_path / 'bad.wav').write_text('not audio')
    assert (
        run_cli(
            song,
            tmp_path / 'bad.wav',
            '--out',
            tmp_path / 'out',
            '--formats',
            'csv,mid',
            '--model',
            tiny,
            '--beats',
            'bpm=120',
            '--jobs',
            1,
        )
        == 1
    )
    text = capsys.readouterr()
    assert (tmp_path / 'out' / 'song.csv').exists() and (tmp_path / 'out' / 'song.mid').exists()
    assert '1 of 2' in text.err and 'bad.wav' in text.err and 'Traceback' not in text.err
    assert run_cli(song, '--out', tmp_path / 'out', '--formats', 'csv,mid', '--model', tiny, '--beats', 'bpm=120') == 0
    assert 'skipped' in capsys.readouterr().out
    assert run_cli(song, '--out', song, '--model', tiny) == 2 and 'cannot be written' in capsys.readouterr().err


def test_ctrl_c_ends_the_command_in_one_line(tmp_path, song, tiny, capsys, monkeypatch):
    def interrupted(*a, **k):
        raise KeyboardInterrupt

    monkeypatch.setattr(tr, 'transcribe', interrupted)
    assert run_cli(song, '--out', tmp_path / 'out', '--model', tiny) == 130
    assert 'goes on where it stopped' in capsys.readouterr().err
