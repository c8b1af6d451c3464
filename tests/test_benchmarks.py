"""The benchmarks run, write what they say they write, and tell nothing about who ran them."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]


def run(script, *args):
    return subprocess.run(
        [sys.executable, str(ROOT / 'benchmarks' / script), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, 'DRUMNB_QUIET': '1'},
    )


def test_speed_of_features(tmp_path):
    done = run('speed.py', '--only', 'features log', '--repeats', 1, '--to', tmp_path)
    assert done.returncode == 0, done.stderr
    told, table = json.loads((tmp_path / 'speed.json').read_text()), pd.read_csv(tmp_path / 'speed.csv')
    assert list(table.stage) == ['features log'] and table.available.all() and table.real_time_factor[0] > 20
    assert told['machine']['threads'] == 1 and told['machine']['cores'] >= 1 and told['machine']['versions']['numpy']
    text = (tmp_path / 'speed.json').read_text()
    assert socket.gethostname() not in text and str(ROOT) not in text


def test_an_unknown_stage_is_refused(tmp_path):
    done = run('speed.py', '--only', 'nonsense', '--to', tmp_path)
    assert done.returncode == 1 and 'features log' in done.stderr and not list(tmp_path.iterdir())


def test_memory_of_prepare(tmp_path):
    done = run('memory.py', '--hours', 0.1, 0.3, '--workers', 1, '--to', tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / 'memory.csv')
    assert list(table.hours.round(2)) == [0.08, 0.33] and (table.peak_mib > table.imports_mib).all()
    assert table.peak_ratio[1] < 1.3 < table.cache_on_disk_mib[1] / table.cache_on_disk_mib[0]


def test_memory_of_rendered_drums(tmp_path):
    done = run('memory.py', '--source', 'rendered', '--hours', 0.1, '--workers', 1, '--to', tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / 'memory-rendered.csv')
    assert list(table.source) == ['rendered'] and table.processor_factor[0] > 20 and table.time_ratio[0] == 1


@pytest.mark.parametrize('name,hours', [('memory', {1, 10}), ('memory-rendered', {2, 20})])
def test_committed_results_show_bounded_memory(name, hours):
    path = ROOT / 'benchmarks' / 'results' / f'{name}.csv'
    if not path.exists():
        pytest.skip(f'{name} has not been measured')
    table = pd.read_csv(path)
    assert hours <= set(table.hours) and (table.peak_ratio < 1.1).all()
    if 'time_ratio' in table:
        assert table.time_ratio.between(0.7, 1.3).all()


@pytest.fixture(scope='module')
def stress_rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp('stress')
    done = run('stress.py', 'drumnb-5', '--quick', '--only', 'coincidences', 'doubles', 'hats', '--to', folder)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(folder / 'drumnb-5.csv', dtype=dict(condition=str))


def test_the_stress_board_counts_every_stroke_once(stress_rows):
    rows = stress_rows[stress_rows.piece == 'computed-0']
    pairs = rows[rows.test == 'coincidence']
    assert len(pairs) == 5 + 20 and (pairs.tp + pairs.fn == pairs.n).all() and (pairs.n == 1).all()
    struck = rows[rows.test == 'struck']
    assert len(struck) == 5 * 4 + 10 * 3 and not any(d in c.split('+') for d, c in zip(struck.drum, struck.condition))
    assert (struck.fp <= struck.n).all() and (rows[rows.test == 'double_strokes'].n == 1).all()
    played = rows[rows.test == 'off_beat_hats'].set_index('condition').n
    assert played['off-beats'] == played['kicks'] + played['snares'] == rows[rows.test == 'hats_on_strokes'].n.sum()


def test_committed_stress_rows_are_of_the_whole_board():
    for path in sorted((ROOT / 'results' / 'stress').glob('*.csv')):
        rows = pd.read_csv(path, dtype=dict(condition=str))
        assert set(rows.weights) == {path.stem} and not rows.duplicated(['test', 'condition', 'piece', 'drum']).any()
        assert {'coincidence', 'drumless', 'balance_music', 'kick_microphones', 'hiss'} <= set(rows.test), path.name


def test_unknown_weights_are_refused(tmp_path):
    done = run('stress.py', 'drumnb-0', '--quick', '--to', tmp_path)
    assert done.returncode == 2 and 'drumnb-5' in done.stderr and not list(tmp_path.iterdir())


def test_peers_are_scored_from_a_folder(tmp_path, monkeypatch):
    from drumnb.datasets.enst_mdb import write_mdb_fixture
    from drumnb.datasets.registry import get_dataset
    from drumnb.onset_files import write_csv, write_labels

    write_mdb_fixture(tmp_path / 'data')
    monkeypatch.setenv('DRUMNB_DATA', str(tmp_path / 'data'))
    data, folder = get_dataset('mdb:full_mix'), tmp_path / 'predictions'
    folder.mkdir()
    first, second, *_ = data.tracks()
    write_csv(folder / f'{first.id}.csv', data.load_onsets(first))
    write_labels(folder / f'{second.id}_drums.txt', data.load_onsets(second).shift(0.03))
    args = ('mdb:full_mix@all', '--predictions', folder, '--name', 'toy', '--version', '1', '--to', tmp_path)
    done = run('peers.py', *args)
    assert done.returncode == 0, done.stderr
    assert 'no prediction for' in done.stderr
    rows = pd.read_csv(tmp_path / 'toy.csv')
    right = rows[rows.window_ms == 50]
    assert set(rows.track) == {first.id, second.id} and right.tp.sum() > 0 and right.fp.sum() == right.fn.sum() == 0
    late = rows[(rows.window_ms == 25) & (rows.track == second.id)]
    assert late.tp.sum() == 0 < late.fp.sum()
    assert run('peers.py', *args, '--shift', -0.03).returncode == 0
    moved = pd.read_csv(tmp_path / 'toy.csv')
    assert moved[(moved.window_ms == 25) & (moved.track == second.id)].fp.sum() == 0


def test_a_peer_that_is_not_installed_is_named(tmp_path):
    if importlib.util.find_spec('adtof_pytorch'):
        pytest.skip('adtof_pytorch is installed')
    done = run('peers.py', 'mdb:full_mix@all', '--run', 'adtof', '--to', tmp_path)
    assert done.returncode == 2 and 'adtof_pytorch is not installed' in done.stderr and not list(tmp_path.iterdir())


def test_a_peer_that_hears_nothing_has_no_onsets(tmp_path):
    "As ADTOF in most of the drumless music."
    fake = 'import mido\ndef transcribe_to_midi(path, out):\n    mido.MidiFile(tracks=[mido.MidiTrack()]).save(out)\n'
    (tmp_path / 'adtof_pytorch.py').write_text(fake)
    found = f'import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT / "benchmarks")!r}]; import peers; '
    subprocess.run([sys.executable, '-c', found + "assert not len(peers.run_adtof('silence.wav'))"], check=True)
