"""The data-set studies: their plans, the thesis's grid on stand-ins from end to end, and what a run keeps of its
timing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError
from drumnb.datasets.registry import limited, write_fixture
from drumnb.experiments.experiment import all_tracks
from drumnb.experiments.results import OFFSETS, TOLERANCES, run_task, timing_of
from drumnb.experiments.runner import check_data
from drumnb.onsets import Onsets
from drumnb.studies.dataset_study import (
    COMBINATIONS,
    RUNS,
    THESIS,
    bare_name,
    held_runs,
    planned_jobs,
    training_label,
    zero_shot,
)

SIZES = dict(
    enst_mdb=dict(seconds=0.5),
    egmd=dict(performances=3, seconds=1.0),
    slakh=dict(songs=3, seconds=1.0),
    adtof_yt=dict(windows=2),
    sadtp=dict(songs=3, seconds=1.0),
)


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    "A data home with the stand-ins of the thesis's data sets."
    folder = tmp_path_factory.mktemp('home')
    for name, size in SIZES.items():
        write_fixture(name, folder, **size)
    return folder


def test_every_combination_of_the_thesis_finds_its_tracks(home, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(home))
    jobs = planned_jobs('dataset', recipe='tiny')
    assert [j.parameters['train'] for j in jobs] == list(COMBINATIONS)
    for job in jobs:
        chosen = all_tracks(job.exp)
        assert set(chosen['train']) == set(job.exp.data.train) and set(chosen['test']) == {*THESIS, 'sadtp'}
        assert not job.exp.mixing and not job.exp.sampling and all(chosen['train'].values())


def test_the_largest_combination_runs_on_stand_ins(home, tmp_path, monkeypatch):
    for name, path in dict(
        DATA=home, CACHE=tmp_path / 'cache', RESULTS=tmp_path / 'results', RUNS=tmp_path / 'runs'
    ).items():
        monkeypatch.setenv(f'DRUMNB_{name}', str(path))
    few = dict(recipe='tiny', epochs=1, windows=dict(batch=2, frames=50), tracks=dict(train=1, validation=1, test=1))
    result = run_task(planned_jobs('dataset', datasets=[COMBINATIONS[-1]], **few)[0].exp)
    assert set(result.rows['test']) == {*THESIS, 'sadtp'} and result.rows['train'].unique().tolist() == [
        COMBINATIONS[-1]
    ]
    timing = result.info['timing']
    assert set(timing) == {*THESIS, 'sadtp'}
    for t in (t for tracks in timing.values() for t in tracks.values()):
        assert (
            len(t['hits']) == len(TOLERANCES)
            and t['hits'] == sorted(t['hits'])
            and t['moved'] >= t['hits'][TOLERANCES.index(50)]
        )


def test_a_missing_collection_is_named_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv('DRUMNB_DATA', str(tmp_path))
    with pytest.raises(DrumnbError, match='ENST'):
        check_data(planned_jobs('dataset'))


def test_the_plan_of_held_varies_one_thing_at_a_time():
    runs, jobs = held_runs(), planned_jobs('held')
    assert len({j.run for j in jobs}) == len(runs) == 18
    assert {r['recipe'] for r in runs} == {'crnn64-4ep'} and {j.exp.recipe for j in jobs} == {'crnn64-4ep'}
    base = next(r for r in runs if r['train'] == 'groove:dtm' and 'hours' not in r)
    for r in (r for r in runs if '+' not in r['train'] and r['train'].startswith('groove')):
        differ = {k for k in {*r, *base} if r.get(k) != base.get(k)}
        assert len(differ) <= 1, differ


@pytest.mark.parametrize('study', RUNS)
def test_training_sets_can_be_chosen_by_name(study):
    for job in planned_jobs(study)[::6]:
        label = training_label(job.exp.settings)
        assert job.run in {j.run for j in planned_jobs(study, datasets=[label])}
        assert {training_label(j.exp.settings) for j in planned_jobs(study, datasets=[label])} == {label}
    with pytest.raises(DrumnbError, match='training set'):
        planned_jobs(study, datasets=['nothing'])


def test_zero_shot_is_told_by_family():
    shots = {(a, b): zero_shot(a, b) for a in COMBINATIONS for b in (*THESIS, 'sadtp', 'mdb:drum_only', 'groove:dtm')}
    assert all(shots[a, 'sadtp'] for a in COMBINATIONS)
    assert all(shots[a, b] == (b not in a.split('+')) for a in COMBINATIONS for b in THESIS)
    assert not shots['enst_mdb', 'mdb:drum_only'] and not shots['egmd', 'groove:dtm'] and shots['slakh', 'groove:dtm']
    assert bare_name('mdb:drum_only,folds=3,fold=2') == bare_name('mdb:drum_only@all') == 'mdb:drum_only'


class Song:
    def __init__(self, i, seconds):
        self.id, self.duration = f's{i}', seconds


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1, 900), min_size=1, max_size=30), st.floats(0.01, 2), st.floats(0.01, 2))
def test_fewer_hours_are_part_of_more(lengths, a, b):
    songs = [Song(i, s) for i, s in enumerate(lengths)]
    fewer, more = ([s.id for s in limited(songs, hours=round(h, 3))] for h in sorted((a, b)))
    assert fewer and set(fewer) <= set(more) and more == [s.id for s in songs if s.id in more]
    most = round(max(a, b), 3) * 3600
    assert sum(s.duration for s in songs if s.id in more) < most + 900 and (
        len(more) == len(songs) or sum(s.duration for s in songs if s.id in more) >= most
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(-18, 18), st.integers(1, 30))
def test_the_offset_of_a_moved_track_is_found(steps, n):
    ref = Onsets.make(1 + np.arange(n) * 0.37, ['KD'] * n)
    found = timing_of(ref, ref.shift(steps * 0.005))
    assert (
        found['offset_ms'] == -5 * steps
        and found['moved'] == found['annotated'] == found['found'] == n
        and found['offset_ms'] in OFFSETS
    )
    assert found['hits'] == [n * (5 * abs(steps) <= w) for w in TOLERANCES]
