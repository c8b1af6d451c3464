"""The check of words finds what the field does not say in names, captions, prose and documents, and nothing else."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'scripts'))
import check_words  # noqa: E402


def notebook(path: Path, *cells: tuple[str, str]) -> Path:
    made = [dict(cell_type=kind, metadata={}, source=text.splitlines(True)) for kind, text in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(cells=made, metadata={}, nbformat=4, nbformat_minor=5)))
    return path


@pytest.mark.parametrize(
    'kind, text, word',
    [
        ('code', 'def rattle_of(x):\n    return x', 'rattle_of'),
        ('code', 'class Zoo:\n    squeeze: float = 0.1', 'Zoo'),
        ('code', "'A difference that cannot be told from nothing'", 'cannot be told from'),
        ('code', '#| label: fig-x\n#| fig-cap: Scores on songs\n#|   never heard.\nx = 1', 'never heard'),
        ('markdown', 'The tracks are drawn by\nlot.', 'by lot'),
    ],
)
def test_an_offender_is_found(tmp_path, kind, text, word):
    path = notebook(tmp_path / 'nbs/00_a.ipynb', (kind, text))
    assert word in [found for found, _ in check_words.wrong_words(path)]
    (line,) = check_words.check_words(tmp_path)
    assert line.startswith('nbs/00_a.ipynb: ') and word.lower() in line


def test_words_of_libraries_and_of_the_field_are_left_alone(tmp_path):
    code = 'fig, axes = plt.subplots(1, squeeze=False)\nfound = array.squeeze()'
    path = notebook(tmp_path / 'nbs/00_a.ipynb', ('code', code), ('markdown', 'The difference is not significant.'))
    assert check_words.wrong_words(path) == [] and check_words.check_words(tmp_path) == []


def test_documents_are_read_too(tmp_path):
    (tmp_path / 'README.md').write_text('Several that answer together.')
    assert check_words.check_words(tmp_path) == ['README.md: 1 words that the field does not use: answer together (1)']
