"""Studies: tables and conclusions from made-up rows of no, one and all architectures."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, rng_for
from drumnb.experiments.recipes import RECIPES, experiment
from drumnb.experiments.results import Result, save_result
from drumnb.metrics import micro_f1
from drumnb.models.registry import MODELS
from drumnb.onsets import Onsets
from drumnb.studies import plots
from drumnb.studies import tables as studies

DRUMS = ('KD', 'SD', 'TT', 'HH', 'CY')
RATES = dict(rnn=0.70, cnn=0.55, crnn=0.82, conv_transformer=0.815, vit=0.45)


def made(architecture, rate, tests=('a', 'b'), seed=0, tracks=10, train='synthetic'):
    rows, rng = [], rng_for('ease')
    for test in tests:
        for t in range(tracks):
            ease, own = rng.uniform(-0.1, 0.1), rng_for(architecture, seed, test, t).uniform(-0.02, 0.02)
            for drum in DRUMS:
                tp = round(40 * float(np.clip(rate + ease + own, 0, 1)))
                for window in (50, 25):
                    rows.append(
                        (
                            f'{architecture}-s{seed}-{train}',
                            'toy',
                            architecture,
                            train,
                            test,
                            'test',
                            seed,
                            'onset',
                            window,
                            f't{t}',
                            drum,
                            tp - (window < 50),
                            4,
                            40 - tp,
                        )
                    )
    return pd.DataFrame(
        rows,
        columns=[
            'run',
            'study',
            'architecture',
            'train',
            'test',
            'split',
            'seed',
            'protocol',
            'window_ms',
            'track',
            'drum',
            'tp',
            'fp',
            'fn',
        ],
    )


def saved(study, architectures, seeds=(0,), **info):
    for a in architectures:
        for s in seeds:
            rows = made(a, RATES[a], seed=s)
            told = dict(
                config=dict(model=dict(architecture=a), data=dict(train=['synthetic']), seed=s),
                recipe='quick',
                parameters=1000 * len(a),
                train_seconds=60.0,
                train_hours=1.0,
                epochs=2,
                best_epoch=1,
                validation_micro_f1=0.8,
                skipped={},
                history=[dict(epoch=e, micro_f1=0.5 + e / 10, loss=1.0) for e in range(2)],
                **info,
            )
            save_result(Result(study, rows['run'][0], rows, told))


def test_without_results_the_command_that_makes_them_is_named(isolated):
    with pytest.raises(DrumnbError, match='drumnb study architecture'):
        studies.load_results('architecture')


def test_every_studied_architecture_exists():
    assert set(MODELS) >= set(studies.ARCHITECTURE_ORDER) == set(studies.STUDIES['architecture']['architectures'])


@pytest.mark.parametrize('architectures', [['crnn'], ['vit', 'crnn'], list(RATES)])
@pytest.mark.parametrize('seeds', [(0,), (0, 1, 2)])
def test_tables_of_one_and_of_all(isolated, architectures, seeds):
    saved('architecture', architectures, seeds, inference_speed=100.0)
    rows, runs = studies.load_results('architecture'), studies.load_runs('architecture')
    assert len(runs) == len(architectures) * len(seeds)
    table = studies.f1_table(rows, n=50)
    assert list(table.index) == studies.ordered(architectures) and list(table.columns) == ['a', 'b']
    assert not table.map(lambda v: v == '' or 'nan' in v).any().any()
    assert all(sum(v.startswith('**') for v in table[c]) == 1 for c in table)
    assert ('±' in table.iloc[0, 0]) == (len(seeds) > 1)
    assert studies.cost_table(runs)['runs'].tolist() == [len(seeds)] * len(architectures)
    assert list(studies.drum_f1_table(rows, 'a').columns) == ['macro', *DRUMS]
    said = ' '.join(studies.conclusions(rows, runs))
    assert 'equally long' not in said
    unequal = runs.assign(epochs=runs['architecture'].map(lambda a: 15 if a == 'crnn' else 5))
    assert ('crnn 15' in ' '.join(studies.conclusions(rows, unequal))) == (len(architectures) > 1)
    assert ('nothing to compare' in said) == (len(architectures) == 1) and ('seed' in said) == (len(seeds) < 3)


def test_a_recipe_may_train_some_architectures_for_less(monkeypatch):
    monkeypatch.setitem(RECIPES, 'tiny', {**RECIPES['tiny'], 'epochs': dict(crnn=5, vit=3)})

    def asked(a, **more):
        return experiment('tiny', architecture=a, **more).training.epochs

    assert (asked('crnn'), asked('vit'), asked('rnn'), asked('vit', epochs=2)) == (5, 3, 5, 2)


def test_every_drum_has_an_interval_of_its_own():
    rows = pd.concat([made(a, r) for a, r in RATES.items()])
    table = studies.drum_f1_table(rows, 'a', n=50)
    for drum in DRUMS:
        of = rows[(rows['drum'] == drum) & (rows['test'] == 'a')]
        assert table[drum].equals(studies.f1_table(of, n=50)['a']) and all('[' in v for v in table[drum])


def test_a_difference_within_the_interval_is_not_a_win(isolated):
    rows = pd.concat([made(a, r) for a, r in RATES.items()])
    verdict = studies.difference_table(rows).reset_index().set_index(['test', 'architecture'])['verdict']
    compared = studies.against_best(studies.main_rows(rows)).set_index(['test', 'architecture'])
    for key, word in verdict.items():
        assert (word == 'not significant') == (compared.loc[key, 'low'] <= 0 <= compared.loc[key, 'high'])
    assert verdict['a', 'vit'] == 'worse'
    table = studies.f1_table(rows, n=20)
    assert all(('≈' in table.loc[a, t]) == (word == 'not significant') for (t, a), word in verdict.items())


def test_the_goal_is_about_songs_of_the_kind_that_was_learnt():
    rows = made('vit', RATES['vit'])

    def pair(name):
        return rows[rows['test'] == 'a'].assign(test=name)

    assert any('0.80' in s for s in studies.conclusions(pair('a → a')))
    assert not any('0.80' in s for s in studies.conclusions(pair('b → a')))


def test_conclusions_take_their_numbers_from_the_table():
    rows = pd.concat([made(a, RATES[a]) for a in ('crnn', 'vit')])
    best = float(micro_f1(studies.main_rows(rows).query("architecture == 'crnn' and test == 'a'")))
    said = studies.conclusions(rows)
    assert f'{best:.3f}' in said[0] and 'vit is worse' in said[0]
    assert any('Below 0.80 on a: vit' in s for s in said)
    swapped = studies.conclusions(rows.assign(architecture=rows['architecture'].map(dict(crnn='vit', vit='crnn'))))
    assert 'crnn is worse' in swapped[0]


def test_one_track_decides_nothing():
    rows = pd.concat([made(a, RATES[a], tests=('a',), tracks=1) for a in ('crnn', 'vit')])
    assert 'too few' in studies.conclusions(rows)[0]
    assert studies.difference_table(rows)['verdict'].tolist() == ['unknown, too few tracks']


def test_runs_older_than_the_measurement_of_speed(isolated):
    saved('architecture', ['rnn', 'crnn'])
    cost = studies.cost_table(studies.load_runs('architecture'))
    assert cost['speed'].isna().all()
    assert 'real time' not in ' '.join(
        studies.conclusions(studies.load_results('architecture'), studies.load_runs('architecture'))
    )


def test_published_results_are_marked():
    shown = studies.beside_published(
        pd.concat([made(a, r) for a, r in RATES.items()]), studies.published_table('architecture_study')
    )
    theirs = [c for c in shown if 'thesis' in c]
    assert theirs and all(v == '' or (v.startswith('*') and not v.startswith('**')) for c in theirs for v in shown[c])
    assert list(shown.index) == list(studies.ARCHITECTURE_ORDER)


def test_learning_curve_orders_by_hours():
    rows = pd.concat(
        [made('crnn', r, tests=('a',), train=f'synthetic:train={n}') for n, r in ((60, 0.8), (4, 0.5), (15, 0.7))]
    )
    runs = pd.DataFrame(
        dict(train_hours=[n / 60 for n in (60, 4, 15)]), index=[f'crnn-s0-synthetic:train={n}' for n in (60, 4, 15)]
    )
    ax = plots.learning_curve(studies.learning_table(rows, runs))
    heights = ax.lines[0].get_ydata()
    assert len(heights) == 3 and np.all(np.diff(heights) > 0)


times = st.lists(st.integers(0, 60), unique=True, max_size=12)


@given(times, times)
@settings(max_examples=15, deadline=None)
def test_every_stroke_is_on_the_staff_once(reference, estimate):
    import matplotlib.pyplot as plt

    onsets = [Onsets.make(np.sort(np.array(t, float)), ['SD'] * len(t), np.ones(len(t))) for t in (reference, estimate)]
    fig, ax = plt.subplots()
    plots.plot_staff(onsets[1], ax, onsets[0])
    heads = [c for c in ax.collections if c.get_zorder() == 2]
    assert sum(len(c.get_offsets()) for c in heads) == len(set(reference) | set(estimate))
    plt.close(fig)


def test_rehearsals_are_not_pooled_with_a_study(tmp_path, monkeypatch):
    "`make study` and then `make study PROFILE=tiny` leave both in one folder; the chapter reads the first only."
    source = next((Path(__file__).parents[1] / 'results/architecture').glob('crnn-synthetic-s0-*.json'))
    folder = tmp_path / 'architecture'
    folder.mkdir()
    for name, recipe in (('a-rehearsal', 'tiny'), ('b-run', 'quick')):
        (folder / f'{name}.csv').write_bytes(source.with_suffix('.csv').read_bytes())
        (folder / f'{name}.json').write_text(json.dumps({**json.loads(source.read_text()), 'recipe': recipe}))
    monkeypatch.setenv('DRUMNB_RESULTS', str(tmp_path))
    assert [r.info['recipe'] for r in studies.study_results('architecture')] == ['quick']
    assert studies.load_runs('architecture').recipe.tolist() == ['quick']
    (folder / 'b-run.json').unlink()
    assert [r.info['recipe'] for r in studies.study_results('architecture')] == ['tiny']
