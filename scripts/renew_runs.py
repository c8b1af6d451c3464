"""Write stored runs in the form that settings have now; every run keeps its key and its rows.

    python scripts/renew_runs.py [FOLDER OF RESULTS ...]

Run it after a setting got another name (add it to `RENAMED`) or a new one joined (its default must mean what older runs
did). `drumnb/data/run_keys.csv` remembers under which key a run was saved. A second call changes nothing.
"""

import csv
import sys
from pathlib import Path

from drumnb.core import read_json, write_json, write_text
from drumnb.experiments.recipes import Experiment
from drumnb.tatum.recipes import TatumExperiment

ROOT = Path(__file__).resolve().parents[1]
KEYS = ROOT / 'drumnb/data/run_keys.csv'
RENAMED = {('windows', 'rare'): 'oversampling'}  # part and its setting → the name it has now


def renamed(config: dict) -> dict:
    "The settings of a run under the names they have now."
    config = {part: dict(s) if isinstance(s, dict) else s for part, s in config.items()}
    for (part, old), new in RENAMED.items():
        if old in (config.get(part) or {}):
            config[part][new] = config[part].pop(old)
    return config


def renew(path: Path, keys: Path = KEYS) -> bool:
    "Rewrite the JSON of one run of an experiment, and note its key; True when that changed it."
    info = read_json(path)
    kinds = {'windows': Experiment, 'regularisation': TatumExperiment}
    kind = next((kind for part, kind in kinds.items() if part in info.get('config', {})), None)
    if kind is None:
        return False
    exp = kind.from_settings(renamed(info['config']))
    if exp.digest != info['key']:
        with keys.open(encoding='utf-8', newline='') as file:
            digests = {row['key']: row['settings'] for row in csv.DictReader(file)} | {info['key']: exp.digest}
        rows = [f'{digest},{key}' for key, digest in sorted(digests.items())]
        write_text(keys, '\n'.join(['settings,key', *rows]) + '\n')
    if exp.settings == info['config']:
        return False
    write_json(path, {**info, 'config': exp.settings})
    return True


def main(folders: list[str]) -> None:
    for folder in folders or [ROOT / 'results']:
        for path in sorted(Path(folder).rglob('*.json')):
            if renew(path):
                print(f'renewed {path}')


if __name__ == '__main__':
    main(sys.argv[1:])
