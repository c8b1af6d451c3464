"""Transcriptions on disk: every format, batches that go on, and the command."""

import shutil
from dataclasses import replace

import mido
import numpy as np
import pandas as pd
import pytest
from performances import HAND, bad_files, performed

from drumnb.core import DrumnbError
from drumnb.midi_files import read_midi
from drumnb.notation import batch_transcription as bt
from drumnb.notation import formats as fm
from drumnb.notation import midi as md
from drumnb.transcription.meter import find_beats
from drumnb.transcription.score import make_score, transcribe


def test_midi_keeps_seconds_and_carries_the_tempo(tmp_path):
    p = performed([0.313, 1.007, 1.9, 4.2], ['KD', 'SD', 'KD', 'HH'])
    beats = np.c_[0.3 + np.cumsum(np.r_[0, np.linspace(0.5, 0.7, 9)]), np.arange(10) % 4 + 1]
    p = replace(p, score=make_score(p, beats))
    md.write_performance_midi(tmp_path / 'x.mid', p)
    again = read_midi(tmp_path / 'x.mid').onsets()
    assert np.abs(again.times - p.onsets.times).max() < 1.5e-3
    assert len({m.tempo for m in mido.MidiFile(tmp_path / 'x.mid') if m.type == 'set_tempo'}) > 5


def test_jams_is_valid(tmp_path):
    import jams

    p = performed([0.5, 1, 1.5], ['KD', 'SD', 'KD'])
    p = replace(p, title='<script>', score=make_score(p, find_beats('bpm=120', p)))
    fm.write_transcription_jams(tmp_path / 'x.jams', p)
    j = jams.load(str(tmp_path / 'x.jams'))
    assert j.validate() and {a.namespace for a in j.annotations} == {'tag_open', 'beat', 'tempo'}
    assert [o.confidence for o in j.annotations[0].data] == pytest.approx([0.9] * 3, abs=1e-6)


def test_a_corrected_table_is_read_back(tmp_path, song):
    out = transcribe(song, HAND, 'bpm=120')
    fm.write_table(tmp_path / 'x.csv', out)
    assert (tmp_path / 'x.csv').read_text().splitlines()[0] == 'onset_s,drum,velocity,confidence'
    back = fm.read_transcription(tmp_path / 'x.csv', song)
    assert (
        back.onsets.equals(out.onsets, 1e-4)
        and np.allclose(back.confidence, out.confidence, atol=1e-3)
        and back.duration == pytest.approx(4)
    )
    with open(tmp_path / 'x.csv', 'a') as f:
        f.write('3.9,SD,,\n')
    assert len(fm.read_transcription(tmp_path / 'x.csv')) == len(out) + 1


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
    first = bt.transcribe_files(files, out, 'csv,mid,jams,score', tiny)
    assert first.status.tolist() == ['done', *['failed'] * 5, 'done']
    assert all(name in m for name, m in zip(bad_files(tmp_path), first.message[1:6]))
    before = {p: p.stat().st_mtime_ns for p in out.iterdir() if p.is_file()}
    second = bt.transcribe_files(files, out, 'csv,mid,jams,score', tiny)
    assert second.status.tolist() == ['skipped', *['failed'] * 5, 'skipped'] and before == {
        p: p.stat().st_mtime_ns for p in out.iterdir() if p.is_file()
    }
    (out / 'song.mid').unlink()
    assert bt.transcribe_files([song], out, 'csv,mid,jams,score', tiny).status[0] == 'done'
    assert bt.transcribe_files([song], out, 'csv', tiny, beats='bpm=90').status[0] == 'done', (
        'other options are another job'
    )
    assert not [p for p in out.rglob('*') if '.part' in p.name]


def test_an_interrupted_batch_keeps_what_is_finished(tmp_path, song, tiny, monkeypatch):
    other = tmp_path / 'other.wav'
    shutil.copy(song, other)
    real = fm.write_formats

    def interrupted(transcription, stem, *options):
        if 'other' in str(stem):
            raise KeyboardInterrupt
        return real(transcription, stem, *options)

    monkeypatch.setattr(bt, 'write_formats', interrupted)
    with pytest.raises(KeyboardInterrupt):
        bt.transcribe_files([song, other], tmp_path / 'out', 'csv', tiny)
    assert pd.read_csv(tmp_path / 'out' / 'song.csv').columns.tolist() == ['onset_s', 'drum', 'velocity', 'confidence']
    assert not (tmp_path / 'out' / 'other.csv').exists()
    monkeypatch.setattr(bt, 'write_formats', real)
    assert bt.transcribe_files([song, other], tmp_path / 'out', 'csv', tiny).status.tolist() == ['skipped', 'done']


def test_an_interruption_inside_a_file_leaves_no_half_file(tmp_path, monkeypatch):
    p = performed([0.5], ['KD'])
    fm.write_table(tmp_path / 'x.csv', p)
    whole = (tmp_path / 'x.csv').read_bytes()

    def torn(*a, **k):
        raise KeyboardInterrupt

    monkeypatch.setattr('pathlib.Path.write_text', torn)
    with pytest.raises(KeyboardInterrupt):
        fm.write_table(tmp_path / 'x.csv', performed([0.5, 0.7], ['KD', 'SD']))
    assert (tmp_path / 'x.csv').read_bytes() == whole and [q.name for q in tmp_path.iterdir()] == ['x.csv']


def test_a_folder_that_cannot_be_written_is_named_first(tmp_path, song, tiny):
    for out in (song, '/proc/drumnb-out'):
        with pytest.raises(DrumnbError, match='cannot be written to .*--out'):
            bt.transcribe_files([song], out, 'csv', tiny)


def test_a_disk_that_fills_up_fails_one_file(tmp_path, song, tiny, monkeypatch):
    def full(*a):
        raise OSError(28, 'No space left on device')

    monkeypatch.setitem(fm.FORMATS, 'mid', ('.mid', full))
    r = bt.transcribe_files([song], tmp_path / 'out', 'csv,mid', tiny)
    assert r.status[0] == 'failed' and 'No space left' in r.message[0] and (tmp_path / 'out' / 'song.csv').exists()


def test_wrong_options_are_named_before_any_work(tmp_path, song, tiny):
    for options, text in (
        (dict(formats='docx'), 'docx'),
        (dict(meter='4/5'), '4/5'),
        (dict(beats=str(tmp_path / 'none')), 'no such file'),
        (dict(model=tmp_path / 'none'), 'no such model'),
    ):
        with pytest.raises(DrumnbError, match=text):
            bt.transcribe_files([song], tmp_path / 'out', **dict(dict(model=tiny), **options))
    assert not (tmp_path / 'out').exists()


def test_shared_stems_are_refused(tmp_path, song, tiny):
    (tmp_path / 'b').mkdir()
    shutil.copy(song, tmp_path / 'b' / 'Song.wav')
    r = bt.transcribe_files([song, tmp_path / 'b' / 'Song.wav'], tmp_path / 'out', 'csv', tiny)
    assert r.status.tolist() == ['done', 'failed'] and 'overwrite' in r.message[1]


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

    monkeypatch.setattr(bt, 'transcribe', interrupted)
    assert run_cli(song, '--out', tmp_path / 'out', '--model', tiny) == 130
    assert 'goes on where it stopped' in capsys.readouterr().err
