"""The book, on a small one made up here: numbers, references, citations, links, words for pictures, and no question
to any other host."""

import base64
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import Browser, find_chromium
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'thesis'))
import api  # noqa: E402
import book  # noqa: E402
import build_html  # noqa: E402
import build_pdf  # noqa: E402
import citations  # noqa: E402


def png(width=4.0) -> str:
    out = io.BytesIO()
    figure = Figure(figsize=(width, 1.5), dpi=100)
    figure.subplots().plot([0, 1], [1, 0])
    figure.savefig(out)
    return base64.b64encode(out.getvalue()).decode()


def wav() -> str:
    out = io.BytesIO()
    soundfile.write(out, np.sin(np.arange(4410) / 20).astype('float32'), 44100, format='WAV')
    return base64.b64encode(out.getvalue()).decode()


def md(words):
    return dict(cell_type='markdown', id='m', metadata={}, source=words)


def code(source, *outputs):
    return dict(cell_type='code', id='c', metadata={}, source=source, execution_count=1, outputs=list(outputs))


def shows(**data):
    return dict(output_type='display_data', metadata={}, data={k.replace('_', '/', 1): v for k, v in data.items()})


def prints(words, name='stdout'):
    return dict(output_type='stream', name=name, text=words)


WIDE = (
    '<table border="1" class="dataframe"><thead><tr style="text-align: right;"><th></th>'
    + ''.join(f'<th>a long name {i}</th>' for i in range(12))
    + '</tr></thead><tbody><tr><th>0</th>'
    + ''.join(f'<td>{i}.25</td>' for i in range(12))
    + '</tr></tbody></table>'
)

FIRST = [
    md('# One & two \\<three>\n> The *summary* of chapter one, after Böck and others [@bock2012].'),
    code('#| default_exp one'),
    code('#| hide\nimport secret'),
    md(
        'See @fig-line, @tbl-wide, @eq-sum and @sec-second; @Fig-line too. Cited [@fosse2025, chapter 6; '
        '@cooley1965]. An [outside](https://example.org) link, '
        '[a chapter](02_second.ipynb), [a heading](02_second.ipynb#The-heading), [a file](../README.md).\n- a list\n'
        '- without an empty line before\n\n'
        '$$ s = \\sum_i x_i $$ {#eq-sum}\n\nand $x < y$ in a line.'
    ),
    code('#| export\ndef half(x: float):\n    "Half of it."\n    return x/2 # <b>not bold</b> </script>'),
    code(
        '#| label: fig-line\n#| fig-cap: "A line *falls*: from 1 to 0, by the rule of [@cooley1965]."\nfig, ax = '
        'plt.subplots()',
        shows(image_png=png(), text_plain='<Figure size 1x1>'),
        prints('drawn <now>'),
    ),
    code('#| label: tbl-wide\n#| tbl-cap: Twelve columns of numbers.\nframe', shows(text_html=WIDE, text_plain='...')),
    code(
        "print('x'*400)",
        prints('\x1b[31mred\x1b[0m ' + 'x' * 400 + '\n 10%|#   | 1/10\r100%|####| 10/10\n'),
        prints('a warning of a library', 'stderr'),
    ),
    code(
        'Audio(x, rate=44100)',
        shows(
            text_html=f'<audio controls="controls"><source src="data:audio/wav;base64,{wav()}" type="audio/wav" '
            '/></audio>'
        ),
    ),
    code('assert half(2) == 1'),
    md('## Words\nA table in words:\n\n| name | meaning |\n|---|---|\n| `a` | b |\n\n: What names mean. {#tbl-words}'),
]
SECOND = [
    md('# The second\n> Short.'),
    md('## The heading\nBack to @sec-first and [its table](01_first.ipynb#Words). ' + 'Words to fill the page. ' * 40),
]
APPENDIX = [
    md('# More\n> At the end.'),
    code('#| label: fig-last\n#| fig-cap: The last one.\nplt.plot()', shows(image_png=png(3))),
    code('#| book: skip\nnever', prints('never shown')),
]


MODULE = '''"""What the module is for."""

# %% auto #0
__all__ = ['LEVEL', 'Kit', 'half', 'Player']

# %% ../nbs/01_first.ipynb #c
# Of silence, dB
LEVEL = -60


@dataclass
class Kit:
    "Drums with `names`."

    size: int  # inches

    def play(self) -> None:
        "Strike all."
        return None


def half(
    x: float,  # any number
) -> float:  # half of it
    "Half of <it>."
    return x / 2


@patch
def tune(self: Kit, cents: float):
    "Higher or lower."


class Player:
    "Plays."

    def __init__(self, kit: Kit):  # one kit
        self.kit = kit


def _hidden():
    "Nothing."
'''


def write(folder: Path, **chapters) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, cells in chapters.items():
        (folder / f'{name[1:]}.ipynb').write_text(
            json.dumps(dict(cells=cells, metadata={}, nbformat=4, nbformat_minor=5))
        )
    return folder


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp('book')
    return book.read_book(write(folder / 'chapters', _01_first=FIRST, _02_second=SECOND, _90_more=APPENDIX), [folder])


@pytest.fixture(scope='module')
def made(small, tmp_path_factory):
    "The pages, and the one file."
    folder = tmp_path_factory.mktemp('made')
    (folder / 'drumnb').mkdir()
    (folder / 'drumnb/first.py').write_text(MODULE)
    library = [api.Package('drumnb', 'Sound', [api.module_of(folder / 'drumnb/first.py', folder)])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_html, 'library', lambda: library)
        inside = build_html.pages(small)
        build_html.write_site(small, folder / 'html', inside)
        build_html.write_single(small, folder / 'drumnb.html', inside)
    return folder


def read(path: Path) -> str:
    return path.read_text(encoding='utf-8')


def test_a_sound_book_has_no_problems(small):
    assert small.problems == []
    assert [c.number for c in small.chapters] == ['1', '2', 'A']


def test_numbers_and_references(small, made):
    page = read(made / 'html/first.html')
    assert {i: t[1] for i, t in small.targets.items() if i.startswith(('fig', 'tbl', 'eq'))} == {
        'fig-line': '1.1',
        'tbl-wide': '1.1',
        'eq-sum': '1.1',
        'tbl-words': '1.2',
        'fig-last': 'A.1',
    }
    for words in (
        'href="#fig-line" class="reference">figure\u00a01.1<',
        '>table\u00a01.1<',
        '>equation\u00a01.1<',
        'href="second.html#sec-second"',
        '>chapter\u00a02<',
        '>Figure\u00a01.1<',
        '(1.1)',
    ):
        assert words in page, words
    assert 'href="second.html#second-the-heading"' in page and 'href="first.html#first-words"' in read(
        made / 'html/second.html'
    )


def test_citations_are_numbered_through_the_book(made):
    page, bibliography = read(made / 'html/first.html'), read(made / 'html/bibliography.html')
    order = re.findall(r'id="ref-(\w+)"', bibliography)
    assert order == ['bock2012', 'cooley1965', 'fosse2025']
    assert page.count('bibliography.html#ref-cooley1965') == 2 and 'ch. 6' in page and '>1</a>]' in page


def test_no_broken_link_no_silent_picture_no_request(made):
    assert build_html.check_pages(made / 'html') == []
    assert build_html.check_pages(made, [made / 'drumnb.html']) == []
    assert not re.search(r'@import|url\(', read(made / 'html/book.css'))
    assert not re.search(r'fetch\(|XMLHttpRequest|import\(|https?:', read(made / 'html/book.js'))


def test_the_check_notices(made, tmp_path):
    (tmp_path / 'a.html').write_text(
        '<p id="x"></p><p id="x"></p><img src="data:,"><a href="b.html">b</a><a href="#y">y</a><script '
        'src="https://example.org/x.js"></script><img src="no.png" alt="n">'
    )
    found = build_html.check_pages(tmp_path)
    assert len(found) == 6, found
    for words in (
        'identifier x',
        'no alternative text',
        'b.html, and there is no such page',
        '#y, and there is no such place',
        'asks for https://example.org/x.js',
        'asks for no.png',
    ):
        assert any(words in line for line in found), words


def test_words_for_pictures(made):
    page = read(made / 'html/first.html')
    assert re.search(r'<img [^>]*alt="A line falls: from 1 to 0, by the rule of \S*"', page)


def test_escaping(small, made):
    page, single = read(made / 'html/first.html'), read(made / 'drumnb.html')
    assert (
        '<h1 id="sec-first">One &amp; two &lt;three&gt;</h1>' in page and '<title>One &amp; two &lt;three&gt; ·' in page
    )
    assert 'drawn &lt;now&gt;' in page and '<b>not bold' not in page
    assert all(html.count('<script') == html.count('</script>') for html in (page, single))
    index = re.search(r'window\.BOOK_INDEX = (.*?);</script>', single, re.S)[1]
    assert json.loads(index.replace('<\\/', '</'))[0][3] == 'One & two <three>'


def test_what_is_left_out(made):
    page, last = read(made / 'html/first.html'), read(made / 'html/more.html')
    for words in ('import secret', 'default_exp', '#| export', '100%', 'warning of a library', '\x1b', 'fig-cap'):
        assert words not in page, words
    assert 'never' not in last
    assert (
        '<details class="cell export"><summary>library code: <code>half</code>' in page
        and '<details class="cell checks">' in page
    )


def test_sounds_play_without_the_network(made):
    found = re.search(
        r'<audio controls preload="none"[^>]*src="data:audio/(mpeg|wav);base64,([^"]+)"', read(made / 'html/first.html')
    )
    assert len(base64.b64decode(found[2])) > 300


def test_front_lists_and_neighbours(made):
    lists, front, second = (read(made / f'html/{n}.html') for n in ('lists', 'index', 'second'))
    assert (
        'Twelve columns of numbers' in lists
        and 'href="first.html#fig-line"' in lists
        and 'Convolutional neural network' in lists
    )
    assert 'href="first.html"' in front and 'Böck' in front
    assert 'rel="prev" href="first.html"' in second and 'rel="next" href="bibliography.html"' in second


@pytest.mark.parametrize(
    'cells, words',
    [
        ([md('# T\n> s'), md('See @fig-none.')], 'refers to @fig-none'),
        ([md('# T\n> s'), md('[x](02_none.ipynb)')], 'links to 02_none.ipynb'),
        ([md('# T\n> s'), md('[x](#Nowhere)')], 'links to #Nowhere'),
        ([md('# T\n> s'), md('As said [@nobody1999].')], 'cites @nobody1999'),
        ([md('# T\n> s'), md('![](no.png)')], 'shows no.png, which does not exist'),
        ([md('# T\n> s'), md('![x](https://example.org/x.png)')], 'of another host'),
        ([md('# T {#sec-t}\n> s')], 'carries an identifier'),
        ([md('# T\n> s'), code('#| label: fig-x\nplt.plot()', shows(image_png=png()))], 'fig-x has no `#| fig-cap:`'),
        ([md('# T\n> s'), code('plt.plot()', shows(image_png=png()))], 'no caption to describe it'),
        ([md('# T\n> s'), code('#| label: fig-x\n#| fig-cap: X.\nplt.plot()')], 'fig-x is not in the book'),
        (
            [md('# T\n> s'), *[code('#| label: fig-x\n#| fig-cap: X.\nplt.plot()', shows(image_png=png()))] * 2],
            'used twice',
        ),
        (
            [
                md('# T\n> s'),
                code('1/0', dict(output_type='error', ename='ZeroDivisionError', evalue='', traceback=[])),
            ],
            'ended with ZeroDivisionError',
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, cells, words):
    found = book.read_book(write(tmp_path, _01_first=cells), [tmp_path]).problems
    assert any(words in line and line.startswith('nbs/01_first.ipynb') for line in found), found


def test_an_appendix_may_not_refer_to_nothing(tmp_path):
    cells = [md('# T\n> s'), code('x', shows(text_markdown='| a | @fig-none |\n|---|---|\n| b | c |'))]
    found = book.read_book(write(tmp_path, _90_more=cells), [tmp_path]).problems
    assert found == ['nbs/90_more.ipynb: refers to @fig-none, which is not in the book']


WORKS = {
    'bock2012': citations.Work(('Böck', 'Krebs', 'Schedl'), '2012', 'https://doi.org/10.1/a(b)'),
    'cooley1965': citations.Work(('Cooley', 'Tukey'), '1965', 'https://doi.org/10.2/c'),
}


def test_citations_read_well_in_a_notebook():
    said = citations.readable('It is old [@cooley1965]. Böck and others [@bock2012, p. 3] agree; @Fig-x.', known=WORKS)
    assert said == (
        'It is old [(Cooley and Tukey 1965)](https://doi.org/10.2/c "@cooley1965"). Böck and others '
        '[(2012, p. 3)](https://doi.org/10.1/a(b) "@bock2012, p. 3") agree; [Figure x](#fig-x).'
    )
    assert citations.wrong_addresses(said, WORKS) == []
    assert len(citations.wrong_addresses(said.replace('10.2', '10.3'), WORKS)) == 1
    assert citations.readable('see @sec-onset-files.', ['07_onset_files']) == 'see [chapter 7](07_onset_files.ipynb).'
    assert citations.readable('As said [@nobody1999].', known=WORKS) == 'As said [@nobody1999].'


@given(st.lists(st.sampled_from(['@fig-a-b', '@Tbl-c', '@eq-d', '[@bock2012]', '[@cooley1965; @bock2012, p. 3]', 'x'])))
def test_the_book_gets_the_keys_back(words):
    typed = ' '.join(words)
    assert citations.keys_of(citations.readable(typed, known=WORKS)) == typed
    assert citations.readable(citations.readable(typed, known=WORKS), known=WORKS) == citations.readable(
        typed, known=WORKS
    )


FORMS = 'what,form,why\n0,short,\n8,full,\nsecond,online,\nthird: Long lists,online,\n'
THIRD = [
    md('# The third\n> Longer.'),
    md('Words before code. See @sec-second and [there](02_second.ipynb#The-heading).'),
    code('unmarked = 1', prints('printed by it')),
    code('#| book: show\nmarked = 2', prints('two')),
    code('#| label: fig-third\n#| fig-cap: A line\nplt.plot()', shows(image_png=png())),
    md('## Long lists\nNames and names.'),
    md('## Short ones\nFew names.'),
    md('## Exercises\n1. Try it.'),
]


def test_forms_of_chapters(tmp_path):
    "Short: no code but what is marked, no exercises; sections and chapters for the pages only leave their names."
    forms = tmp_path / 'print.csv'
    forms.write_text(FORMS)
    folder = write(tmp_path / 'chapters', _02_second=SECOND, _03_third=THIRD, _90_more=APPENDIX)
    source = build_pdf.source_of(made := book.read_book(folder, [tmp_path], forms=forms))
    for words in (
        'Words before code',
        'marked = 2',
        'two',
        '"fig", "3.1"',
        'Few names',
        'Only in the HTML pages: #"Long',
    ):
        assert words in source, words
    for words in ('unmarked', 'printed by it', 'Names and names', 'Try it', 'Words to fill', '== Long'):
        assert words not in source, words
    assert '#online-chapter("2"' in source and '#section-number(2)' in source and '<sec-second>' in source
    assert build_pdf.compile_pdf(source, made, tmp_path)[1] == []
    page = build_html.pages(made)['third']
    assert 'Names and names' in page and 'unmarked' in page and 'printed by it' in page


def test_forms_must_be_of_something(tmp_path):
    (tmp_path / 'print.csv').write_text('what,form,why\nfirst,shrt,\nnone,short,\nfirst: Nowhere,online,\n')
    many = {f'_{n}0_first{n}': FIRST for n in range(10)}
    chapters = {name: [md('# T\n> s')] for name in many} | {'_01_first': [md('# T\n> s')]}
    found = book.read_book(write(tmp_path / 'chapters', **chapters), forms=tmp_path / 'print.csv').problems
    assert sorted(line for line in found if 'print.csv' in line) == [
        'print.csv: shrt is none of full, short, online',
        'print.csv: there is no chapter or section first: Nowhere',
        'print.csv: there is no chapter or section none',
    ]


def test_the_reference_is_what_the_modules_say(tmp_path):
    (tmp_path / 'drumnb').mkdir()
    (tmp_path / 'drumnb/first.py').write_text(MODULE)
    module = api.module_of(tmp_path / 'drumnb/first.py', tmp_path)
    assert (module.name, module.doc, module.chapter) == ('drumnb.first', 'What the module is for.', '01_first')
    assert [e.name for e in module.entries] == ['LEVEL', 'Kit', 'half', 'Player']
    level, kit, half, player = module.entries
    assert player.signature == 'class Player:\n    def __init__(self, kit: Kit):  # one kit'
    assert level.doc == 'Of silence, dB' and level.signature == 'LEVEL = -60'
    assert kit.signature.endswith('size: int  # inches') and [m.name for m in kit.members] == ['Kit.play', 'Kit.tune']
    assert half.signature.endswith(') -> float:  # half of it') and 'return' not in half.signature
    package = api.Package('drumnb', 'Sound', [module])
    page = api.package_page(package, {'01_first': ('first', '1')})
    assert 'id="api-drumnb.first.Kit.tune"' in page and 'Half of &lt;it&gt;.' in page and 'href="#sec-first"' in page
    assert ['api-drumnb', 'api-drumnb.first.half', '', 'drumnb.first', 'half'] in [
        e[:5] for e in api.index_entries(package)
    ]


def test_the_reference_is_found(made):
    page = read(made / 'html/api-drumnb.html')
    assert 'href="first.html#sec-first"' in page and '<details class="cell api-code">' in page
    assert '"api-drumnb.first.half"' in read(made / 'html/search.js')
    assert '<details class="cell api-code">' not in read(made / 'drumnb.html')


def test_the_reference_has_every_public_name():
    "Of every module: what `__all__` names is there, and was defined, not only imported."
    for package in api.read_library():
        assert package.modules, package.name
        for module in package.modules:
            source = read(ROOT / (module.name.replace('.', '/') + '.py'))
            names = re.search(r'(?s)^__all__ = (\[.*?\])', source, re.M)
            missing = set(json.loads(names[1].replace("'", '"'))) - {e.name for e in module.entries} if names else set()
            assert not missing, (module.name, missing)


def test_a_notebook_without_a_title_is_refused(tmp_path):
    with pytest.raises(book.BookError, match='01_first.ipynb: begins without'):
        book.read_book(write(tmp_path, _01_first=[md('no title')]), [tmp_path])
    with pytest.raises(book.BookError, match='holds no executed chapters'):
        book.read_book(tmp_path / 'absent')


def test_a_figure_that_cannot_be_drawn_here_is_the_committed_one(tmp_path):
    (tmp_path / 'x.png').write_bytes(base64.b64decode(png()))
    made = book.read_book(
        write(
            tmp_path,
            _01_first=[
                md('# T\n> s'),
                code('#| label: fig-x\n#| fig-cap: X.\nif data: plt.plot()', prints('no data here')),
            ],
        ),
        [tmp_path],
    )
    assert made.problems == [] and list(made.images) == ['first-x.png'] and made.targets['fig-x'][1] == '1.1'
    assert 'no data here' not in json.dumps(made.chapters[0].blocks)


def test_every_work_has_authors_a_year_and_an_address():
    entries = re.split(r'^@\w+\{', read(ROOT / 'thesis/references.bib'), flags=re.M)[1:]
    keys = [e.split(',')[0] for e in entries]
    assert len(set(keys)) == len(keys) > 60
    for key, entry in zip(keys, entries):
        assert all(re.search(rf'^  {field} = \{{.+\}},$', entry, re.M) for field in ('author', 'title', 'year')), key
        assert re.search(r'^  (doi|url) = \{\S+\},$', entry, re.M) and re.search(
            r'^  (journal|booktitle|school|howpublished|publisher) = ', entry, re.M
        ), key


def test_the_pdf(small, tmp_path):
    source = build_pdf.source_of(small)
    path, complaints = build_pdf.compile_pdf(source, small, tmp_path)
    assert path.read_bytes()[:5] == b'%PDF-' and complaints == []
    assert '#numbered("fig", "1.1"' in source and 'alt' in source and 'A line falls' in source
    assert 'import secret' not in source and 'assert half' not in source and 'def half' in source
    assert build_pdf.unprintable('plain ♪ \U0001f941') == ["no font has the character '🥁' (U+1F941)"]
    assert build_pdf.spelt('A1Gう ♪') == 'A1G[U+3046] ♪'  # a name of a file, in what a cell printed


def one_table(markdown, may_break=('Str',)):
    return book.tidy_table(book.blocks_of(markdown)[0], may_break)


def words_of(table):
    return [[book.text_of(cell[4]).strip() for cell in row] for rows in book.table_rows(table) for row in rows]


def test_tables_are_tidied():
    """Row numbers go, other first columns stay; a minus is one; an interval stays whole and a long name may break;
    nothing else changes."""
    numbered = '| | kit | F1 |\n|---|---|---|\n| 0 | groove:dtm,few=8 | -0.5 [0.1, 0.9] |\n| 1 | b | 2e-02 |'
    rows = words_of(one_table(numbered))
    assert [len(r) for r in rows] == [2, 2, 2]
    assert rows[1] == [f'groove:{book.BREAK}dtm,{book.BREAK}few={book.BREAK}8', '−0.5 [0.1,\u00a00.9]'] and rows[2] == [
        'b',
        '2e−02',
    ]
    kept = words_of(one_table(numbered.replace('| 1 |', '| 2 |')))
    assert kept[1][0] == '0' and kept[2][0] == '2'
    assert words_of(one_table('| songs | kit |\n|---|---|\n| 0 | a |\n| 1 | b |'))[1][0] == '0'
    wide = book.blocks_of('| a | b |\n|-|--------|\n| ' + 'word ' * 20 + '| x |')[0]
    assert wide['c'][2][0][1]['t'] == 'ColWidth' and all(
        spec[1]['t'] == 'ColWidthDefault' for spec in book.tidy_table(wide)['c'][2]
    )


def test_the_value_of_an_option_may_go_on_in_the_next_line():
    cell = '#| label: fig-x\n#| fig-cap: One line\n#|   and another.\n#| slow\nplt.plot()'
    assert book.options(cell) == {'label': 'fig-x', 'fig-cap': 'One line and another.', 'slow': True}


def test_a_data_frame_has_one_line_of_names():
    html = (
        '<table><thead><tr><th></th><th>a</th><th>b</th></tr><tr><th>kits</th><th></th><th></th></tr></thead>'
        '<tbody><tr><th>x</th><td>1</td><td>2</td></tr></tbody></table>'
    )
    assert words_of(book.tidy_table(book.blocks_of(html, 'html')[0])) == [['kits', 'a', 'b'], ['x', '1', '2']]
    assert (
        len(
            words_of(
                book.tidy_table(
                    book.blocks_of(html.replace('<th>kits</th><th></th>', '<th>kits</th><th>c</th>'), 'html')[0]
                )
            )
        )
        == 3
    )


def test_a_data_frame_is_written_for_readers():
    """Names without underscores, a dash for what is missing, whole numbers whole, no idle digits; words and short
    numbers stay."""
    lines = [
        '| micro_f1 | late_ms | tracks | onsets | fine | kind | tiny |',
        '|---|---|---|---|---|---|---|',
        '| 0.8123456 | NaN | 90.0 | 144830 | True | conv_transformer | 0.00123456 |',
        '| 0.5 | 3.25 | 11.0 | 7 | False | None | 0.5 |',
    ]
    head, first, second = words_of(one_table('\n'.join(lines)))
    assert head == ['micro F1', 'late ms', 'tracks', 'onsets', 'fine', 'kind', 'tiny']
    assert first == ['0.812', '–', '90', '144,830', 'yes', 'conv. transformer', '0.00123'] and second == [
        '0.500',
        '3.25',
        '11',
        '7',
        'no',
        '–',
        '0.500',
    ]
    assert words_of(one_table('| seed | loss |\n|---|---|\n| 20251 | 1.00 |\n| 1 | 0.00 |')) == [
        ['seed', 'loss'],
        ['20251', '1.00'],
        ['1', '0.00'],
    ]
    assert words_of(one_table('| a |\n|---|\n| `x_y` |')) == [['a'], ['x_y']]


def test_a_string_is_printed_without_quotes():
    assert book.unquoted("'0.42 MB'") == '0.42 MB' and book.unquoted('"it\'s"') == "it's"
    assert book.unquoted("('a', 1)") == "('a', 1)" and book.unquoted("'torn") == "'torn"


def test_what_the_text_announces_is_printed(tmp_path):
    """Checks stay in the notebook, unless the paragraph before them ends with a colon; a heading in an output is no
    section."""
    check, told = code('test_eq(1 + 1, 2)'), code('Markdown(page)')
    told['outputs'] = [dict(output_type='display_data', data={'text/markdown': '## Scores\n\nhigh'}, metadata={})]
    made = book.read_book(
        write(
            tmp_path / 'chapters',
            _01_one=[md('# One\n> a\n\nSilent.'), check, md('The check:'), code('test_eq(2 + 2, 4)'), told],
        ),
        [tmp_path],
    )
    source = build_pdf.source_of(made)
    assert 'test_eq(2 + 2, 4)' in source and 'test_eq(1 + 1, 2)' not in source
    assert '== Scores' not in source and '#strong[Scores]' in source


def test_printed_words_hold_nothing_of_the_machine():
    said = book.strip_terminal(
        "/tmp/tmpab12cd_x/a.txt: gone\n<ray.tune.Thing object at 0x7faca1b2>\n0.0052927268460443155 np.float32(0.25) "
        "1.2345678 v1.23456789.2"
    )
    assert said == '…/a.txt: gone\n<ray.tune.Thing>\n0.0052927 0.25 1.2346 v1.23456789.2'


def test_a_long_table_goes_on_over_the_page(tmp_path):
    "Every row of a table of 150 lines is printed at a place of its own."
    import typst

    lines = '\n'.join(f'| row {i} | x |' for i in range(150))
    cells = [md('# One\n> a\n\nBefore.\n\n| name | value |\n|---|---|\n' + lines)]
    made = book.read_book(write(tmp_path / 'chapters', _01_one=cells), [tmp_path])
    path, complaints = build_pdf.compile_pdf(build_pdf.source_of(made), made, tmp_path)
    work = tmp_path / 'typst'
    (work / 'book.typ').write_text(
        (work / 'book.typ').read_text(encoding='utf-8')
        + '\n#context [#metadata(counter(page).final().first()) <pages>]',
        encoding='utf-8',
    )
    found = json.loads(
        typst.query(
            str(work / 'book.typ'),
            '<pages>',
            field='value',
            one=True,
            root=str(work),
            font_paths=[str(build_pdf.font_folder())],
            ignore_system_fonts=True,
        )
    )
    assert complaints == [] and found >= 3


@given(st.text(alphabet='ab ,', max_size=400), st.integers(0, 120))
@settings(max_examples=60, deadline=None)
def test_long_lines_of_code_are_continued(words, indent):
    "Nothing is lost but spaces, and a line is longer than the page only when it is one long word."
    lines = build_pdf.wrapped(' ' * indent + words, 60).split('\n')
    assert ''.join(lines).replace(' ', '') == words.replace(' ', '')
    assert all(len(line) <= 60 or ' ' not in line.strip()[:40] or len(line) - len(line.lstrip()) > 20 for line in lines)


def test_a_long_comment_goes_on_as_a_comment():
    lines = build_pdf.wrapped('x = 1  # ' + 'word ' * 30, 60).split('\n')
    assert (
        len(lines) > 2
        and lines[0].startswith('x = 1  # ')
        and all(line.lstrip().startswith('# word') for line in lines[1:])
    )
    assert '#' not in build_pdf.wrapped('f(' + 'word, ' * 30 + ')', 60)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    if not find_chromium():
        pytest.skip('Chromium is not installed: pages cannot be looked at in a browser')
    page = Browser(tmp_path_factory.mktemp('profile'))
    yield page
    page.close()


WIDER = '''(() => { const w = document.documentElement.clientWidth;
const may = '.scroll, pre, .equation, math, audio, figure.figure > p';
const wide = e => e.getBoundingClientRect().right > w + 1 && !e.closest(may);
return [document.documentElement.scrollWidth <= w,
    [...document.querySelectorAll('main *')].filter(wide).map(e => e.outerHTML.slice(0, 80))] })()'''


def overflow(browser, path, width):
    browser.requests.clear()
    browser.open(path, width=width, mobile=width < 700)
    fits, wide = browser.run(WIDER)
    assert fits and wide == [], (path.name, width, wide)
    assert browser.errors == [] and all(r.startswith(('file:', 'data:')) for r in browser.requests), (
        browser.errors,
        browser.requests,
    )


@pytest.mark.parametrize('width', [1280, 390])
def test_nothing_is_wider_than_the_page(browser, made, width):
    for name in ('html/first.html', 'html/index.html', 'html/lists.html', 'drumnb.html'):
        overflow(browser, made / name, width)


def test_search_themes_and_code(browser, made):
    browser.open(made / 'html/second.html')
    browser.run("document.getElementById('query').value = 'NAMES mean'; document.getElementById('query').oninput()")
    assert browser.run("[...document.querySelectorAll('#hits a')].map(a => a.getAttribute('href'))") == [
        'first.html#first-words'
    ]
    browser.open(made / 'html/first.html')
    before = browser.run('getComputedStyle(document.body).backgroundColor')
    browser.run("document.getElementById('theme').click()")
    assert browser.run('getComputedStyle(document.body).backgroundColor') != before
    assert not browser.run("document.querySelector('details.cell').open")
    browser.run("document.getElementById('code').click()")
    assert browser.run("[...document.querySelectorAll('details.cell')].every(d => d.open)")
    browser.open(made / 'drumnb.html')
    browser.run(
        "document.getElementById('query').value = 'second'; document.getElementById('query').oninput(); "
        "document.querySelector('#hits a').click()"
    )
    assert browser.run('location.hash') == '#sec-second'


# ---- the real one

slow = pytest.mark.skipif(
    not os.environ.get('DRUMNB_SLOW'), reason='makes the whole book: some minutes; set DRUMNB_SLOW=1'
)


@pytest.fixture(scope='module')
def real():
    run = subprocess.run(['make', '--no-print-directory', 'thesis'], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    return ROOT / 'runs/thesis'


@slow
def test_the_real_book(real):
    assert build_html.check_pages(real / 'html') == [] and (real / 'drumnb.pdf').read_bytes()[:5] == b'%PDF-'
    assert len(list((real / 'html').glob('*.html'))) > 45


@slow
@pytest.mark.parametrize('width', [1280, 390])
def test_the_real_pages_fit(browser, real, width):
    for path in sorted((real / 'html').glob('*.html')):
        overflow(browser, path, width)
