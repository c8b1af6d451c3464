"""Batches of files with real processes, real signals and folders that really cannot be written."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from performances import HAND, SR, kicks

from drumnb import core
from drumnb.core import DrumnbError
from drumnb.notation import batch_transcription as bt
from drumnb.notation import formats as fm

ALL = 'csv,score,mid,jams,musicxml,svg,pdf,html'


@contextlib.contextmanager
def nobody():
    "Work as a user without rights when the tests run as root, who may write everywhere."
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def open_folder():
    "A folder below which another user may read."
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_read_only_folder_is_named_before_any_work_and_keeps_its_files(open_folder):
    soundfile.write(open_folder / 'song.wav', kicks(), SR)
    out = open_folder / 'out'
    assert bt.transcribe_files([open_folder / 'song.wav'], out, 'csv', HAND).status[0] == 'done'
    whole = (out / 'song.csv').read_bytes()
    out.chmod(0o555)
    with nobody():
        with pytest.raises(DrumnbError, match=r'out: cannot be written to \(Permission denied\).*--out'):
            bt.transcribe_files([open_folder / 'song.wav'], out, 'csv,mid', HAND)
        with pytest.raises(DrumnbError, match='cannot be written to'):
            bt.transcribe_files([open_folder / 'song.wav'], out / 'deeper', 'csv', HAND)
    assert (out / 'song.csv').read_bytes() == whole and sorted(p.name for p in out.iterdir()) == ['.drumnb', 'song.csv']


def test_a_disk_that_is_nearly_full_is_named_before_any_work(tmp_path, monkeypatch):
    soundfile.write(tmp_path / 'song.wav', kicks(), SR)
    free = shutil.disk_usage(tmp_path).free // 1_000_000_000 * 1_000_000_000
    monkeypatch.setattr(core, 'FREE', 2 * free + 1)
    with pytest.raises(DrumnbError, match='out: only .* MB are free; make room, or choose another folder with --out'):
        bt.transcribe_files([tmp_path / 'song.wav'], tmp_path / 'out', 'csv', HAND)
    assert not list((tmp_path / 'out').iterdir())


def test_a_name_too_long_for_its_results_fails_alone(tmp_path):
    long = tmp_path / f'{"ö" * 123}xx.wav'  # 252 bytes; .csv fits in 255, .musicxml does not
    for path in (long, tmp_path / 'song.wav'):
        soundfile.write(path, kicks(), SR)
    outcomes = bt.transcribe_files([long, tmp_path / 'song.wav'], tmp_path / 'out', 'csv,musicxml', HAND)
    assert list(outcomes.status) == ['failed', 'done'] and 'bytes, 255 are possible' in outcomes.message[0]


def test_a_recording_that_may_not_be_read_fails_alone(open_folder):
    for name in ('a.wav', 'b.wav'):
        soundfile.write(open_folder / name, kicks(1.0), SR)
    (open_folder / 'a.wav').chmod(0o000)
    (open_folder / 'out').mkdir()
    (open_folder / 'out').chmod(0o777)
    with nobody():
        r = bt.transcribe_files([open_folder / 'a.wav', open_folder / 'b.wav'], open_folder / 'out', 'csv', HAND)
    assert r.status.tolist() == ['failed', 'done'] and 'a.wav' in r.message[0] and '\n' not in r.message[0]


def test_silence_and_ten_milliseconds_in_every_format(tmp_path):
    pytest.importorskip('verovio')
    pytest.importorskip('typst')
    soundfile.write(tmp_path / 'silence.wav', np.zeros(2 * SR), SR)
    soundfile.write(tmp_path / 'short <script>.wav', kicks(0.01), SR)
    r = bt.transcribe_files([tmp_path / 'silence.wav', tmp_path / 'short <script>.wav'], tmp_path / 'out', ALL, HAND)
    assert r.status.tolist() == ['done', 'done'], r.message.tolist()
    for stem in ('silence', 'short <script>'):
        assert all((tmp_path / 'out' / f'{stem}{fm.FORMATS[f][0]}').stat().st_size > 0 for f in fm.as_formats(ALL))
    assert (tmp_path / 'out' / 'silence.csv').read_text() == 'onset_s,drum,velocity,confidence\n'
    assert '<title>short &lt;script&gt;</title>' in (tmp_path / 'out' / 'short <script>.html').read_text()


def test_two_jobs_do_what_one_does(tmp_path, tiny):
    for i in range(3):
        soundfile.write(tmp_path / f'{i}.wav', kicks(1.0 + i), SR)
    (tmp_path / 'bad.wav').write_text('not audio')
    files = [tmp_path / '0.wav', tmp_path / 'bad.wav', tmp_path / '1.wav', tmp_path / '2.wav']
    two = bt.transcribe_files(files, tmp_path / 'two', 'csv', tiny, jobs=2)
    one = bt.transcribe_files(files, tmp_path / 'one', 'csv', tiny)
    assert (
        two.status.tolist() == one.status.tolist() == ['done', 'failed', 'done', 'done']
        and two.message.tolist() == one.message.tolist()
    )
    for i in range(3):
        assert (tmp_path / 'two' / f'{i}.csv').read_bytes() == (tmp_path / 'one' / f'{i}.csv').read_bytes()


def test_ctrl_c_in_the_middle_of_a_batch(tmp_path, tiny):
    for i in range(60):
        soundfile.write(tmp_path / f'{i:02d}.wav', kicks(8.0), SR)
    out, files = tmp_path / 'out', [str(tmp_path / f'{i:02d}.wav') for i in range(60)]
    words = [
        sys.executable,
        '-c',
        'import sys; from drumnb.cli import main; sys.exit(main())',
        'transcribe',
        *files,
        '--out',
        str(out),
        '--formats',
        'csv,mid',
        '--model',
        str(tiny),
        '--jobs',
        '1',
    ]
    run = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, 'DRUMNB_QUIET': '1', 'OMP_NUM_THREADS': '1'},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # a shell that runs the tests in the background has it ignored
    deadline = time.monotonic() + 300
    while not (out / '01.csv').exists():
        assert run.poll() is None and time.monotonic() < deadline, run.communicate()
        time.sleep(0.02)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)
    assert run.returncode == 130 and 'goes on where it stopped' in err and 'Traceback' not in err, err
    done = sorted(p.stem for p in out.glob('*.csv'))
    assert 2 <= len(done) < 60 and not [p for p in out.rglob('*') if '.part' in p.name]
    for stem in done:
        assert pd.read_csv(out / f'{stem}.csv').columns.tolist() == ['onset_s', 'drum', 'velocity', 'confidence']
    again = bt.transcribe_files(files[:3], out, 'csv,mid', tiny)
    assert again.status.tolist()[0] == 'skipped' and (again.status != 'failed').all()
