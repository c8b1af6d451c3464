"""Files that lie about what they hold: one line, exit status 2, in little time and memory, nothing half-written."""

import contextlib
import os
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from performances import HAND, SR, kicks

from drumnb import audio
from drumnb.core import DrumnbError
from drumnb.spectrograms import LogSpec, stream_features
from drumnb.transcription.transcribe import transcribe_performance


def claiming(path, at, form, value, seconds=1.0):
    "A good WAV file of which one number of the header is changed."
    sf.write(path, kicks(seconds), SR, subtype='PCM_16')
    raw = bytearray(path.read_bytes())
    struct.pack_into(form, raw, at, value)
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize('rate', [0, 1, 7, 100, 1999, 768_001, 4_000_000_000])
def test_a_rate_that_no_recording_has_is_refused(tmp_path, rate):
    with pytest.raises(DrumnbError, match='x.wav: ') as e:
        audio.load(claiming(tmp_path / 'x.wav', 24, '<I', rate))
    assert '\n' not in str(e.value)


def test_claims_at_the_bounds_are_read_and_beyond_them_refused(tmp_path):
    for rate in audio.RATES:
        sf.write(tmp_path / 'x.wav', np.zeros(rate // 10), rate)
        assert len(audio.load(tmp_path / 'x.wav')) == pytest.approx(4410, abs=1)
    sf.write(tmp_path / 'x.wav', np.zeros((10, audio.CHANNELS + 1)), SR)
    with pytest.raises(DrumnbError, match='65 channels'):
        audio.load(tmp_path / 'x.wav')
    with sf.SoundFile(tmp_path / 'long.flac', 'w', 2000, 1) as f:
        for _ in range(13):
            f.write(np.zeros(3600 * 2000, np.int16))
    with pytest.raises(DrumnbError, match='13 hours'):
        audio.duration(tmp_path / 'long.flac')


@pytest.mark.parametrize('kind', ['aiff', 'au', 'w64', 'caf', 'wav'])
@pytest.mark.parametrize('keep', [0.1, 0.5, 0.97, 0.999])
def test_a_container_cut_anywhere_is_refused(tmp_path, kind, keep):
    sf.write(tmp_path / f'x.{kind}', kicks(1.0), SR)
    whole = (tmp_path / f'x.{kind}').read_bytes()
    assert len(audio.load(tmp_path / f'x.{kind}')) == SR
    (tmp_path / f'x.{kind}').write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(DrumnbError, match='truncated'):
        audio.load(tmp_path / f'x.{kind}')


@pytest.mark.parametrize('kind', ['wav', 'aiff', 'au', 'w64', 'caf', 'flac', 'ogg', 'mp3'])
def test_mutated_files_are_read_or_refused(tmp_path, kind):
    "Flipped, cut, inserted and extreme bytes, mostly in the header; `fuzz.py` in benchmarks/ does thousands."
    from fuzz import mutate

    sf.write(tmp_path / f'x.{kind}', kicks(0.3), SR)
    whole, rng = (tmp_path / f'x.{kind}').read_bytes(), np.random.default_rng(5)
    for _ in range(25):
        (tmp_path / f'y.{kind}').write_bytes(mutate(whole, rng))
        try:
            x = audio.load(tmp_path / f'y.{kind}')
            assert x.ndim == 1 and np.isfinite(x).all()
        except DrumnbError as e:
            assert f'y.{kind}' in str(e) and '\n' not in str(e)


def test_what_is_no_ordinary_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / 'pipe.wav')
    (tmp_path / 'loop.wav').symlink_to('loop.wav')
    for path in (
        tmp_path / 'pipe.wav',
        tmp_path / 'loop.wav',
        '/dev/zero',
        'x' * 300,
        'a\0b',
        tmp_path / 'x.wav/y.wav',
    ):
        with pytest.raises(DrumnbError):
            audio.load(path)


# ---- recordings that lie


def times(path, **kw):
    return transcribe_performance(path, HAND).onsets.of('KD')


def test_channels_that_cancel_are_heard_and_said(tmp_path, caplog):
    x = kicks(4.0)
    sf.write(tmp_path / 'wide.wav', np.stack([0.5 * x, -0.5 * x], 1), SR)
    sf.write(tmp_path / 'plain.wav', x, SR)
    assert len(times(tmp_path / 'plain.wav')) >= 7
    assert times(tmp_path / 'wide.wav') == pytest.approx(times(tmp_path / 'plain.wav'))
    assert 'wide.wav: its two channels cancel' in caplog.text and 'plain.wav' not in caplog.text


@pytest.mark.parametrize(
    'name, change, said',
    [
        ('dead', lambda x: np.stack([x, 0 * x], 1), ''),
        ('offset', lambda x: 0.4 * x + 0.3, 'offset of +0.30'),
        ('clipped', lambda x: np.clip(40 * x, -1, 1), 'clipped'),
        ('soft', lambda x: 0.004 * x, ''),
    ],
)
def test_other_lies_change_no_onset(tmp_path, caplog, name, change, said):
    x = kicks(4.0)
    sf.write(tmp_path / f'{name}.wav', change(x), SR, subtype='FLOAT')
    sf.write(tmp_path / 'plain.wav', x, SR)
    expected = times(tmp_path / 'plain.wav')
    found = times(tmp_path / f'{name}.wav')
    assert np.abs(found[:, None] - expected).min(1).max() <= 0.011 and len(found) >= len(expected) - 1
    assert (said in caplog.text) if said else not caplog.text


def test_near_silence_is_not_raised_to_music(tmp_path):
    noise = np.random.default_rng(0).normal(0, 2e-5, 2 * SR)  # -94 dB
    sf.write(tmp_path / 'near.wav', noise, SR, subtype='FLOAT')
    sf.write(tmp_path / 'soft.wav', 500 * noise, SR, subtype='FLOAT')
    spec = LogSpec(mul=3, rms=0.1)
    near, soft = (stream_features(tmp_path / n, spec)[0] for n in ('near.wav', 'soft.wav'))
    assert np.mean(near) < 0.03 * np.mean(soft)
    assert np.allclose(near, spec.linear(audio.load(tmp_path / 'near.wav')), atol=1e-6)


# ---- other decoders


def write_m4a(path, x):
    av = pytest.importorskip('av')
    with av.open(str(path), 'w') as out:
        stream = out.add_stream('aac', rate=SR, layout='mono')
        frame = av.AudioFrame.from_ndarray(x[None].astype(np.float32), 'fltp', 'mono')
        frame.sample_rate, frame.pts = SR, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def test_a_phone_recording_is_read_in_time(tmp_path):
    x = np.zeros(3 * SR, np.float32)
    x[5000] = 0.9
    y = audio.load(write_m4a(tmp_path / 'phone.m4a', x))
    assert abs(len(y) - len(x)) <= 2048 and abs(int(np.abs(y).argmax()) - 5000) <= 44


def test_without_a_decoder_the_remedy_is_named(tmp_path, monkeypatch):
    (tmp_path / 'phone.m4a').write_bytes(b'\0\0\0\x18ftypM4A ' + bytes(100))
    monkeypatch.setattr(audio.importlib.util, 'find_spec', lambda name: None)
    monkeypatch.setattr(audio.shutil, 'which', lambda name: None)
    with pytest.raises(DrumnbError, match='phone.m4a: an MP4 or M4A file needs a decoder; `pip install av`, .*ffmpeg'):
        audio.load(tmp_path / 'phone.m4a')


# ---- the command


def run(*words, limit=None, **kw):
    "The command in a process of its own, within 1.5 GB of memory beyond its libraries when told so."

    def limited():
        if limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    command = [sys.executable, '-c', 'import sys; from drumnb.cli import main; sys.exit(main())']
    return subprocess.run(
        [*command, *map(os.fsencode, words)], capture_output=True, timeout=120, preexec_fn=limited, **kw
    )


@pytest.mark.skipif(sys.platform != 'linux', reason='names are bytes on Linux only')
def test_a_name_that_is_no_text_gets_its_files(tmp_path, tiny):
    name = os.fsdecode(b'bad\xff\x1b[31m.wav')
    sf.write(os.fsencode(tmp_path / name), kicks(1.0), SR, format='WAV')
    claiming(tmp_path / 'rate1.wav', 24, '<I', 1)
    r = run('transcribe', tmp_path / name, tmp_path / 'rate1.wav', '--out', tmp_path / 'out', '--model', tiny)
    assert r.returncode == 1 and b'Traceback' not in r.stderr and b'claims 1 Hz' in r.stderr
    assert rb'bad\udcff\x1b[31m' in r.stdout and b'\x1b' not in r.stdout + r.stderr
    assert {p.suffix for p in (tmp_path / 'out').iterdir() if p.is_file()} == {'.csv', '.mid'}


@pytest.mark.skipif(sys.platform != 'linux', reason='looks for processes in /proc')
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = "import time; from drumnb.core import side_by_side; list(side_by_side(time.sleep, [60.0, 60.1], 2))"
    parent = subprocess.Popen([sys.executable, '-c', code])

    def children():
        found = []
        for stat in Path('/proc').glob('[0-9]*/stat'):
            with contextlib.suppress(OSError):
                if b'spawn_main' in (stat.parent / 'cmdline').read_bytes():
                    if stat.read_text().rpartition(')')[2].split()[1] == str(parent.pid):
                        found.append(stat.parent)
        return found

    deadline = time.monotonic() + 60
    while len(workers := children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(workers) == 2
    time.sleep(3)  # until both listen for the end of the parent
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while any(w.exists() for w in workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not [w for w in workers if w.exists()]


def test_a_damaged_index_is_a_problem_and_no_traceback(tmp_path, monkeypatch):
    from drumnb.datasets.registry import get_dataset, write_fixture

    monkeypatch.setenv('DRUMNB_DATA', str(tmp_path))
    for name in ('groove', 'slakh'):
        write_fixture(name, tmp_path)
    (index,) = tmp_path.rglob('info.csv')
    index.write_text(index.read_text().replace(',4.0,', ',four,'))
    next(iter(tmp_path.rglob('metadata.yaml'))).write_text('stems: [1, 2]\n')
    for name, said in (('groove', 'cannot be read'), ('slakh', 'metadata.yaml')):
        report = get_dataset(name).validate()
        assert not report.ok and any(said in p for p in report.problems)
