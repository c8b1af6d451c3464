"The loop: loss, schedules, early stopping, best model, and runs that are killed."

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError
from drumnb.experiments.training import (
    History,
    Method,
    TrainConfig,
    fit,
    learning_rate,
    plateau_factor,
    progress_callback,
    weighted_bce,
)
from drumnb.models.registry import load_checkpoint, make_model

TINY = dict(front='conv1d', channels=(8, 8), layers=1, hidden=6, dropout=0.2)


class Source:
    def __init__(self, n=5, length=None):
        self.n, self.length = n, length or n

    def __len__(self):
        return self.length

    def batches(self, epoch):
        for i in range(self.n):
            rng = np.random.default_rng([epoch, i])
            y = (rng.random((2, 30, 5)) < 0.1).astype(np.float32)
            x = rng.normal(size=(2, 30, 84)) + np.pad(np.repeat(y, 16, -1), ((0, 0), (0, 0), (0, 4)))
            yield dict(
                features=torch.tensor(x, dtype=torch.float32), targets=torch.tensor(y), weights=torch.ones(2, 30)
            )


def scripted(losses, f1):
    "A validation whose results are given."
    it = iter(zip(losses, f1))

    def validate(model):
        loss, f = next(it)
        torch.rand(7)  # what it draws must not matter
        return dict(loss=loss, micro_f1=f)

    return validate


def model(**kw):
    return make_model('crnn', **{**TINY, **kw})


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def test_loss_by_hand():
    z, y = torch.tensor([[[0.0, 2.0], [-1.0, 1.0]]]), torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    p = torch.sigmoid(z)
    bce = -(y * p.log() + (1 - y) * (1 - p).log())
    w, m = torch.tensor([[3.0, 1.0]]), torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    assert torch.allclose(weighted_bce(z, y), bce.mean())
    assert torch.allclose(weighted_bce(z, y, w), (bce * w[..., None]).mean())
    assert torch.allclose(weighted_bce(z, y, w[..., None].expand_as(z)), (bce * w[..., None]).mean())
    assert torch.allclose(weighted_bce(z, y, w, m), (bce * w[..., None] * m).sum() / 3)
    assert weighted_bce(z, y, mask=torch.zeros_like(z)) == 0


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.1, 2), min_size=1, max_size=40), st.integers(0, 4), st.sampled_from((0.1, 0.2, 0.5)))
def test_plateau_equals_torch(losses, patience, factor):
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(opt, factor=factor, patience=patience, eps=0)
    for loss in losses:
        theirs.step(loss)
    assert plateau_factor(losses, factor, patience) == pytest.approx(opt.param_groups[0]['lr'])


def test_cosine_rises_then_falls():
    c = TrainConfig(schedule='cosine', learning_rate=1.0)
    rates = [learning_rate(c, s, 200) for s in range(200)]
    assert np.argmax(rates) in (9, 10) and max(rates) == 1
    assert (np.diff(rates[:10]) > 0).all() and (np.diff(rates[10:]) < 0).all() and rates[-1] < 1e-3


@pytest.mark.parametrize(
    'kw, text',
    [
        (dict(epochs=0), 'epochs'),
        (dict(learning_rate=0), 'above 0'),
        (dict(schedule='step'), 'cosine'),
        (dict(ema=1), 'below 1'),
        (dict(grad_norm=-1), 'negative'),
    ],
)
def test_bad_settings(kw, text):
    with pytest.raises(DrumnbError, match=text):
        TrainConfig(**kw)


def test_unknown_device():
    with pytest.raises(DrumnbError, match='device=.abacus'):
        fit(model(), Source(), lambda m: {}, TrainConfig(), 'unused', device='abacus')


def test_keeps_the_best_and_stops(tmp_path):
    seen = {}

    def keep(row):
        seen[row['epoch']] = {k: v.clone() for k, v in m.state_dict().items()}

    m = model()
    h = fit(
        m,
        Source(),
        scripted([1, 0.9, 0.95, 0.95, 0.95, 0.95], [0.1, 0.5, 0.7, 0.7, 0.2, 0.9]),
        TrainConfig(stop_after=3),
        tmp_path,
        on_epoch=keep,
    )
    assert len(h.rows) == 5 and 'no lower validation loss for 3' in h.finished
    assert h.best['epoch'] == 2
    assert all(torch.equal(seen[2][k], v) for k, v in m.state_dict().items())
    assert not m.training


def test_average_is_what_is_judged_and_kept(tmp_path):
    judged = []

    def validate(m):
        judged.append({k: v.clone() for k, v in m.state_dict().items()})
        return dict(loss=1.0, micro_f1=len(judged))

    m = model()
    live = []
    fit(
        m,
        Source(),
        validate,
        TrainConfig(epochs=2, ema=0.9),
        tmp_path,
        on_step=lambda s: live.append(m.out.weight.detach().clone()),
    )
    assert torch.equal(judged[-1]['out.weight'], m.out.weight)
    assert not torch.equal(live[-1], m.out.weight)


def test_gradient_is_limited(tmp_path):
    huge = model()
    w = huge.out.weight.detach().clone()
    fit(
        huge,
        Source(1),
        lambda m: dict(loss=1.0, micro_f1=0.0),
        TrainConfig(epochs=1, learning_rate=1e-3, weight_decay=0),
        tmp_path,
    )
    assert 0 < (huge.out.weight - w).abs().max() < 2e-3


def test_finished_run_is_not_repeated(tmp_path):
    validate, steps = scripted([1, 1], [0.1, 0.2]), []
    a = model()
    fit(a, Source(), validate, TrainConfig(epochs=2), tmp_path)
    b = model(seed=9)
    h = fit(b, Source(), None, TrainConfig(epochs=2), tmp_path, on_step=steps.append)
    assert steps == [] and equal(a, b) and len(h.rows) == 2
    with pytest.raises(DrumnbError, match='learning_rate: 0.001 there, 0.1 asked for'):
        fit(model(), Source(), None, TrainConfig(epochs=2, learning_rate=0.1), tmp_path)
    with pytest.raises(DrumnbError, match='other settings'):
        fit(model(hidden=7), Source(), None, TrainConfig(epochs=2), tmp_path)


def test_wrong_source_or_validation(tmp_path):
    with pytest.raises(DrumnbError, match='promised 6 batches and gave 5'):
        fit(model(), Source(5, 6), None, TrainConfig(epochs=1), tmp_path / 'a')
    with pytest.raises(DrumnbError, match='must return loss and micro_f1'):
        fit(model(), Source(), lambda m: dict(loss=1.0), TrainConfig(epochs=1), tmp_path / 'b')


def test_exploding_loss_says_what_to_do(tmp_path):
    m = model()
    with torch.no_grad():
        m.out.weight.fill_(float('inf'))
    with pytest.raises(DrumnbError, match='epoch 0, batch 0: lower learning_rate .now 0.001; try 0.0001'):
        fit(m, Source(), None, TrainConfig(epochs=1), tmp_path)


def test_torn_checkpoint(tmp_path):
    (tmp_path / 'checkpoint.safetensors').write_bytes(b'x' * 100)
    with pytest.raises(DrumnbError, match='checkpoint.safetensors: not a readable checkpoint'):
        fit(model(), Source(), None, TrainConfig(epochs=1), tmp_path)


@pytest.mark.parametrize('kw', [dict(), dict(ema=0.9, schedule='cosine', save_every=2)])
@pytest.mark.parametrize('stop', [1, 7, 10])
def test_broken_off_anywhere_equals_unbroken(tmp_path, kw, stop):
    method = Method(save_every=kw.get('save_every', 0))
    config = TrainConfig(epochs=3, **{k: v for k, v in kw.items() if k != 'save_every'})
    numbers = dict(losses=[1, 0.9, 0.8], f1=[0.1, 0.2, 0.3])
    whole = model()
    h1 = fit(whole, Source(), scripted(**numbers), config, tmp_path / 'whole', method=method)

    def on_step(s):
        if s['step'] == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model(), Source(), scripted(**numbers), config, tmp_path / 'broken', on_step=on_step, method=method)
    torch.manual_seed(123)
    rest, done = model(), (stop - 1) // 5 if stop % 5 else stop // 5 - 1
    h2 = fit(
        rest,
        Source(),
        scripted(numbers['losses'][done:], numbers['f1'][done:]),
        config,
        tmp_path / 'broken',
        method=method,
    )
    assert equal(whole, rest) and h1.rows == h2.rows
    a, b = (load_checkpoint(tmp_path / n / 'checkpoint.safetensors') for n in ('whole', 'broken'))
    assert a[1] == b[1] and all(torch.equal(a[0][k], b[0][k]) for k in a[0]) and set(a[0]) == set(b[0])


SCRIPT = '''
import sys, time, torch
sys.path.insert(0, {tests!r})
from test_training import Source, model
from drumnb.experiments.training import Method, TrainConfig, fit
torch.set_num_threads(1)
def validate(m): return dict(loss=float(m.out.weight.abs().sum()), micro_f1=float(m.out.bias.sum()))
def on_step(s): print(s['step'], flush=True); time.sleep({pause})
m = model()
config = TrainConfig(epochs=4, ema=0.9, schedule='cosine')
fit(m, Source(), validate, config, {folder!r}, on_step=on_step, method=Method(save_every=2))
'''


def test_kill_9_then_resume_equals_unbroken(tmp_path):
    def start(folder, pause):
        code = textwrap.dedent(SCRIPT).format(tests=os.path.dirname(__file__), folder=str(folder), pause=pause)
        return subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True)

    killed = start(tmp_path / 'killed', 0.05)
    for line in killed.stdout:
        if int(line) == 8:
            break
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert 0 < load_checkpoint(tmp_path / 'killed' / 'checkpoint.safetensors')[1]['step'] < 20
    steps = [int(line) for line in start(tmp_path / 'killed', 0).communicate()[0].split()]
    assert steps[0] > 5 and steps[-1] == 20, 'continued, not repeated'
    start(tmp_path / 'whole', 0).communicate()
    (a, ia), (b, ib) = (load_checkpoint(tmp_path / n / 'checkpoint.safetensors') for n in ('killed', 'whole'))
    assert ia == ib and set(a) == set(b) and all(torch.equal(a[k], b[k]) for k in a)


def test_progress_callback_counts(monkeypatch, tmp_path):
    monkeypatch.setenv('DRUMNB_QUIET', '1')
    h = fit(model(), Source(), scripted([1, 1], [0, 0]), TrainConfig(epochs=2), tmp_path, **progress_callback(10))
    assert isinstance(h, History) and h.finished == 'all epochs done'
