"One contract for every architecture: shapes, refusals, chunks, learning, files."

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drumnb.core import DrumnbError
from drumnb.experiments.inference import activations
from drumnb.models.inspection import count_parameters, draw_architecture, influence, layer_table
from drumnb.models.registry import MODELS, load_model, make_model, model_settings, save_model

TINY = {
    'rnn': dict(layers=2, hidden=12),
    'cnn': dict(channels=(4, 8), layers=1, hidden=16),
    'crnn': dict(channels=(4, 8), layers=1, hidden=12),
    'conv_transformer': dict(channels=(4, 8), width=16, layers=1, heads=2),
    'vit': dict(patch=21, width=16, layers=1, heads=2),
}
BAD = {
    'rnn': [(dict(rnn='elman'), 'lstm or gru'), (dict(layers=0), 'at least 1')],
    'cnn': [
        (dict(channels=()), 'kernels of each block'),
        (dict(hidden=-1), 'at least 1'),
        (dict(channels=(8,) * 5), 'nothing is left'),
    ],
    'crnn': [
        (dict(rnn='elman'), 'lstm or gru'),
        (dict(dropout=1.5), 'below 1'),
        (dict(channels=(8,) * 5), 'nothing is left'),
        (dict(hidden=True), 'whole number'),
    ],
    'conv_transformer': [
        (dict(width=70, heads=4), 'divi'),
        (dict(layers=0), 'at least 1'),
        (dict(width=9, heads=3, positions='added'), 'even'),
    ],
    'vit': [(dict(patch=5), 'divi'), (dict(width=72, heads=7), 'divi'), (dict(patch=7, width=16), 'divi')],
}
NAMES = sorted(MODELS)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def tiny(name, **kw):
    return make_model(name, **{**TINY.get(name, {}), **kw})


def test_the_architectures_of_the_thesis_are_there():
    assert set(TINY) == set(BAD) <= set(MODELS)


@pytest.mark.parametrize('name', NAMES)
def test_shapes_at_any_length(name):
    model = tiny(name).eval()
    for B, T in ((1, 1), (2, 3), (3, 57), (1, 900)):
        out = model(torch.rand(B, T, 84))
        assert out.shape == (B, T, 5) and torch.isfinite(out).all()
    assert (out < 0).any(), 'logits, not probabilities'
    assert tiny(name, n_drums=3)(torch.rand(1, 9, 84)).shape == (1, 9, 3)
    assert model.name == name and json.loads(json.dumps(model.config))['n_bins'] == 84


@pytest.mark.parametrize('name, config, reason', [(n, c, r) for n in NAMES for c, r in BAD.get(n, [])])
def test_refuses_with_a_reason(name, config, reason):
    with pytest.raises(DrumnbError, match=reason) as e:
        make_model(name, **config)
    assert '\n' not in str(e.value)


@pytest.mark.parametrize('name', NAMES)
def test_names_the_known(name):
    with pytest.raises(DrumnbError, match='settings: .*n_bins'):
        make_model(name, n_binz=84)
    assert 'n_bins' in model_settings(name)


def test_unknown_architecture_names_the_known():
    with pytest.raises(DrumnbError) as e:
        make_model('crn')
    assert all(n in str(e.value) for n in MODELS)


@pytest.mark.parametrize('name', NAMES)
def test_chunks_and_padding_leave_the_middle_alone(name):
    model, rng = tiny(name).eval(), np.random.default_rng(0)
    x = rng.normal(size=(1700, 84)).astype(np.float32)
    with torch.no_grad():
        whole = torch.sigmoid(model(torch.tensor(x)[None]))[0].numpy()
        ahead = torch.sigmoid(model(torch.tensor(np.pad(x, ((300, 0), (0, 0))))[None]))[0].numpy()[300:]
    assert np.abs(activations(model, x, chunk=400, batch=2) - whole).max() < 1e-4
    assert np.abs(ahead - whole)[300:].max() < 1e-4
    assert whole.std() > 1e-4


@pytest.mark.parametrize('name', NAMES)
def test_batch_items_do_not_mix(name):
    model, x = tiny(name).eval(), torch.randn(3, 40, 84, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(model(x)[1], model(x[1:2])[0], atol=1e-5)


@pytest.mark.parametrize('name', sorted(TINY))
def test_overfits_one_batch(name):
    model, rng = tiny(name, dropout=0.0), np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(2, 40, 84)), dtype=torch.float32)
    y = torch.tensor((rng.random((2, 40, 5)) < 0.15).astype(np.float32))
    opt, loss = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0), None
    for step in range(300):  # noqa: B007 (the message below says how far it came)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model.train()(x), y)
        if loss < 0.03:
            break
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2)
        opt.step()
    assert loss < 0.05, f'loss {loss.item():.3f} after {step} steps'


@pytest.mark.parametrize('name', NAMES)
def test_every_parameter_learns(name):
    model = tiny(name)
    model(torch.randn(2, 30, 84)).square().mean().backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None]
    assert not idle


@pytest.mark.parametrize('name', NAMES)
def test_saved_and_reloaded(name, tmp_path):
    model, x = tiny(name, seed=3).eval(), torch.rand(2, 33, 84)
    path = save_model(tmp_path / 'm', model, threshold=0.3, vocabulary=('KD', 'SD'))
    again, meta = load_model(path)
    assert again.config == model.config and meta == dict(threshold=0.3, vocabulary=['KD', 'SD'])
    with torch.no_grad():
        assert torch.equal(model(x), again(x))
    assert json.loads(path.with_suffix('.json').read_text())['architecture'] == name
    assert sorted(p.name for p in tmp_path.iterdir()) == ['m.json', 'm.safetensors']


def test_bad_files_are_one_line(tmp_path):
    path = save_model(tmp_path / 'm', tiny('crnn'))
    whole = path.read_bytes()
    for n in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(DrumnbError, match='m.safetensors') as e:
            load_model(path)
        assert '\n' not in str(e.value)
    path.write_bytes(whole.replace(b'\\"hidden\\": 12', b'\\"hidden\\": 13'))
    with pytest.raises(DrumnbError, match='do not fit'):
        load_model(path)
    with pytest.raises(DrumnbError, match='no such model'):
        load_model(tmp_path / 'none')


@pytest.mark.parametrize('name', NAMES)
def test_table_drawing_and_influence_come_from_the_module(name):
    model = tiny(name).train()
    table = layer_table(model, 84, 50)
    assert table.iloc[-1]['shape'] == (50, 5) and table.parameters.sum() <= count_parameters(model)
    values = influence(model, 61, repeats=2)
    assert values.shape == (61,) and values.max() == 1 and values.min() >= 0 and values[30] > 0
    assert model.training, 'looking at a model must not change its mode'
    import matplotlib.pyplot as plt

    plt.close(draw_architecture(model, 84, 50).figure)


def test_same_seed_same_model_and_no_side_effect():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    a, b = tiny('crnn', seed=1), tiny('crnn', seed=1)
    assert torch.rand(1) == expected
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters()))


@settings(max_examples=15, deadline=None)
@given(
    front=st.sampled_from(('conv2d', 'conv1d')),
    rnn=st.sampled_from(('lstm', 'gru')),
    layers=st.integers(1, 3),
    hidden=st.integers(1, 9),
    convs=st.integers(1, 3),
    T=st.integers(1, 12),
    bins=st.integers(9, 40),
)
def test_crnn_settings(front, rnn, layers, hidden, convs, T, bins):
    model = make_model(
        'crnn', n_bins=bins, front=front, channels=(4, 4), rnn=rnn, layers=layers, hidden=hidden, convs_per_block=convs
    )
    assert model(torch.rand(2, T, bins)).shape == (2, T, 5)
