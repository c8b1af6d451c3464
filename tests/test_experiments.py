"""Experiments: names and keys, results on disk, templates, batches that fail, are killed and go on."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, project_root, results_home, rng_for, runs_home, write_json
from drumnb.datasets.core import Dataset, register
from drumnb.experiments import experiment as frame
from drumnb.experiments import results
from drumnb.experiments.batches import Augmentation, Windows
from drumnb.experiments.recipes import (
    ABOUT,
    PLACES,
    Data,
    Decoding,
    Drums,
    Experiment,
    Features,
    Model,
    Resources,
    build_model,
    experiment,
    read_word,
    split_names,
)
from drumnb.experiments.results import COLUMNS, Result, load_result, run_lock, run_task, save_result
from drumnb.experiments.runner import Job, make_job, run_batch, run_notebook, template_parameters
from drumnb.experiments.training import TrainConfig
from drumnb.onsets import Onsets
from drumnb.rendering.grooves import ScoreEdits

MIME = results.RESULT_MIME
# A template that leaves a result as a real one does, without the cost of importing the library.
TOY = [
    'value = 1\nseconds = 0',
    'import time\ntime.sleep(seconds)\nassert value != 2, "two is refused"',
    f'''
import hashlib, json, os, pathlib
from IPython.display import display
folder = pathlib.Path(os.environ['DRUMNB_RESULTS'])/'toy'
folder.mkdir(parents=True, exist_ok=True)
(folder/f'toy-{{value}}.csv').write_text('run,tp\\n')
digest = hashlib.sha256((folder/f'toy-{{value}}.csv').read_bytes()).hexdigest()
settings = dict(value=value, seconds=seconds)
saved = dict(study='toy', run=f'toy-{{value}}', config=settings, rows_sha256=digest)
(folder/f'toy-{{value}}.json').write_text(json.dumps(saved))
display({{'{MIME}': dict(path=str(folder/f'toy-{{value}}.json'), settings=settings)}}, raw=True)''',
]


def template(path, cells=TOY, tags=('parameters',)):
    made = [
        dict(
            cell_type='code',
            id=f'c{i}',
            metadata=dict(tags=list(tags)) if i == 0 else {},
            execution_count=None,
            outputs=[],
            source=c,
        )
        for i, c in enumerate(cells)
    ]
    write_json(
        path,
        dict(
            cells=made,
            metadata=dict(kernelspec=dict(name='python3', display_name='python3', language='python')),
            nbformat=4,
            nbformat_minor=5,
        ),
    )
    return path


def toy_job(path, value, **more):
    return Job(str(path), 'toy', f'toy-{value}', dict(value=value, **more))


@register
class Clicks(Dataset):
    "Kicks and snares of noise, four seconds a track."

    name, title = 'test-clicks', 'bursts of noise'

    def make_index(self):
        return [
            self.make_track(f'{s}{i}', s, f'{s}{i}', 4.0) for s in ('train', 'validation', 'test') for i in range(2)
        ]

    def load_onsets(self, track, vocabulary=('KD', 'SD', 'TT', 'HH', 'CY')):
        return Onsets.make(
            0.35 * np.arange(1, 11) + rng_for('clicks', track.id).uniform(0, 0.1, 10), ['KD', 'SD'] * 5
        ).reduce(vocabulary)

    def load_audio(self, track):
        rng, x = rng_for('noise', track.id), np.zeros(4 * 44100, np.float32)
        for time_, drum in zip(self.load_onsets(track).times, ['KD', 'SD'] * 5):
            burst = rng.standard_normal(3000) * np.exp(-np.arange(3000) / 600)
            x[int(time_ * 44100) :][:3000] += 0.3 * (
                np.convolve(burst, np.ones(60) / 60, 'same') if drum == 'KD' else np.diff(burst, append=0)
            )
        return x


@pytest.mark.parametrize(
    'asked, message',
    [
        (dict(architecture='crn'), "did you mean 'crnn'"),
        (dict(train='sintetic'), "did you mean 'synthetic'"),
        (dict(epocs=3), "did you mean 'epochs'"),
        (dict(model='{hiden: 72}'), 'hiden'),
        (dict(model='{hidden: -1}'), 'hidden=-1'),
        (dict(seed='one'), 'parameter seed: input should be a valid integer'),
        (dict(threshold=1.5), 'threshold'),
        (dict(recipe='quik'), "did you mean 'quick'"),
        (dict(windows='{batch: x}'), 'parameter windows.batch'),
        (dict(features='{name: mell}'), 'mell'),
        (dict(protocols='onset@wide'), 'onset@wide'),
        (dict(train='mdb:drums_only'), 'drums_only'),
        (dict(vocabulary='7'), '7'),
        (dict(epochs=0), 'epochs'),
    ],
)
def test_mistakes_are_one_line(asked, message):
    with pytest.raises(DrumnbError, match=message) as e:
        experiment(**asked)
    assert '\n' not in str(e.value)


def test_typed_and_given_settings_are_one_run():
    typed = experiment(
        recipe='tiny',
        seed='3',
        model='{hidden: 24}',
        training='{learning_rate: 1e-3}',
        train='synthetic',
        protocols='onset@50+thesis@50',
    )
    given_ = experiment(
        recipe='tiny',
        seed=3,
        model=dict(hidden=24),
        training=dict(learning_rate=0.001),
        train=['synthetic'],
        protocols=('onset@50', 'thesis@50'),
    )
    assert typed == given_ and typed.run == given_.run
    assert typed.model.options['hidden'] == 24 and typed.model.options['layers'] == 1  # the rest comes from the recipe


CHANGES = dict(
    data=Data(train=('a',)),
    features=Features('mel'),
    model=Model('x'),
    windows=Windows(batch=1),
    mixing=True,
    augmentation=Augmentation(),
    sampling=Drums(),
    training=TrainConfig(epochs=9),
    decoding=Decoding(0.1),
    start='drumnb-5',
    seed=9,
    recipe='x',
    label='x',
    resources=Resources(workers=9),
)


@given(st.sets(st.sampled_from(sorted(CHANGES))))
@settings(max_examples=40, deadline=None)
def test_key_changes_with_what_matters_only(names):
    assert set(CHANGES) == {f.name for f in fields(Experiment)}
    changed = replace(Experiment(), **{n: CHANGES[n] for n in names})
    assert (changed.key == Experiment().key) == (names <= set(ABOUT))


RESULTS = Path(__file__).parents[1] / 'results'
OF_RUNS = [p for p in sorted(RESULTS.rglob('*.json')) if p.parent.name != 'search']
COMMITTED = [p for p in OF_RUNS if 'windows' in json.loads(p.read_text())['config']]


@pytest.mark.parametrize('path', COMMITTED, ids=lambda p: p.stem)
def test_a_committed_run_is_remade_from_what_it_stores(path):
    told = json.loads(path.read_text())
    exp = Experiment.from_settings(told['config'], recipe=told['recipe'], label=told['label'])
    assert (exp.key, exp.run, exp.settings) == (told['key'], path.stem, told['config'])


def test_recipes_make_the_runs_that_name_them():
    for path in (p for p in COMMITTED if p.parent.name == 'recordings'):
        told = json.loads(path.read_text())
        assert experiment(told['recipe'], seed=told['seed']).run == path.stem


def test_settings_that_came_later_leave_earlier_runs_their_names():
    "A long run that is committed would be asked for by the same name today; with an effect it is another run."
    earlier = experiment('crnn192-bleed-22ep', seed=1, epochs=18, model=dict(hidden=144))
    assert (RESULTS / 'recordings' / f'{earlier.run}.json').exists()
    assert replace(earlier, sampling=Drums('every', 0.7, effects=0.35)).key != earlier.key


def test_the_recipe_shipped_is_what_ships():
    from drumnb.models.registry import load_model
    from drumnb.transcription.transcribe import shipped_weights

    assert load_model(shipped_weights()[-1])[1]['run'] == experiment('shipped', seed=1).run


@given(
    st.recursive(
        st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans(),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from('abc'), x, max_size=3),
        max_leaves=5,
    )
)
@settings(max_examples=40, deadline=None)
def test_a_value_written_as_json_is_read_back(value):
    assert read_word(json.dumps(value)) == value


def test_sets_are_joined_by_plus_alone():
    assert split_names('mdb:drum_only+synthetic:train=2,seconds=9') == ('mdb:drum_only', 'synthetic:train=2,seconds=9')
    assert split_names(['groove', 'mdb+rwc']) == ('groove', 'mdb', 'rwc')


def test_a_result_without_its_half_does_not_count(isolated):
    rows = pd.DataFrame([['r', 's', 'crnn', 'a', 'b', 'test', 0, 'onset', 50, '001', 'KD', 3, 1, 0]], columns=COLUMNS)
    path = save_result(Result('s', 'r', rows, dict(config={})))
    pd.testing.assert_frame_equal(load_result(path).rows, rows)  # '001' stays text
    path.with_suffix('.csv').write_bytes(path.with_suffix('.csv').read_bytes()[:-4])
    with pytest.raises(DrumnbError, match='r.csv'):
        load_result(path)
    path.write_text('{"half": ')
    with pytest.raises(DrumnbError, match='r.json'):
        load_result(path)


def test_templates_are_read_and_refused(tmp_path, isolated):
    assert template_parameters('frame')['recipe'] == 'tiny'
    untagged = template(tmp_path / 'untagged.ipynb', tags=())
    with pytest.raises(DrumnbError, match="no cells tagged 'parameters'"):
        run_notebook(untagged, tmp_path / 'out' / 'x.ipynb', dict(value=3))
    with pytest.raises(DrumnbError, match="did you mean 'value'"):
        run_notebook(template(tmp_path / 'toy.ipynb'), tmp_path / 'out' / 'x.ipynb', dict(valeu=3))
    with pytest.raises(DrumnbError, match='unknown template'):
        make_job('frme')
    with pytest.raises(DrumnbError, match="did you mean 'architecture'"):
        make_job('frame', architcture='crnn')
    assert not (tmp_path / 'out').exists()


def test_frame_parameters_are_settings_of_an_experiment():
    assert set(template_parameters('frame')) == {*PLACES, 'recipe', 'label'}


def test_a_template_that_ignores_a_parameter_is_found_out(tmp_path, isolated):
    path = template(tmp_path / 'deaf.ipynb', [TOY[0], 'value = 1', *TOY[1:]])
    with pytest.raises(DrumnbError, match='asked for value=3, but the result was made with 1'):
        run_notebook(path, tmp_path / 'out.ipynb', dict(value=3))
    assert not (tmp_path / 'out.ipynb').exists()


def test_a_failing_run_does_not_stop_the_others_and_a_finished_one_is_skipped(tmp_path, isolated):
    path = template(tmp_path / 'toy.ipynb')
    done = Result('toy', 'toy-1', pd.DataFrame(columns=COLUMNS), dict(config=dict(value=1)))
    stamp = save_result(done).stat().st_mtime_ns
    table = run_batch([toy_job(path, v) for v in (1, 2, 3)])
    assert list(table.status) == ['finished before', 'failed', 'done']
    assert 'two is refused' in table.message[1] and '\n' not in table.message[1]
    assert done.path.stat().st_mtime_ns == stamp
    assert sorted(p.name for p in (runs_home() / 'toy').iterdir() if p.is_file()) == [
        'toy-2.failed.ipynb',
        'toy-3.ipynb',
    ]


def test_a_batch_killed_with_9_goes_on(tmp_path, isolated):
    path = template(tmp_path / 'toy.ipynb')
    jobs = [toy_job(path, 1), toy_job(path, 3, seconds=60), toy_job(path, 4)]
    code = (
        f'from tests.test_experiments import *; run_batch([toy_job({str(path)!r}, 1), toy_job({str(path)!r}, 3, '
        'seconds=60)])'
    )
    root = project_root()
    process = subprocess.Popen(
        [sys.executable, '-c', code], cwd=root, stderr=subprocess.DEVNULL, env=os.environ | dict(PYTHONPATH=str(root))
    )
    growing = runs_home() / 'toy' / '.toy-3.part.ipynb'
    deadline = time.monotonic() + 90
    while not growing.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert growing.exists() and jobs[0].finished() and not jobs[1].finished() and not jobs[1].notebook.exists()
    stamp = jobs[0].notebook.stat().st_mtime_ns
    jobs[1] = toy_job(path, 3)  # the same run, without the long wait
    assert list(run_batch(jobs).status) == ['finished before', 'done', 'done']
    assert jobs[0].notebook.stat().st_mtime_ns == stamp and not growing.exists()


def test_a_lock_dies_with_its_holder(tmp_path):
    code = (
        f"import time\nfrom drumnb.experiments.results import run_lock\nwith run_lock({str(tmp_path)!r}):\n    "
        "print('held', flush=True)\n    time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    with pytest.raises(DrumnbError, match='another process'), run_lock(tmp_path, patience=0.3):
        pass
    process.kill()
    process.wait()
    with run_lock(tmp_path, patience=5):
        pass


def test_a_run_broken_off_ends_like_an_unbroken_one(isolated, monkeypatch):
    exp = experiment(
        train='test-clicks',
        recipe='tiny',
        epochs=4,
        study='toy',
        threads=1,
        training=dict(learning_rate=0.01),
        windows=dict(batch=2),
    )
    whole = run_task(exp)
    assert len(whole.rows) == 2 * 5 * len(exp.decoding.protocols) and run_task(exp).reused
    monkeypatch.setenv('DRUMNB_RESULTS', str(isolated / 'results2'))
    monkeypatch.setenv('DRUMNB_RUNS', str(isolated / 'runs2'))
    note, epochs = results.note_status, []

    def dies(folder, text):
        epochs.append(text)
        if text.startswith('epoch 2/4, validation'):
            raise KeyboardInterrupt
        note(folder, text)

    monkeypatch.setattr(frame, 'note_status', dies)
    with pytest.raises(KeyboardInterrupt):
        run_task(exp)
    assert not list(results_home().rglob('*.json'))
    monkeypatch.setattr(frame, 'note_status', lambda folder, text: epochs.append(text))
    epochs.clear()
    again = run_task(exp)
    assert not any('epoch 1/4' in text for text in epochs)  # it went on, it did not start afresh
    pd.testing.assert_frame_equal(again.rows, whole.rows)
    pd.testing.assert_frame_equal(again.history, whole.history)


def test_a_track_that_cannot_be_read_fails_the_run_unless_allowed(isolated, monkeypatch):
    real = Clicks.load_audio

    def torn(self, track):
        if track.id == 'test1':
            raise DrumnbError(f'{track.id}: torn file')
        return real(self, track)

    monkeypatch.setattr(Clicks, 'load_audio', torn)
    asked = dict(train='test-clicks', recipe='tiny', epochs=1, study='toy', threads=1)
    with pytest.raises(DrumnbError, match='test1: torn file'):
        run_task(experiment(**asked))
    assert not list(results_home().rglob('*'))
    result = run_task(experiment(**asked, allow_skips=True))
    assert list(result.info['skipped']) == ['test1'] and set(result.rows.track) == {'test0'}
    with pytest.raises(DrumnbError, match='torn file'):  # a result with skips is not one without
        run_task(experiment(**asked))


def test_a_song_cannot_be_learned_and_scored(isolated):
    with pytest.raises(DrumnbError, match='one split only'):
        run_task(experiment(train='test-clicks', test='test-clicks@all', recipe='tiny'))


def test_thresholds_by_drum_are_chosen_or_given():
    from drumnb.experiments.experiment import decide_threshold, picked, validation_f1

    ref = Onsets.make([1.0, 2.0], ['KD', 'CY'])
    y = np.zeros((400, 5), np.float32)
    y[100, 0], y[200, 4], y[300, 4] = 0.9, 0.3, 0.2
    exp = experiment(train='synthetic', recipe='tiny', threshold='[0.5, 0.5, 0.5, 0.5, 0.25]')
    assert exp.decoding.threshold == (0.5, 0.5, 0.5, 0.5, 0.25) and validation_f1(exp, [(y, ref)]) == 1
    assert (
        decide_threshold(exp, None, None, None) == (0.5, 0.5, 0.5, 0.5, 0.25)
        and len(picked(exp, y, (0.5, 0.5, 0.5, 0.5, 0.25))) == 2
    )
    assert experiment(train='synthetic', recipe='tiny', per_drum=True).decoding == Decoding(None, True)
    with pytest.raises(DrumnbError, match='threshold'):
        experiment(train='synthetic', recipe='tiny', threshold=[0.1, 0.2])


def test_a_batch_here_joins_no_cluster_that_was_left_behind(monkeypatch):
    "Ray would connect to whatever address it finds noted on this machine, and refuse the number of cores."
    import ray

    from drumnb.experiments.runner import start_ray

    asked = {}
    monkeypatch.setattr(ray, 'init', lambda **settings: asked.update(settings))
    monkeypatch.setenv('RAY_ADDRESS', '192.0.2.1:6379')
    start_ray(None, 2)
    assert asked['address'] == 'local' and asked['num_cpus'] == 2


@pytest.mark.parametrize('train', ['test-clicks', 'groove:dtd'])
def test_mixing_what_cannot_be_mixed_names_the_remedy(train, tmp_path, monkeypatch):
    from drumnb.datasets.registry import write_fixture

    write_fixture('groove', tmp_path)
    for name in ('DATA', 'CACHE'):
        monkeypatch.setenv(f'DRUMNB_{name}', str(tmp_path))
    exp = experiment(train=train, recipe='tiny', mixing=True)
    with pytest.raises(DrumnbError, match='-p mixing false'):
        frame.make_source(exp, frame.prepare_data(exp, frame.all_tracks(exp)))
    as_it_is = replace(exp, mixing=False)
    assert len(frame.make_source(as_it_is, frame.prepare_data(as_it_is, frame.all_tracks(as_it_is))))


def test_recipes_for_the_full_kit_say_what_they_were_made_with():
    "The settings of the recipes, spelled out a second time: a slip in either is noticed."
    one, two, three = (experiment(f'ear-{n}', seed=1) for n in (1, 2, 3))
    edits = ScoreEdits(bare=0.11, double_kicks=0.04, kick_with_snare=0.2, crashes=0.1, floor_tom=0.05)
    played = dict(kits='all', resonance=0.7, effects=0.15, real_kits=0.6, single_snares=0.25, distractors=0.08)
    sampling = Drums(**played, edits=edits)
    common = dict(gain=3.0, equaliser=3.0, roll=2, drums_only=0.2, aligned=0.5, recording_chain=0.12)
    heard = (
        Augmentation(ratio=(-10.0, 12.0), music=0.6, drumless=0.13, dense=0.25, **common),
        Augmentation(ratio=(-12.0, 12.0), music=0.65, drumless=0.12, dense=0.35, **common),
    )
    windows = Windows(200, 16, 'crops', 500, 0.2, 'none', full_kit=True)
    for exp, augmentation, epochs in zip((one, two), heard, (20, 22)):
        assert (exp.sampling, exp.augmentation, exp.windows) == (sampling, augmentation, windows)
        assert (exp.training.epochs, exp.training.learning_rate, exp.training.ema) == (epochs, 1.5e-3, 0.998)
        assert exp.start == 'drumnb-5' and exp.data.accompaniment[-1] == 'music' and not exp.data.tracks
        assert build_model(exp).config['n_drums'] == 17 and exp.data.hours == dict(accompaniment=2.0)
    assert one.key != two.key
    apart = dict(bare=0.12, hats_on_drums=0.08, coincident=0.35, double_kicks=0.05, kick_with_snare=0.12)
    other = Drums(**played | dict(effects=0.25, live_rooms=0.25), edits=replace(edits, **apart))
    assert (three.sampling, three.augmentation, three.windows) == (other, heard[1], windows)
    assert (three.start, three.training.epochs, three.training.learning_rate) == ('drumnb-6', 14, 1.2e-3)


def test_a_run_on_recorded_kits_says_that_it_needs_them(monkeypatch):
    monkeypatch.setenv('DRUMNB_KITS', '')
    with pytest.raises(DrumnbError, match='DRUMNB_KITS'):
        frame.need_pack(experiment('ear-2'))
    with pytest.raises(DrumnbError, match='full_kit'):
        experiment('quick', windows=dict(full_kit=True))


def write_pack(home, source):
    "A pack of one kit with two microphones, each stroke a burst of noise."
    import soundfile

    (home / 'toy').mkdir(parents=True)
    samples = []
    for drum in ('kick', 'snare', 'hat_closed'):
        for mic in ('close', 'over'):
            name, x = f'{drum}-v1-r1-{mic}.flac', rng_for('pack', drum, mic).normal(0, 0.1, 6000)
            soundfile.write(home / 'toy' / name, x * np.exp(-np.arange(6000) / 1000), 44100)
            samples.append(dict(file=name, articulation=drum, detail='', velocity=0.8, mic=mic))
    (home / 'toy' / 'kit.json').write_text(json.dumps(dict(name='toy', samples=samples)))
    (home / 'kits.csv').write_text(f'kit,sample_source\ntoy,{source}\n')
    return home


def test_validation_on_held_out_kits_and_music_is_the_same_at_every_call(tmp_path, monkeypatch, isolated):
    from drumnb.datasets.registry import get_dataset, write_fixture
    from drumnb.rendering import drum_sampler
    from drumnb.rendering.kits import KitRef

    write_fixture('music', tmp_path / 'data', recordings=12)
    monkeypatch.setenv('DRUMNB_DATA', str(tmp_path / 'data'))
    monkeypatch.setenv('DRUMNB_KITS', str(write_pack(tmp_path / 'pack', 'virtuosity')))
    monkeypatch.setattr(drum_sampler, 'find_kits', lambda *a: [KitRef('procedural', '1', 'procedural', 'train')])
    monkeypatch.setattr(frame, 'HELD_OUT_MUSIC', ('music',))
    tracks = get_dataset('synthetic:train=1,validation=2,test=1,seconds=8').tracks('validation')
    exp = experiment('ear-2')
    first, again = (frame.held_out(exp, tracks, crops=24, frames=300) for _ in range(2))
    counts = [len(e.onsets) for e in first.entries]
    assert len(counts) == 24 and 0 in counts and max(counts) > 3  # crops without drums, and with
    for i in range(24):
        assert np.array_equal(first.features(i), again.features(i)) and first.features(i).shape == (300, 84)
        assert first[i].onsets.equals(again[i].onsets) and first[i].onsets.vocabulary == exp.data.vocabulary
    monkeypatch.setenv('DRUMNB_KITS', str(write_pack(tmp_path / 'other', 'toy')))
    with pytest.raises(DrumnbError, match='validation'):  # no kit is held out there
        frame.held_out(exp, tracks)
