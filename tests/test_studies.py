"""Studies: tables from made-up rows of no, one and all architectures, and that nothing is pooled by name."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, rng_for
from drumnb.experiments.recipes import RECIPES, experiment
from drumnb.experiments.results import Result, save_result
from drumnb.models.registry import MODELS
from drumnb.onsets import Onsets
from drumnb.studies import plots
from drumnb.studies import tables as studies

ROOT = Path(__file__).parents[1]
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
        assert (word == 'not significant') == (not compared.loc[key, 'p'] < 0.05)
    assert verdict['a', 'vit'] == 'worse'
    table = studies.f1_table(rows, n=20)
    assert all(('≈' in table.loc[a, t]) == (word == 'not significant') for (t, a), word in verdict.items())


def test_one_track_decides_nothing():
    rows = pd.concat([made(a, RATES[a], tests=('a',), tracks=1) for a in ('crnn', 'vit')])
    assert studies.difference_table(rows)['verdict'].tolist() == ['unknown, too few tracks']


def test_runs_older_than_the_measurement_of_speed(isolated):
    saved('architecture', ['rnn', 'crnn'])
    cost = studies.cost_table(studies.load_runs('architecture'))
    assert cost['speed'].isna().all()


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


def test_runs_whose_settings_differ_are_lines_of_their_own(isolated):
    "Other epochs, another recipe: never averaged with runs of the same name; seeds are."
    told = dict(recipe='quick', train_seconds=60.0, skipped={}, history=[])
    for seed, epochs in ((0, 15), (1, 15), (0, 4)):
        rows = made('crnn', 0.8 if epochs == 15 else 0.6, seed=seed).assign(run=f'crnn-{epochs}-{seed}')
        config = dict(model=dict(architecture='crnn'), data=dict(train=['synthetic']), training=dict(epochs=epochs))
        save_result(Result('architecture', rows['run'][0], rows, told | dict(config=config | dict(seed=seed))))
    rows = studies.load_results('architecture')
    table = studies.score_table(rows, n=0).xs('a', level='test')
    assert table.index.tolist() == ['crnn (training epochs 15)', 'crnn (training epochs 4)']
    assert table['seeds'].tolist() == [2, 1] and table['micro_f1'].diff().iloc[1] < -0.1
    assert studies.load_runs('architecture')['architecture'].nunique() == 2
    assert studies.f1_table(rows, n=0).index.tolist() == table.index.tolist()


def test_a_table_of_many_comparisons_asks_for_more():
    "The same difference among twenty has twenty times the p value, up to 1."
    pair = pd.concat([made('crnn', 0.70, tests=('a',)), made('vit', 0.685, tests=('a',))])
    crowd = pd.concat([pair, *(made('crnn', 0.70, tests=('a',)).assign(architecture=f'x{i}') for i in range(19))])
    alone, among = (
        studies.against_best(studies.main_rows(rows)).set_index('architecture')['p']['vit'] for rows in (pair, crowd)
    )
    assert among == pytest.approx(min(1, 20 * alone))


@pytest.mark.parametrize('text, value, right', [('.82', 0.824, True), ('0.82', 0.826, False), ('−2.2', -2.24, True)])
def test_a_number_in_prose_is_its_value_rounded(text, value, right):
    if right:
        return studies.check_stated({text: value})
    with pytest.raises(DrumnbError, match='by the rows'):
        studies.check_stated({text: value})


def sections(name, title='## Discussion'):
    "Prose and code below a heading of a chapter, to the next heading of its level."
    found, inside = dict(markdown='', code=''), False
    for cell in json.loads(next((ROOT / 'nbs').glob(f'{name}_*.ipynb')).read_text())['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'markdown' and source.startswith('## '):
            inside = source.startswith(title)
        if inside:
            found[cell['cell_type']] += source + '\n'
    return found


NUMBER = re.compile(r'(?<![\w.-])[−+]?\d*[.,]?\d+(?![\w-])')
NOT_STATED = r'\[\([^]]*\)\](?:\([^)]*\))?|\[@[^]]*\]|`[^`]*`|\]\([^)]*\)|@\w+-[\w-]+|95 %|50 ms'


@pytest.mark.parametrize('name', ['62', '63', '64', '65', '69', '01'])
def test_every_number_of_a_discussion_is_compared_with_the_rows(name):
    part = sections(name, '## Abstract' if name == '01' else '## Discussion')
    prose = re.sub(NOT_STATED, '', part['markdown'])
    numbers = set(NUMBER.findall(prose))
    quoted = set(re.findall(r"'([−+]?[\d.,]+)'[:,)]", part['code']))
    assert len(part['markdown'].split()) > 150 and 'check_stated(' in part['code']
    assert numbers <= quoted, sorted(numbers - quoted)


def test_without_a_log_no_test_set_was_looked_at(isolated):
    "As after `make study`, whose results go to a folder of their own."
    from drumnb.studies.tables import test_looks as looks

    assert looks('synthetic') == 0
