"""What the benchmarks share: one thread, a description of the machine that names nobody, and result files."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / 'results'
THREAD_VARIABLES = (
    'OMP_NUM_THREADS',
    'OPENBLAS_NUM_THREADS',
    'MKL_NUM_THREADS',
    'NUMEXPR_NUM_THREADS',
    'NUMBA_NUM_THREADS',
)


def one_thread():
    "Hold every numerical library to one thread; call it before the first import of numpy."
    os.environ.update({v: '1' for v in THREAD_VARIABLES})


def processor() -> str:
    "The processor's name as the system tells it."
    info = Path('/proc/cpuinfo')
    names = (
        [line.split(':', 1)[1].strip() for line in info.read_text().splitlines() if line.startswith('model name')]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def machine() -> dict:
    "What a reader needs to judge the numbers: processor, cores, load of other work, versions."

    def installed(name):
        try:
            return version(name)
        except PackageNotFoundError:
            return None

    return dict(
        processor=processor(),
        cores=os.cpu_count(),
        threads=int(os.environ.get('OMP_NUM_THREADS', 0)) or None,
        load_of_the_minute_before=round(os.getloadavg()[0], 2),
        system=platform.system(),
        python=platform.python_version(),
        versions={n: installed(n) for n in ('numpy', 'scipy', 'torch', 'soundfile', 'librosa')},
    )


def write_results(name: str, rows: list[dict], folder: Path = RESULTS, **facts):
    "Write `name`.json (machine, facts, rows) and `name`.csv (rows), each atomically."
    import pandas as pd

    from drumnb.core import atomic_path, write_json

    write_json(Path(folder) / f'{name}.json', dict(machine=machine(), rows=rows, **facts))
    with atomic_path(Path(folder) / f'{name}.csv') as tmp:
        pd.DataFrame(rows).to_csv(tmp, index=False, lineterminator='\n')
    print(pd.DataFrame(rows).to_string(index=False))
