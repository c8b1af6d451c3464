"""Seconds per training step, forward and backward, and inference in times real time, of each architecture on one thread
and on a GPU when there is one.

python benchmarks/architectures.py            everything, to benchmarks/results/architectures.* and speedups.*
python benchmarks/architectures.py --only vit --device cpu
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path

from common import RESULTS, one_thread, write_results

one_thread()
import numpy as np  # noqa: E402  after the threads are set
import torch  # noqa: E402

from drumnb.experiments.inference import activations  # noqa: E402
from drumnb.experiments.recipes import PROFILES  # noqa: E402
from drumnb.experiments.training import weighted_bce  # noqa: E402
from drumnb.models import layers  # noqa: E402
from drumnb.models.inspection import count_parameters
from drumnb.models.registry import MODELS, make_model  # noqa: E402

torch.set_num_threads(1)
# Of the quick profile, and the defaults of the architectures, which are the middle of the thesis's search spaces.
SIZES = dict(quick=(lambda name: PROFILES['quick']['model'][name], 16, 200), thesis=(lambda name: {}, 8, 400))
TRACK = 60.0  # seconds of music for inference


class Step:
    "One training step on a batch of noise, in three parts that are timed apart."

    def __init__(self, model, batch, frames, device, fused=True):
        self.model, self.device = model.to(device).train(), torch.device(device)
        rng = torch.Generator().manual_seed(0)
        self.x = torch.rand(batch, frames, 84, generator=rng).to(device)
        self.y = (torch.rand(batch, frames, 5, generator=rng) > 0.95).float().to(device)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)

    def clock(self):
        "Processor seconds on the CPU, which other work on the machine disturbs least; wall-clock seconds on a GPU."
        if self.device.type == 'cpu':
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def __call__(self):
        self.optimiser.zero_grad(set_to_none=True)
        times = [self.clock()]
        loss = weighted_bce(self.model(self.x), self.y)
        times.append(self.clock())
        loss.backward()
        times.append(self.clock())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 2.0)
        self.optimiser.step()
        times.append(self.clock())
        return np.diff(times)


def infer(model, seconds=TRACK, device='cpu'):
    "A call that reads a whole track of noise and says how long that took."
    x, clock = (
        np.random.default_rng(0).random((int(seconds * 100), 84), np.float32),
        time.process_time if device == 'cpu' else time.perf_counter,
    )
    model = model.to(device).eval()

    def call():
        start = clock()
        activations(model, x, device=device)
        return [clock() - start]

    return call


def timed(calls: list, repeats: int) -> list:
    """The medians of what several calls return, called in turn so that other work disturbs all alike; one round
    warms up."""
    found = [[c() for c in calls] for _ in range(repeats + 1)][1:]
    return [np.median([turn[i] for turn in found], axis=0) for i in range(len(calls))]


def rounded(x):
    return float(f'{x:.3g}')


def architecture_row(name, size, device, repeats) -> dict:
    "What one architecture of one size needs."
    settings, batch, frames = SIZES[size]
    model = make_model(name, seed=0, **settings(name))
    ((forward, backward, update),) = timed([Step(model, batch, frames, device)], repeats)
    ((reading,),) = timed([infer(model, device=device)], repeats)
    total = forward + backward + update
    return dict(
        architecture=name,
        size=size,
        device=device,
        parameters=count_parameters(model),
        batch=batch,
        frames=frames,
        forward_s=rounded(forward),
        backward_s=rounded(backward),
        update_s=rounded(update),
        step_s=rounded(total),
        training_real_time=rounded(batch * frames / 100 / total),
        inference_real_time=rounded(TRACK / reading),
    )


@contextlib.contextmanager
def rows_first():
    "Convolutions in the usual order of memory, channels before time and frequency."

    def forward(self, x):
        return self.blocks.to(memory_format=torch.contiguous_format)(x.unsqueeze(1)).permute(0, 2, 3, 1).flatten(2)

    kept, layers.ConvFront.forward = layers.ConvFront.forward, forward
    try:
        yield
    finally:
        layers.ConvFront.forward = kept


def speedup_rows(name, repeats) -> list:
    "What was done for an architecture, with and without it: one row for each."
    settings, batch, frames = SIZES['quick']

    def model(**changes):
        return make_model(name, seed=0, **{**settings(name), **changes})

    def step(**changes):
        return Step(model(**changes), batch, frames, 'cpu')

    rows = []

    def add(what, where, without, with_it):
        a, b = (float(np.sum(t)) for t in timed([without, with_it], repeats))
        rows.append(
            dict(
                architecture=name,
                what=what,
                where=where,
                without_s=rounded(a),
                with_s=rounded(b),
                factor=rounded(a / b),
            )
        )

    if name in ('cnn', 'crnn', 'conv_transformer'):
        slow, quick = step(), step()

        def without():
            with rows_first():
                return slow()

        add('channels last in memory', 'training step', without, quick)
    if name == 'crnn':
        add(
            'convolutions along time only (front conv1d)',
            'training step',
            step(),
            step(front='conv1d', channels=(128, 128)),
        )
    if name in ('rnn', 'crnn'):
        add('GRU in place of LSTM', 'training step', step(rnn='lstm'), step(rnn='gru'))
    if name in ('conv_transformer', 'vit'):
        for seconds in (4.0, TRACK):
            add(
                'attention in a band',
                f'{frames_of(seconds)} frames at once',
                whole(model(span=None), seconds),
                whole(model(), seconds),
            )
    add('fused AdamW', 'training step', Step(model(), batch, frames, 'cpu', fused=False), step())
    return rows


def frames_of(seconds):
    return int(seconds * 100)


def whole(model, seconds):
    "A call that reads frames in one piece, without gradients."
    x = torch.rand(1, frames_of(seconds), 84)

    def call():
        start = time.process_time()
        with torch.no_grad():
            model.eval()(x)
        return [time.process_time() - start]

    return call


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', nargs='+', default=list(MODELS), choices=list(MODELS), metavar='ARCHITECTURE')
    parser.add_argument('--sizes', nargs='+', default=list(SIZES), choices=list(SIZES))
    parser.add_argument('--device', nargs='+', default=['cpu', *(['cuda'] if torch.cuda.is_available() else [])])
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--to', type=Path, default=RESULTS, help='folder of the results')
    args = parser.parse_args(argv)
    rows, speedups = [], []
    for name in args.only:
        for size in args.sizes:
            for device in args.device:
                print(f'measuring {name}, {size}, {device}', file=sys.stderr)
                rows.append(architecture_row(name, size, device, args.repeats))
        speedups += speedup_rows(name, args.repeats)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    write_results(
        'architectures',
        rows,
        args.to,
        gpu=gpu,
        meaning='seconds of processor time on the CPU, of the clock on a GPU; medians',
    )
    write_results(
        'speedups',
        speedups,
        args.to,
        meaning='processor seconds without and with what was done, size quick; called in turn, medians',
    )
    return 0


if __name__ == '__main__':
    sys.exit(main())
