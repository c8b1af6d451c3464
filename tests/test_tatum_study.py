"""Tatum experiments: what is compared, how a broken run goes on, separated drums, mishaps with beats, and the
chapter that draws it."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from drumnb.core import DrumnbError
from drumnb.experiments.results import COLUMNS, result_path, run_task
from drumnb.experiments.runner import make_job
from drumnb.tatum import recipes as tatum_recipes
from drumnb.tatum.crnn import segment_max, tatum_batch
from drumnb.tatum.experiments import tatum_jobs
from drumnb.tatum.grid import TatumGrid, as_text, from_text
from drumnb.tatum.recipes import (
    SYSTEMS,
    TatumExperiment,
    choose_tracks,
    fit_features,
    make_songs,
    part_store,
    tatum_experiment,
)
from drumnb.tatum.separation import (
    OpenUnmix,
    load_openunmix,
    openunmix_drums,
    read_state,
    separated_drums,
    weights_file,
)

torch.set_num_threads(1)
TINY = dict(recipe='tiny', study='toy')


@pytest.fixture(scope='module')
def rendered(tmp_path_factory):
    "A cache that the tests of this file share, so that songs are rendered once."
    return tmp_path_factory.mktemp('cache')


@pytest.fixture
def own(isolated, rendered, monkeypatch):
    "Results and runs of one test, and the shared cache."
    monkeypatch.setenv('DRUMNB_CACHE', str(rendered))
    return isolated


# ---- separation


def test_openunmix_reads_its_sizes_from_the_weights(tmp_path):
    model = OpenUnmix(bins=65, read=40, channels=2, hidden=8, layers=2).eval()
    extra = {
        'sample_rate': torch.tensor(44100.0),
        'stft.window': torch.ones(128),
    }  # published files hold more than the network
    torch.save(model.state_dict() | extra, tmp_path / 'drums-1234.pth')
    again = load_openunmix(tmp_path / 'drums-1234.pth')
    x = torch.rand(7, 2, 65)
    assert torch.equal(again(x), model(x)) and again.n_fft == 128
    sound = np.random.default_rng(0).normal(size=30_000).astype(np.float32)
    assert openunmix_drums(again, sound).shape == sound.shape
    assert not openunmix_drums(again, sound[:50]).any()


def test_weights_are_data_and_messages_say_where_they_go(tmp_path, monkeypatch):
    (tmp_path / 'broken.safetensors').write_bytes(b'x' * 100)
    torch.save(dict(a=[1, 2]), tmp_path / 'list.pth')
    for name in ('broken.safetensors', 'list.pth'):
        with pytest.raises(DrumnbError, match=f'{name}: not a file of weights'):
            read_state(tmp_path / name)
    model = OpenUnmix(65, 40, 2, 8, 1).state_dict()
    save_file(model | {'fc2.weight': torch.zeros(3, 3)}, tmp_path / 'odd.safetensors')
    with pytest.raises(DrumnbError, match='do not fit together'):
        load_openunmix(tmp_path / 'odd.safetensors')
    monkeypatch.setenv('DRUMNB_SEPARATION', str(tmp_path))
    for source in ('openunmix', 'demucs'):
        with pytest.raises(DrumnbError, match='no weights for the source'):
            weights_file(source)

    class Song:
        id, dataset = 'song', 'mine'

        def stems(self):
            return {}

    with pytest.raises(DrumnbError, match='no stem of drums'):
        separated_drums(Song())


def test_demucs_really_separates(tmp_path, monkeypatch):
    htdemucs = pytest.importorskip('demucs.htdemucs')
    tiny = htdemucs.HTDemucs(['drums', 'other'], channels=8, t_layers=1, bottom_channels=32, t_heads=2, segment=1)
    args, kw = tiny._init_args_kwargs
    about = dict(klass='demucs.htdemucs.HTDemucs', args=json.dumps(list(args)), kwargs=json.dumps(kw))
    state = {k: v.contiguous() for k, v in tiny.state_dict().items()}
    save_file(state, tmp_path / 'demucs.safetensors', about)
    monkeypatch.setenv('DRUMNB_SEPARATION', str(tmp_path))

    class Song:
        id, dataset = 'song', 'mine'

        def audio(self):
            return np.random.default_rng(0).normal(size=50_000).astype(np.float32)

    assert np.abs(separated_drums(Song(), 'demucs')).max() > 0
    save_file(state, tmp_path / 'demucs.safetensors', about | dict(klass='os.system'))
    with pytest.raises(DrumnbError, match='not a plain Demucs model'):
        separated_drums(Song(), 'demucs')


# ---- what must be fast, and what must be refused


def test_segment_maximum_is_twenty_times_as_fast_as_a_loop_and_equal_to_it():
    rng = np.random.default_rng(0)
    grid = TatumGrid.from_beats(np.linspace(0, 599.9, 1501))  # 6,001 tatums of ten minutes
    x, b = torch.as_tensor(rng.normal(size=(1, 60_000, 16)), dtype=torch.float32), tatum_batch([grid])
    frames, edges = torch.arange(60_000).double() / 100, torch.as_tensor(grid.edges)

    def loop():
        return torch.stack(
            [x[0, (frames >= lo - 1e-9) & (frames < hi - 1e-9)].amax(0) for lo, hi in zip(edges[:300], edges[1:301])]
        )

    def fast():
        return segment_max(x, b['edges'], b['centres'], torch.tensor([60_000]))

    def seconds(f, repeats):
        found = []
        for _ in range(repeats):
            start = time.process_time()
            out = f()
            found.append(time.process_time() - start)
        return min(found), out

    (slow, expected), (quick, got) = seconds(loop, 2), seconds(fast, 4)
    assert torch.equal(got[0, :300], expected)
    assert slow * len(grid) / 300 > 20 * quick, (
        f'the loop takes {slow * len(grid) / 300:.2f} s, the segment maximum {quick:.3f} s'
    )


@pytest.mark.parametrize(
    'beats, words',
    [
        (np.zeros((0, 2)), 'no beats'),
        (np.array([[1.0, 1]]), '1 beat;'),
        (np.array([[100.0, 1], [101.0, 2]]), 'another recording'),
    ],
)
def test_songs_without_usable_beats_are_named(own, monkeypatch, beats, words):
    exp = tatum_experiment(**TINY)
    tracks = [t for ts in choose_tracks(exp)['test'].values() for t in ts]
    store = part_store(exp, tracks, 'mix')
    normaliser = fit_features(exp, [(store, 'mix')])
    monkeypatch.setattr(tatum_recipes, 'beats_for', lambda track, source: beats)
    with pytest.raises(DrumnbError, match=words) as error:
        make_songs(exp, tracks, store, 'mix', normaliser, 'madmom')
    assert tracks[0].id in str(error.value) and 'madmom' in str(error.value)


def test_beats_beyond_the_end_are_dropped_with_a_warning(own, monkeypatch, caplog):
    exp = tatum_experiment(**TINY)
    tracks = [t for ts in choose_tracks(exp)['test'].values() for t in ts][:1]
    store = part_store(exp, tracks, 'mix')
    monkeypatch.setattr(
        tatum_recipes, 'beats_for', lambda track, source: np.stack([np.arange(0.5, 40, 0.5), np.ones(79)], 1)
    )
    (song,) = make_songs(exp, tracks, store, 'mix', fit_features(exp, [(store, 'mix')]), 'madmom')
    assert song.grid.times[-1] <= len(song.features) / 100 and 'are dropped' in caplog.text


# ---- experiments


@given(st.sampled_from(list(SYSTEMS)), st.integers(0, 2), st.integers(0, 9), st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_typed_settings_are_the_same_run_and_every_setting_counts(system, fold, seed, gamma):
    exp = tatum_experiment(system=system, fold=str(fold), seed=str(seed), gamma=str(gamma), **TINY)
    assert exp.run == tatum_experiment(system=system, fold=fold, seed=seed, gamma=gamma, **TINY).run
    assert exp.run != tatum_experiment(system=system, fold=(fold + 1) % 3, seed=seed, gamma=gamma, **TINY).run
    assert json.loads(json.dumps(exp.settings)) == exp.settings


RESULTS = sorted(p for p in (Path(__file__).parents[1] / 'results').rglob('tatum-*.json'))


@pytest.mark.parametrize('path', RESULTS, ids=lambda p: p.stem)
def test_a_committed_run_is_remade_from_what_it_stores_and_from_its_recipe(path):
    told = json.loads(path.read_text())
    exp = TatumExperiment.from_settings(told['config'], recipe=told['recipe'], label=told['label'])
    assert (exp.key, exp.run, exp.settings) == (told['key'], path.stem, told['config'])
    r = exp.regularisation
    asked = dict(system=exp.system, fold=exp.data.fold, seed=exp.seed, alpha=r.alpha, gamma=r.gamma, search=r.search)
    assert tatum_experiment(told['recipe'], **asked).run == path.stem
    for changed in (dict(past=65), dict(faithful=True)):
        assert tatum_experiment(told['recipe'], **asked, **changed).key != exp.key


def test_scores_survive_as_text():
    score = (np.random.default_rng(0).random((50, 3)) < 0.3).astype(np.uint8)
    assert np.array_equal(from_text(as_text(score)), score)


def test_jobs_cover_the_grid_and_go_through_the_template():
    jobs = tatum_jobs(recipe='tiny', seeds=(0, 1))
    assert len({j.run for j in jobs}) == 4 * 3 * 2 and {j.exp.data.fold for j in jobs} == {0, 1, 2}
    assert all(j.template.endswith('tatum.ipynb') and j.result == result_path(j.exp.study, j.exp.run) for j in jobs)
    assert make_job('tatum', system='frame', recipe='tiny').exp.system == 'frame'
    with pytest.raises(DrumnbError, match="did you mean 'system'"):
        make_job('tatum', sistem='frame')


@pytest.mark.parametrize('system', ['frame', 'tatum+skip-bigram'])
def test_a_run_broken_off_ends_like_an_unbroken_one(own, monkeypatch, system):
    exp = tatum_experiment(system=system, **TINY)
    from drumnb.experiments import training

    save = training.save_checkpoint

    def save_and_die(*args):
        save(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, 'save_checkpoint', save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run_task(exp)
    assert not result_path(exp.study, exp.run).exists()
    monkeypatch.setattr(training, 'save_checkpoint', save)
    steps, take = [], training.Trainer.train_step
    monkeypatch.setattr(training.Trainer, 'train_step', lambda run, *a: steps.append(run.step) or take(run, *a))
    broken = run_task(exp)
    assert steps == [3, 4, 5]  # of six steps, the first three of which had been taken
    assert run_task(exp).reused
    broken.path.unlink()
    monkeypatch.setenv('DRUMNB_RUNS', str(own / 'other'))  # where nothing is trained yet
    unbroken = run_task(exp)
    assert steps == [3, 4, 5, *range(6)]
    retested = run_task(replace(exp, data=replace(exp.data, test_parts=('mix',))))
    assert len(steps) == 9 and set(retested.rows.part) == {'mix'}  # another test of the same model
    pd.testing.assert_frame_equal(unbroken.rows, broken.rows)
    assert list(broken.rows.columns[: len(COLUMNS)]) == COLUMNS


def test_no_song_is_trained_on_and_tested(own):
    for fold in range(3):
        chosen = choose_tracks(tatum_experiment(fold=fold, **TINY))
        groups = [{t.group for ts in chosen[role].values() for t in ts} for role in ('train', 'validation', 'test')]
        assert all(groups) and not groups[0] & groups[1] and not (groups[0] | groups[1]) & groups[2]


# ---- the chapter


def run_chapter(path):
    "Run the code cells of a chapter in this process; all that was displayed, as text."
    shown = []
    names = dict(display=lambda *xs: shown.extend(str(getattr(x, 'data', x)) for x in xs), __name__='__main__')
    for cell in json.loads(path.read_text())['cells']:
        if cell['cell_type'] == 'code':
            exec(compile(''.join(cell['source']), f"{path.name}:{cell['id']}", 'exec'), names)
    plt.close('all')
    return '\n'.join(shown)


def test_the_chapter_draws_what_there_is_and_pools_nothing_that_differs(own, capsys):
    from conftest import ROOT

    longer = dict(training=dict(steps=12, every=6))
    for system, words in (('frame', longer), ('tatum', longer), ('tatum+gru', longer), ('tatum', {})):
        run_task(tatum_experiment(system=system, recipe='tiny', study='tatum', **words))
    text = run_chapter(ROOT / 'nbs' / '64_tatum_study.ipynb')
    assert '| annotated | tatum+gru |' in text
    for steps in ('every 3, training steps 6', 'every 6, training steps 12'):
        assert f'| annotated | tatum (training {steps}) | 1.0 | 2 |' in text  # a line of its own, two songs each
    assert re.search(
        r'\| annotated \| tatum\+gru \| 0\.61 .*\| tatum \(training every 6, training steps 12\), γ 1\.0 \|', text
    )
    assert (own / 'figures' / 'tatum-table.png').exists() and '4 runs' in capsys.readouterr().out
