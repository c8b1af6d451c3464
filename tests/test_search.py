"""Searching settings: spaces, requests, trials that never see test tracks; with `make test-slow` also a killed
search and a cluster of two nodes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb import cli
from drumnb.core import DrumnbError, results_home, runs_home
from drumnb.experiments import search as module
from drumnb.experiments.results import load_result
from drumnb.experiments.runner import run_batch, study_jobs
from drumnb.experiments.search import (
    run_search,
    run_trial,
    search,
    search_table,
    search_trial,
    trial_experiment,
    trial_tracks,
)
from drumnb.experiments.tuning import (
    METHODS,
    TOY_SPACE,
    LogUniform,
    explore,
    grid_points,
    narrow,
    point_of,
    ray_session,
    search_space,
    share_cores,
    toy_trial,
    tune_space,
)
from drumnb.models.registry import MODELS, make_model

SONGS = 'synthetic:dtd,procedural,train=2,validation=1,test=1,seconds=6'
SMALL = dict(train=SONGS, recipe='tiny', epochs=1)
SPACE = dict(rnn='lstm', layers=1, hidden='[8, 12]')
slow = pytest.mark.skipif(
    not os.environ.get('DRUMNB_SLOW'), reason='starts Ray several times; `make test-slow` runs it'
)


@pytest.mark.parametrize('architecture', MODELS)
def test_every_point_of_a_space_is_a_model(architecture):
    space = search_space(architecture)
    assert space['learning_rate'] == LogUniform(1e-4, 5e-3) and space['weight_decay'] == LogUniform(1e-6, 1e-2)
    points = grid_points({k: v for k, v in space.items() if not isinstance(v, LogUniform)})
    assert len(points) == len({json.dumps(p) for p in points})
    smallest = min(points, key=lambda p: np.prod([np.sum(v) for v in p.values() if not isinstance(v, str)]))
    assert make_model(architecture, **smallest).config.items() >= {k: v for k, v in smallest.items()}.items()


@given(st.floats(1e-6, 1), st.floats(1.01, 1e4), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_log_uniform_stays_in_its_range(low, ratio, n):
    space = LogUniform(low, low * ratio)
    drawn = space.draw(np.random.default_rng(0), 50)
    assert (drawn >= low * (1 - 1e-9)).all() and (drawn <= space.high * (1 + 1e-9)).all()
    levels = np.array(space.levels(n))
    assert len(levels) == n and (levels >= low * (1 - 1e-5)).all() and (levels <= space.high * (1 + 1e-5)).all()
    if n > 2:
        np.testing.assert_allclose(levels[1:] / levels[:-1], levels[1] / levels[0], rtol=1e-4)


@given(st.integers(1, 64), st.none() | st.integers(1, 64), st.none() | st.integers(1, 64))
def test_cores_are_shared_and_never_oversubscribed_by_default(cores, at_once, threads):
    trials, each = share_cores(cores, at_once, threads)
    assert trials >= 1 and each >= 1 and trials == (at_once or trials) and each == (threads or each)
    if at_once is None or threads is None:
        assert trials * each <= max(cores, trials if at_once else 1, each)


def test_points_survive_the_way_through_tune():
    told = tune_space(dict(channels=((32,), (32, 64)), rnn=('lstm', 'gru'), layers=(2,)), 'grid')
    config = {k: v['grid_search'][-1] for k, v in told.items()} | dict(settings=dict(channels='x'))
    assert point_of(config) == dict(channels=[32, 64], rnn='gru', layers=2)


@pytest.mark.parametrize(
    'asked, message',
    [
        (dict(architecture='rn'), "did you mean 'rnn'"),
        (dict(method='optun'), "did you mean 'optuna'"),
        (dict(method='grid', trials=15), 'grid has 360 points'),
        (dict(space=dict(hiden=72)), "did you mean 'hidden'"),
        (dict(space=dict(hidden='{low: 1}')), 'low'),
        (dict(space=dict(hidden='[]')), 'empty'),
        (dict(space=dict(learning_rate='{low: 1, high: 0.1}')), 'low < high'),
        (dict(space=dict(hidden=-1)), 'hidden=-1'),
        (dict(train='sintetic'), "did you mean 'synthetic'"),
        (dict(epocs=1), "did you mean 'epochs'"),
        (dict(trials=0), 'at least 1'),
    ],
)
def test_mistakes_are_one_line_before_anything_runs(asked, message):
    with pytest.raises(DrumnbError, match=message) as e:
        search(**{'architecture': 'rnn', **asked})
    assert '\n' not in str(e.value)


def test_the_name_follows_the_request():
    base = search('rnn', 'random', space=SPACE, **SMALL)
    assert base.trials == 15
    assert search('rnn', 'random', space=dict(rnn=['lstm'], layers=[1], hidden=[8, 12]), **SMALL).name == base.name
    others = [
        search('rnn', 'optuna', space=SPACE, **SMALL),
        search('rnn', 'random', 14, space=SPACE, **SMALL),
        search('rnn', 'random', search_seed=1, space=SPACE, **SMALL),
        search('rnn', 'random', space=SPACE, seed=1, **SMALL),
        search('rnn', 'random', space=narrow(SPACE, dict(hidden=8)), **SMALL),
    ]
    assert len({s.name for s in [base, *others]}) == 6
    assert search('rnn', 'grid', space=SPACE, **SMALL).trials == 2 * 3 * 3


def test_a_trial_never_sees_a_test_track(isolated, monkeypatch):
    exp = trial_experiment(
        dict(architecture='rnn', study='search/x', **SMALL), dict(hidden=8, layers=1, learning_rate=3e-3)
    )
    assert exp.data.test == () and trial_tracks(exp)['test'] == {}
    asked, load = [], module.tracks_for
    monkeypatch.setattr(module, 'tracks_for', lambda e, role: asked.append(role) or load(e, role))
    rows = []
    result = run_trial(exp, rows.append)
    assert set(asked) == {'train', 'validation'} and set(result.rows['split']) == {'validation'}
    assert len(rows) == 1 and rows[0]['micro_f1'] == pytest.approx(result.info['validation_micro_f1'])
    assert run_trial(exp, rows.append).reused and len(rows) == 1
    assert result.path.parent == results_home() / 'search' / 'x'


def test_a_finished_search_is_read_without_ray(isolated, monkeypatch):
    s = search('rnn', 'random', 2, space=SPACE, **SMALL)
    for hidden in (8, 12):
        run_trial(
            trial_experiment(
                {**s.settings, 'study': s.study},
                dict(rnn='lstm', layers=1, hidden=hidden, learning_rate=1e-3, weight_decay=1e-4),
            )
        )
    monkeypatch.setattr(module, 'explore', lambda *a, **k: pytest.fail('Ray was started'))
    table = run_search(s)
    assert (
        table.attrs['finished'] == 2
        and sorted(table['hidden']) == [8, 12]
        and table['micro_f1'].is_monotonic_decreasing
    )


def test_fewer_results_than_trials_are_no_success(isolated, monkeypatch, capsys):
    nothing = pd.DataFrame([dict(micro_f1=np.nan, run='', error='')])  # what Tune leaves after an interrupt
    monkeypatch.setattr(module, 'explore', lambda *a, **k: nothing)
    words = [
        'search',
        'rnn',
        '--train',
        SONGS,
        '--recipe',
        'tiny',
        '--trials',
        '3',
        '--method',
        'random',
        '--space',
        'hidden=8',
    ]
    assert cli.main(words) == 1
    assert '0 of 3 trials finished; the same command goes on' in capsys.readouterr().err


def test_mistakes_on_the_command_line(isolated, capsys):
    for words, hint in [
        (['search', 'crn'], "did you mean 'crnn'"),
        (['search', 'crnn', '--method', 'grid', '--trials', '15'], '--space'),
        (['search', 'crnn', '--space', 'hiden=72'], "did you mean 'hidden'"),
        (['search', 'crnn', '-p', 'architecture=rnn'], 'after `drumnb search`'),
    ]:
        assert cli.main(words) == 2
        said = capsys.readouterr().err
        assert hint in said and said.count('\n') == 1
    assert not runs_home().exists()


def command(*words, **kw):
    return subprocess.Popen(
        [
            sys.executable,
            '-c',
            'import sys; from drumnb.cli import main; sys.exit(main(sys.argv[1:]))',
            *map(str, words),
        ],
        **kw,
    )


def wait_for(condition, *processes):
    "However long it takes: as long as those who are to bring it about are alive."
    while not condition():
        assert all(p.poll() is None for p in processes), 'a process ended before what it was waited for'
        time.sleep(0.2)


@slow
@pytest.mark.parametrize('method', ['random', 'optuna'])
def test_a_killed_search_goes_on(isolated, method):
    words = [
        'search',
        'rnn',
        '--train',
        SONGS,
        '--recipe',
        'tiny',
        '--trials',
        4,
        '--method',
        method,
        '--jobs',
        1,
        '--space',
        'rnn=lstm',
        'layers=1',
        'hidden=[8,12]',
        '-p',
        'epochs=1',
    ]
    folder = results_home() / 'search'
    first = command(*words, start_new_session=True)
    wait_for(lambda: len(list(folder.glob('*/*.json'))) >= 1, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = {p: p.stat().st_mtime_ns for p in folder.glob('*/*.json')}
    assert len(before) < 4
    assert command(*words).wait() == 0
    found = sorted(folder.glob('*/*.json'))
    assert len(found) == 4 and all(p.stat().st_mtime_ns == t for p, t in before.items())
    points = [load_result(p).config['training']['learning_rate'] for p in found]
    assert len(set(points)) == 4


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(('127.0.0.1', 0))
        return [s.getsockname()[1] for s in sockets]


@contextlib.contextmanager
def two_nodes():
    """The address and the processes of a cluster of two nodes of one core each.

    Agents get ports beforehand; the nodes would wait for them half a minute and no longer.
    """
    from ray.util import get_node_ip_address

    here = get_node_ip_address()  # Ray takes 127.0.0.1 for it, and then finds nobody there
    ray = [
        str(Path(sys.executable).parent / 'ray'),
        'start',
        '--block',
        '--num-cpus=1',
        f'--node-ip-address={here}',
        '--min-worker-port=0',
        '--max-worker-port=0',
        '--disable-usage-stats',
        '--object-store-memory=100000000',
    ]
    agents = ('dashboard-agent-grpc', 'dashboard-agent-listen', 'runtime-env-agent', 'metrics-export')
    port, *ports = free_ports(9)
    nodes = []
    try:
        for i, place in enumerate(
            (['--head', f'--port={port}', '--include-dashboard=false'], [f'--address={here}:{port}'])
        ):
            agent_ports = [f'--{a}-port={p}' for a, p in zip(agents, ports[4 * i :])]
            nodes.append(
                subprocess.Popen(
                    ray + place + agent_ports,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, 'RAY_worker_niceness': '0', 'RAY_AUTH_MODE': 'disabled'},
                )
            )
            wait_for(lambda: socket.socket().connect_ex((here, port)) == 0, *nodes)
        yield f'{here}:{port}', nodes
    finally:
        for node in reversed(nodes):
            node.terminate()
            node.wait(60)


@pytest.fixture(scope='module')
def cluster():
    with pytest.MonkeyPatch.context() as patch, two_nodes() as (address, nodes):
        patch.setenv('RAY_AUTH_MODE', 'disabled')
        with ray_session(address) as ray:
            wait_for(lambda: ray.cluster_resources().get('CPU') == 2, *nodes)
        yield address


@slow
def test_a_search_on_a_cluster_of_two_nodes(isolated, cluster):
    s = search('rnn', 'random', 6, space=SPACE, **SMALL)
    tried = explore(
        search_trial, s.space, s.method, s.trials, s.seed, s.folder, {**s.settings, 'study': s.study}, address=cluster
    )
    assert len(tried) == 6 and tried['micro_f1'].notna().all() and tried['node'].nunique() == 2
    assert len(search_table(s)) == 6


@slow
def test_a_batch_on_a_cluster_of_two_nodes(isolated, cluster):
    jobs = study_jobs('cluster', ['rnn'], [SONGS], seeds=(0, 1, 2), recipe='tiny', epochs=1)
    outcomes = run_batch(jobs, len(jobs), cluster)
    assert list(outcomes['status']) == ['done'] * 3 and all(j.finished() and j.notebook.is_file() for j in jobs)
    assert list(run_batch(jobs, len(jobs), cluster)['status']) == ['finished before'] * 3


@slow
def test_more_threads_than_any_node_has_are_refused(isolated, cluster):
    with pytest.raises(DrumnbError, match='2 threads fit on no machine: Ray may use 1 cores'):
        run_batch(study_jobs('cluster', ['rnn'], [SONGS], recipe='tiny'), 1, cluster, threads=2)
    with pytest.raises(DrumnbError, match='2 threads fit on no machine'):
        explore(toy_trial, TOY_SPACE, trials=2, threads=2, address=cluster)


@slow
def test_a_session_with_fewer_cores_than_the_machine(isolated):
    others = set(psutil.Process().children(recursive=True))  # the nodes of the tests before
    with ray_session(cpus=1):
        helpers = set(psutil.Process().children(recursive=True)) - others
        listening = [c for p in helpers for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
        assert listening and {c.laddr.ip.removeprefix('::ffff:') for c in listening} == {'127.0.0.1'}, listening
        for method in METHODS:
            assert explore(toy_trial, TOY_SPACE, method, trials=9, at_once=1)['micro_f1'].notna().sum() == 9
