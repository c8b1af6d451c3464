"""Remove outputs, execution counts and stray metadata from notebooks, as the repository keeps them; tags stay.

Citations and references that were typed as keys become links that read well in a notebook (`thesis/citations.py`).
"""

import sys
from pathlib import Path

from execnb.nbio import read_nb, write_nb
from nbdev.clean import clean_nb
from nbdev.config import get_config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'thesis'))
from citations import readable  # noqa: E402


def clean(path: Path) -> bool:
    "Clean one notebook in place; True when that changed it."
    settings, before = get_config(path=path.parent), path.read_text(encoding='utf-8')
    notebook = read_nb(path)
    chapters = [p.stem for p in path.parent.glob('[0-9][0-9]_*.ipynb')]
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            cell.outputs = []
        elif cell.cell_type == 'markdown':
            cell.source = readable(cell.source, chapters)
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
