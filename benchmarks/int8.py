"""Eight bits for the shipped weights: how much faster is ONNX Runtime's dynamic quantisation, and what F1 does it cost?

    python benchmarks/int8.py                  twelve minutes of validation tracks of groove:dtm and of synthetic songs
    python benchmarks/int8.py --minutes 3      less of each

Held-out recordings are left alone: what is chosen here is chosen on validation. Times are of the network alone, one
thread, the features of one track of five minutes; every graph is timed in turn, several times over.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from common import RESULTS, one_thread, write_results

one_thread()
import numpy as np  # noqa: E402  after the threads are set
import pandas as pd  # noqa: E402

GRAPHS = {'LSTM and output layer': ['LSTM', 'MatMul'], 'convolutions too': ['LSTM', 'MatMul', 'Conv']}


def widen(path: Path, to: Path) -> Path:
    "The graph with all weights as 32 bits, which is where the quantisation begins."
    import onnx
    from onnx import numpy_helper as arrays

    model = onnx.load(path)
    half = {w.name: w for w in model.graph.initializer if w.name.endswith(':half')}
    for cast in [n for n in model.graph.node if n.op_type == 'Cast' and n.input[0] in half]:
        w = arrays.to_array(half[cast.input[0]]).astype(np.float32)
        model.graph.initializer.append(arrays.from_array(w, cast.output[0]))
        model.graph.node.remove(cast)
    for w in half.values():
        model.graph.initializer.remove(w)
    onnx.save(model, to)
    return to


def quantised(folder: Path, shipped: Path) -> dict:
    "Name → graph, the shipped one first."
    from onnxruntime.quantization import QuantType, quantize_dynamic

    found, wide = {'32 bits, as shipped': shipped}, widen(shipped, folder / 'wide.onnx')
    for i, (name, kinds) in enumerate(GRAPHS.items()):
        found[name] = folder / f'{i}.onnx'
        quantize_dynamic(wide, found[name], op_types_to_quantize=kinds, per_channel=True, weight_type=QuantType.QInt8)
    return found


def counted(tracks: list, graphs: dict, folder: Path) -> pd.DataFrame:
    "tp, fp, fn of each graph on each track."
    from drumnb import audio
    from drumnb.core import progress
    from drumnb.metrics import count
    from drumnb.transcription.transcribe import transcribe_performance

    tables = []
    for track in progress(tracks, 'tracks'):
        audio.save(folder / 'track.wav', track.audio())
        for name, graph in graphs.items():
            rows = count(track.onsets(), transcribe_performance(folder / 'track.wav', graph).onsets, 0.05)
            tables.append(rows.assign(graph=name, dataset=track.dataset, track=track.id))
    return pd.concat(tables)


def network_seconds(graphs: dict, repeats: int) -> dict:
    "Processor seconds of each network for five minutes of features, the least of several rounds."
    from drumnb.experiments.inference import activations
    from drumnb.models.onnx import load_onnx

    features = np.random.default_rng(0).standard_normal((30_000, 84)).astype(np.float32)
    models, best = {name: load_onnx(path)[0] for name, path in graphs.items()}, dict.fromkeys(graphs, np.inf)
    for _ in range(repeats):
        for name, model in models.items():
            start = time.process_time()
            activations(model, features, batch=2)
            best[name] = min(best[name], time.process_time() - start)
    return best


def micro_f1(rows: pd.DataFrame) -> float:
    tp, fp, fn = rows[['tp', 'fp', 'fn']].sum()
    return 2 * tp / (2 * tp + fp + fn)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=12, help='of each data set, tracks drawn at random')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--to', type=Path, default=RESULTS, help='folder of the results')
    args = parser.parse_args()
    from drumnb.datasets.registry import get_dataset
    from drumnb.experiments.experiment import limited
    from drumnb.transcription.transcribe import shipped_graph, shipped_weights

    shipped = shipped_graph(shipped_weights()[-1])
    with tempfile.TemporaryDirectory() as scratch:
        graphs = quantised(Path(scratch), shipped)
        seconds = network_seconds(graphs, args.repeats)
        drawn = [
            t
            for name in ('groove:dtm', 'synthetic')
            for t in limited(get_dataset(name).tracks('validation'), hours=args.minutes / 60)
        ]
        rows, table = counted(drawn, graphs, Path(scratch)), []
        for name, graph in graphs.items():
            mine = rows[rows.graph == name]
            row = dict(graph=name, kilobytes=graph.stat().st_size // 1000, processor_seconds=round(seconds[name], 2))
            row |= {f'f1_{d.partition(":")[0]}': round(micro_f1(r), 4) for d, r in mine.groupby('dataset')}
            table.append(row)
    write_results('int8', table, args.to, weights=shipped.stem, tracks=len(drawn))


if __name__ == '__main__':
    sys.exit(main())
