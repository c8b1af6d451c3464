"""Remove outputs, execution counts and stray metadata from notebooks, as the repository keeps them; tags stay."""

import sys
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from nbdev.clean import clean_nb
from nbdev.config import get_config


def clean(path: Path) -> bool:
    "Clean one notebook in place; True when that changed it."
    settings, before = get_config(path=path.parent), path.read_text(encoding='utf-8')
    notebook = read_nb(path)
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            cell.outputs = []
    clean_nb(
        notebook,
        allowed_metadata_keys=settings.get('allowed_metadata_keys').split(),
        allowed_cell_metadata_keys=settings.get('allowed_cell_metadata_keys').split(),
        clean_ids=settings.clean_ids,
    )
    write_nb(notebook, path)
    return path.read_text(encoding='utf-8') != before


def main(folder: str = 'nbs') -> None:
    for path in sorted(Path(folder).rglob('*.ipynb')):
        if '.ipynb_checkpoints' not in path.parts and clean(path):
            print(f'cleaned {path}')


if __name__ == '__main__':
    main(*sys.argv[1:])
