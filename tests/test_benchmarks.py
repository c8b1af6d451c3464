"""The benchmarks run, write what they say they write, and tell nothing about who ran them."""

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
