#!/usr/bin/env python3
"""Score weights on the held-out crops that choose between them: rows into results/held_out, one file for each.

    python scripts/score_held_out.py drumnb-7 runs/ear/RUN/model.safetensors=ear-5 [--crops 160]

Crops of unseen performances on unseen kits over unseen music, the same for all weights, as `experiment.held_out` draws
them; it needs recorded kits in DRUMNB_KITS and `music` in the data home. Weights are the name of some that ship, or a
path and after `=` the name of its rows. The threshold is the best of each; differences are to the first.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')


def counts(path, store, exp):
    "Threshold, and true and false positives and false negatives of each crop and drum."
    from drumnb.experiments import experiment as ex
    from drumnb.experiments.inference import choose_threshold, score_activations
    from drumnb.models.registry import load_model

    model, meta = load_model(path)
    normaliser = ex.Normaliser.from_dict(meta['normaliser'])
    pairs = [ex.masked_activations(exp, model, normaliser, store, i) for i in range(len(store))]
    threshold = choose_threshold(pairs, ex.GRID, ex.PICKING)[0]
    return threshold, score_activations(pairs, threshold, ex.PICKING, names=[e.track for e in store.entries])


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description='Score weights on held-out crops.')
    parser.add_argument('weights', nargs='+', help='a name such as drumnb-7, or PATH=NAME')
    parser.add_argument('--crops', type=int, default=160)
    parser.add_argument('--recipe', default='ear-3', help='whose validation tracks are played')
    args = parser.parse_args(argv)
    from drumnb.core import DrumnbError

    try:
        score(args.weights, args.crops, args.recipe)
    except DrumnbError as e:
        print(f'score_held_out: {e}', file=sys.stderr)
        return 2
    return 0


def score(weights, crops, recipe):
    "Rows of each weights, and their differences to the first."
    from drumnb.core import data_file, require, results_home, write_text
    from drumnb.experiments.experiment import held_out
    from drumnb.experiments.recipes import experiment
    from drumnb.experiments.results import code_version
    from drumnb.metrics import micro_f1, paired_bootstrap

    named = [w.rpartition('=')[::2] if '=' in w else (data_file('weights') / f'{w}.safetensors', w) for w in weights]
    for path, _ in named:
        require(Path(path).is_file(), f'{path}: no such weights; give a name such as drumnb-7, or PATH=NAME')
    exp, first = experiment(recipe), None
    store = held_out(exp, [t for ts in exp.tracks()['validation'].values() for t in ts], crops)
    for path, name in named:
        threshold, rows = counts(path, store, exp)
        rows = rows[['track', 'drum', 'tp', 'fp', 'fn']]
        told = dict(weights=name, threshold=threshold, crops=crops, commit=(code_version()['commit'] or '')[:7])
        write_text(results_home() / 'held_out' / f'{name}.csv', rows.assign(**told).to_csv(index=False))
        first = rows if first is None else first
        print(f'{name}: F1 {micro_f1(rows):.4f} at {threshold}; against the first {paired_bootstrap(rows, first)}')


if __name__ == '__main__':
    sys.exit(main())
