"""Real-time factors on one thread: seconds of audio handled in one second by each stage of the pipeline.

python benchmarks/speed.py                    everything, to benchmarks/results/speed.json and .csv
python benchmarks/speed.py --only features    the stages whose name begins so
"""

import argparse
import contextlib
import statistics
import sys
import time
from pathlib import Path

from common import RESULTS, one_thread, write_results

one_thread()
import numpy as np  # noqa: E402  after the threads are set

STAGES = {}


def stage(name, seconds, note=''):
    "Register a stage: its function prepares for `seconds` of audio and returns the call that is timed."

    def add(make):
        STAGES[name] = (make, seconds, note)
        return make

    return add


def torch_on_one_thread():
    import torch

    torch.set_num_threads(1)
    return torch


def noise(seconds, *name):
    from drumnb.core import rng_for

    return rng_for('benchmark', *name).normal(0, 0.1, int(seconds * 44100)).astype(np.float32)


def preset_stage(name):
    @stage(f'features {name}', 60)
    def make(seconds):
        from drumnb.spectrograms import feature_spec

        spec, x = feature_spec(name), noise(seconds, name)
        return lambda: spec(x)


for preset in ('log', 'mel'):
    preset_stage(preset)


@stage('rendering: compose a drum part', 60)
def composing(seconds):
    from drumnb.core import rng_for
    from drumnb.rendering.drum_parts import compose_part

    count = iter(range(10**6))
    return lambda: compose_part(rng_for('benchmark', next(count)), seconds=seconds)


def drum_part(seconds):
    from drumnb.core import rng_for
    from drumnb.rendering.drum_parts import compose_part

    return compose_part(rng_for('benchmark', 'part'), seconds=seconds)


@stage('rendering: drums, dry', 60, 'one-shot sampler, procedural kit at hand')
def rendering(seconds):
    from drumnb.core import rng_for
    from drumnb.rendering.kits import procedural_kit, render_hits

    part, kit, count = drum_part(seconds), procedural_kit(0), iter(range(10**6))
    return lambda: render_hits(part.hits, kit, rng_for('benchmark', next(count)), seconds)


@stage('rendering: accompaniment', 60, 'composed and rendered')
def accompanying(seconds):
    from drumnb.core import rng_for
    from drumnb.rendering.accompaniment import accompaniment

    part, count = drum_part(seconds), iter(range(10**6))
    return lambda: accompaniment(part.beats, part.meter, seconds, rng_for('benchmark', next(count)))


@stage('rendering: a track of `synthetic`', None, 'drums, effects, accompaniment and mix; kits at hand after the first')
def synthetic(seconds):
    import drumnb.datasets.synthetic  # noqa: F401  registers the data set
    from drumnb.datasets.registry import get_dataset

    tracks = get_dataset('synthetic').tracks('train')
    tracks[0].audio()
    count = iter(range(1, 10**6))

    def render():
        track = tracks[next(count) % len(tracks)]
        return len(track.audio()) / 44100

    return render


BATCH, FRAMES = 8, 400


def model_stages(label, config):
    @stage(
        f'training step: crnn {label}',
        BATCH * FRAMES / 100,
        f'{BATCH} windows of {FRAMES} frames; forward, backward, AdamW; fp32',
    )
    def training(seconds):
        torch = torch_on_one_thread()
        from drumnb.models.registry import make_model

        model = make_model('crnn', **config).train()
        optimiser = torch.optim.AdamW(model.parameters())
        x, y = torch.rand(BATCH, FRAMES, 84), (torch.rand(BATCH, FRAMES, 5) > 0.95).float()

        def step():
            optimiser.zero_grad(set_to_none=True)
            torch.nn.functional.binary_cross_entropy_with_logits(model(x), y).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimiser.step()

        return step

    @stage(f'inference: crnn {label}', 120, 'a whole track from features to activations')
    def inferring(seconds):
        torch_on_one_thread()
        from drumnb.experiments.inference import activations
        from drumnb.models.registry import make_model

        model, x = (
            make_model('crnn', **config).eval(),
            np.random.default_rng(0).random((int(seconds * 100), 84), np.float32),
        )
        return lambda: activations(model, x)


for label, config in (
    ('thesis', {}),
    ('small', dict(channels=(16, 32), layers=2, hidden=72)),
    ('fast', dict(front='conv1d', channels=(128, 128), layers=2, hidden=96)),
):
    model_stages(label, config)


def processor_seconds() -> float:
    "Processor time used so far by this process, its children and theirs, running or finished."
    import psutil

    family, total = [psutil.Process(), *psutil.Process().children(recursive=True)], 0.0
    for p in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            t = p.cpu_times()
            total += t.user + t.system + t.children_user + t.children_system
    return total


def measure(name, repeats: int) -> dict:
    "One row: the median and the best of several calls after one that warms up; a stage that cannot be set up says why."
    make, seconds, note = STAGES[name]
    row = dict(
        stage=name,
        real_time_factor=None,
        best=None,
        processor_factor=None,
        seconds_of_audio=seconds,
        repeats=repeats,
        available=True,
        note=note,
    )
    try:
        call = make(seconds)
    except (ImportError, AttributeError, TypeError, ValueError) as e:
        return row | dict(available=False, note=f'not available: {type(e).__name__}: {" ".join(str(e).split())}')
    call()
    factors, audio, used = [], 0.0, processor_seconds()
    while len(factors) < repeats or processor_seconds() - used < 0.5:  # processor time comes in steps of 10 ms
        start = time.perf_counter()
        handled = call()
        handled = seconds or handled
        factors.append(handled / (time.perf_counter() - start))
        audio += handled

    def rounded(x):
        return float(f'{x:.3g}')

    return row | dict(
        real_time_factor=rounded(statistics.median(factors)),
        best=rounded(max(factors)),
        repeats=len(factors),
        processor_factor=rounded(audio / (processor_seconds() - used)),
    )


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--only', default='', help='only the stages whose name begins so')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--to', type=Path, default=RESULTS, help='folder of the results')
    args = parser.parse_args(argv)
    chosen = [n for n in STAGES if n.startswith(args.only)]
    if not chosen:
        print(f'{args.only}: no stage begins so; the stages are {", ".join(STAGES)}', file=sys.stderr)
        return 1
    rows = []
    for name in chosen:
        print(f'measuring {name}', file=sys.stderr)
        with contextlib.redirect_stdout(sys.stderr):
            rows.append(measure(name, args.repeats))
    write_results('speed', rows, args.to)
    return 0


if __name__ == '__main__':
    sys.exit(main())
