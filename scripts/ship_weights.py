#!/usr/bin/env python3
"""Put the model of a finished run into the package: rounded weights, description and model card in drumnb/data/weights.

    python scripts/ship_weights.py RUN [--model FILE] [--threshold 0.35 | 0.3 0.4 0.3 0.3 0.5]
        [--level] [--version N] [--folder DIR]
    python scripts/ship_weights.py --card               add what was measured since, such as the stress board

RUN is the name of a run or the path of its JSON in results/. The data sets of its validation and test parts must be
here, because confidence is fitted and all scores are computed again with the very weights that ship.
"""

import argparse
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description='Put the model of a finished run into the package.')
    parser.add_argument('run', metavar='RUN', nargs='?', help='name of a run, or the path of its JSON')
    parser.add_argument('--card', action='store_true', help='complete the card that stands; ships nothing')
    parser.add_argument('--model', metavar='FILE', help='other weights of the same experiment, such as an average')
    parser.add_argument(
        '--threshold',
        type=float,
        nargs='+',
        metavar='T',
        help="one for all drums or one for each, instead of the run's",
    )
    parser.add_argument(
        '--level',
        action='store_true',
        help='choose the level of the input, and the threshold there, on the validation tracks',
    )
    parser.add_argument('--version', type=int, metavar='N', help='the next number by default')
    parser.add_argument('--folder', metavar='DIR', help='drumnb/data/weights by default')
    args = parser.parse_args(argv)
    if bool(args.run) == args.card:
        parser.error('give either RUN or --card')
    import torch

    from drumnb.core import DrumnbError
    from drumnb.transcription.weights import renew_card, ship

    torch.set_num_threads(1)
    t = args.threshold
    try:
        if args.card:
            print(renew_card(args.folder))
            return 0
        path = ship(
            args.run,
            args.model,
            None if t is None else t[0] if len(t) == 1 else tuple(t),
            args.version,
            args.level,
            args.folder,
        )
    except DrumnbError as e:
        print(f'ship_weights: {e}', file=sys.stderr)
        return 2
    print(f'{path}\n{path.with_suffix(".json")}\n{path.parent / "CARD.md"}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
