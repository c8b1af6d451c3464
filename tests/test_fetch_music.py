"""The script that fetches drumless music, without a network: what it would cut, and how it cuts."""

import importlib.util

import numpy as np
import pytest
import soundfile
from conftest import ROOT

spec = importlib.util.spec_from_file_location('fetch_music', ROOT / 'scripts/fetch_music.py')
fetch_music = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fetch_music)
ROW = dict(package='tunes', path='usr/share/a b.ogg', start_s='10', end_s='95', style='rock', licence='CC0', author='x')


def test_all_listed_stretches_are_free_and_named_once():
    rows = [row for rows in fetch_music.stretches().values() for row in rows]
    assert len(rows) > 200 and {row['licence'].split('-')[0] for row in rows} <= {'CC', 'CC0', 'MIT'}
    assert all(float(row['end_s']) > float(row['start_s']) for row in rows)
    files = [p['file'] for row in rows for p in fetch_music.pieces_of(row, 30, 6)]
    assert len(files) == len(set(files))


def test_a_stretch_is_cut_into_equal_pieces_that_cover_it():
    pieces = fetch_music.pieces_of(ROW, 30, 6)
    assert [p['start_s'] for p in pieces] == pytest.approx([10, 38.33, 66.67]) and pieces[-1]['end_s'] == 95
    assert pieces[0]['file'] == 'tunes-usr-share-a-b-0010.flac'
    assert fetch_music.pieces_of({**ROW, 'end_s': '15'}, 30, 6) == []


def test_a_part_of_a_stereo_file_becomes_one_channel_at_44100_hz(tmp_path):
    t = np.arange(48000) / 48000
    soundfile.write(tmp_path / 'a.wav', np.stack([np.sin(2 * np.pi * 441 * t), 0 * t], 1), 48000)
    x = fetch_music.read(tmp_path / 'a.wav', 0.25, 0.75)
    assert abs(len(x) - 22050) <= 1
    assert np.abs(x[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


def test_what_is_cut_already_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_music, 'unpack', lambda *a: pytest.fail('fetched again'))
    pieces = fetch_music.pieces_of(ROW, 30, 6)
    for p in pieces:
        (tmp_path / p['file']).touch()
    assert fetch_music.cut('tunes', pieces, tmp_path) == pieces
