#!/usr/bin/env python3
"""Score weights of the full kit on the subclasses of MDB Drums: rows into results/full_kit, micro F1 to the screen.

    python scripts/score_full_kit.py [WEIGHTS]

WEIGHTS is a .safetensors or .onnx file; those that ship by default. The recordings are a test set: score finished
weights only, and write the look into results/test_looks.csv.
"""

import argparse
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description='Score weights of the full kit on the subclasses of MDB Drums.')
    parser.add_argument('weights', nargs='?', help='a .safetensors or .onnx file; those that ship by default')
    args = parser.parse_args(argv)
    from drumnb.core import DrumnbError, results_home, write_text
    from drumnb.metrics import micro_f1, scores
    from drumnb.transcription.transcribe import shipped_weights
    from drumnb.transcription.weights import score_full_kit

    try:
        rows = score_full_kit(args.weights or shipped_weights()[-1])
    except DrumnbError as e:
        print(f'score_full_kit: {e}', file=sys.stderr)
        return 2
    path = results_home() / 'full_kit' / f'{rows.run[0]}.csv'
    write_text(path, rows.to_csv(index=False, lineterminator='\n'))
    for test, part in rows.groupby('test'):
        print(f'{test}: micro F1 {micro_f1(part):.3f} on {part.track.nunique()} tracks')
        print(scores(part).to_string(float_format='{:.3f}'.format), end='\n\n')
    print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
