"""The command line: one line and exit code 2 for mistakes, 1 for what failed, 0 when all is well."""

import json
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from drumnb import cli
from drumnb.core import DrumnbError, results_home, runs_home
from drumnb.experiments import runner

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
PUBLISHED = re.findall(r'^# .*recipe.*\n\.venv/bin/drumnb ((?:.*\\\n)*.*)$', README, re.M)

SMALL = 'synthetic:dtd,procedural,train=2,validation=1,test=1,seconds=6'


def mistake(capsys, *words):
    assert cli.main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith('drumnb: ') and said.err.count('\n') == 1 and 'Traceback' not in said.err
    return said.err


@pytest.mark.parametrize(
    'words, hint',
    [
        (['run', 'frame', '-p', 'architecture', 'crn'], "did you mean 'crnn'"),
        (['run', 'frame', '-p', 'architcture=crnn'], "did you mean 'architecture'"),
        (['run', 'frame', '-p', 'seed'], 'name=value'),
        (['run', 'nowhere.ipynb'], 'nowhere.ipynb'),
        (['run', 'fram'], "did you mean 'frame'"),
        (['validate', 'sintetic'], "did you mean 'synthetic'"),
        (['prepare', 'synthetic', '--features', 'mell'], 'mell'),
        (['study', 'architecture', '--architectures', 'crnn', 'lstm'], "unknown architecture 'lstm'"),
        (['study', 'architecture', '--profile', 'quik'], "did you mean 'quick'"),
        (['study', 'architecture', '--datasets', 'sintetic'], "did you mean 'synthetic'"),
        (['study', 'architecture', '-p', 'epocs=1'], "did you mean 'epochs'"),
    ],
)
def test_mistakes(capsys, isolated, words, hint):
    assert hint in mistake(capsys, *words)
    assert not results_home().exists() and not runs_home().exists()


@pytest.mark.parametrize(
    'words',
    [
        ['prepare', 'mdb'],
        ['run', 'frame', '-p', 'train=mdb'],
        ['study', 'architecture', '--architectures', 'crnn', '--datasets', 'mdb'],
    ],
)
def test_a_data_home_that_does_not_exist(capsys, isolated, monkeypatch, words):
    monkeypatch.setenv('DRUMNB_DATA', str(isolated / 'nowhere'))
    said = mistake(capsys, *words)
    assert 'nowhere' in said and 'DRUMNB_DATA' in said
    assert not results_home().exists() and not runs_home().exists()


def test_validate_tells_what_is_missing(capsys, isolated, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(isolated / 'nowhere'))
    assert cli.main(['validate', 'mdb']) == 1
    assert 'nowhere' in capsys.readouterr().out


def test_datasets_lists_them_all(capsys, isolated, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(isolated / 'nowhere'))
    assert cli.main(['datasets', 'synthetic:train=1,validation=1,test=1,seconds=5', 'mdb']) == 0
    said = capsys.readouterr().out
    assert 'synthetic' in said and 'not found' in said and 'licence' in said


def test_version_and_usage(capsys):
    with pytest.raises(SystemExit) as e:
        cli.main(['--version'])
    assert e.value.code == 0 and capsys.readouterr().out.startswith('drumnb ')
    with pytest.raises(SystemExit) as e:
        cli.main(['study', 'architecture', '--jobs', 'no'])
    assert e.value.code == 2 and 'at least 1' in capsys.readouterr().err


def test_an_interrupt_is_130(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, 'validate', (interrupted, *cli.COMMANDS['validate'][1:]))
    assert cli.main(['validate', 'synthetic']) == 130
    assert 'goes on where it stopped' in capsys.readouterr().err


def test_a_run_from_end_to_end(capsys, isolated):
    words = [
        'run',
        'frame',
        '-p',
        f'train={SMALL}',
        '-p',
        'recipe',
        'tiny',
        '-p',
        'epochs=1',
        'study=toy',
        '-p',
        'model={hidden: 8}',
    ]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert 'micro_f1' in said and 'done' in said
    (csv,) = (results_home() / 'toy').glob('*.csv')
    (notebook,) = (runs_home() / 'toy').glob('*.ipynb')
    assert csv.stem == notebook.stem
    rows = pd.read_csv(csv)
    assert rows.seed.unique() == [0] and (rows.tp + rows.fn).sum() > 0
    stamp = csv.stat().st_mtime_ns
    assert cli.main(words) == 0
    assert 'finished before' in capsys.readouterr().out and csv.stat().st_mtime_ns == stamp


def test_a_failed_run_is_1(capsys, isolated, monkeypatch):
    from drumnb.experiments import runner

    monkeypatch.setattr(runner, 'run_notebook', lambda *a, **k: (_ for _ in ()).throw(MemoryError('no room')))
    assert cli.main(['run', 'frame', '-p', f'train={SMALL}', '-p', 'recipe=tiny']) == 1
    assert 'MemoryError: no room' in capsys.readouterr().err


@pytest.mark.parametrize('command', PUBLISHED)
def test_a_command_of_the_readme_makes_the_committed_rows(command, monkeypatch):
    asked = []

    def caught(jobs, *more):
        asked.extend(jobs)
        raise DrumnbError('nothing is trained here')

    monkeypatch.setattr(runner, 'check_data', lambda jobs: None)
    monkeypatch.setattr(runner, 'run_batch', caught)
    assert cli.main(shlex.split(command.replace('\\\n', ' '))) == 2 and asked
    made, first = {job.exp.run: job.exp for job in asked}, asked[0].exp
    stored = (ROOT / 'results' / first.study).glob('*-s[0-9]-*.json')
    there = {p.stem for p in stored if json.loads(p.read_text())['recipe'] == first.recipe}
    if first.recipe == 'equal-gamma':  # without a language model it is `quick`, whose runs of seed 0 are there
        made = {run: e for run, e in made.items() if e.seed or e.system not in ('frame', 'tatum')}
    assert set(made) == there
