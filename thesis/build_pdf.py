"""Write the book as one PDF: pandoc turns the tree into typst, typst sets it with fonts that it carries in itself."""

import ast
import copy
import json
import re
import shutil
from functools import cache
from pathlib import Path

from book import (
    BREAK,
    HERE,
    PART_NUMBERS,
    SUBTITLE,
    TITLE,
    Book,
    BookError,
    attr,
    build,
    commit_line,
    copyright_line,
    div,
    document,
    draws,
    el,
    elements,
    identifiers,
    is_checks,
    pairs_of,
    pandoc,
    table_rows,
    text,
    text_of,
    tidy_table,
    tree_of,
    walk,
    walk_cells,
    without_references,
)

EXPORT_LINES, PLAIN_LINES, PRINTED_LINES = 16, 14, 24  # as they stand on paper
TEXT_WIDTH = 6.1  # inches
FIGURE_WIDTH = 7.2  # inches of a figure that fills the text
WIDE_TABLE = 104  # characters
TABLE_SIZE = 8.6  # points
WHOLE_ROWS = 12  # a table of no more rows stays on one page
ENTRY_LETTERS = 95  # of a caption in the lists of figures and tables


def raw(words: str) -> dict:
    return el('RawBlock', ['typst', words])


def raw_inline(words: str) -> dict:
    return el('RawInline', ['typst', words])


def string(words: str) -> str:
    "A typst string."
    return json.dumps(words, ensure_ascii=False)


def printed_blocks(chapter) -> list:
    """What of a chapter is printed: without sections for the pages only; in short form without code that is not
    marked `#| book: show`, without what such a cell prints, and without exercises."""
    out, left_out = [], 0  # the level of the heading that begins what is left out
    for block in chapter.blocks:
        if block['t'] == 'Header':
            level, title = block['c'][0], ' '.join(text_of(block['c'][2]).split())
            if left_out and level > left_out:
                continue
            exercises = chapter.form == 'short' and title == 'Exercises'
            left_out = level if title in chapter.online or exercises else 0
        if not left_out:
            out.append(block)
    return shortened(out) if chapter.form == 'short' else out


def shortened(blocks: list) -> list:
    "Without code and its unlabelled outputs, but for cells that are marked or that the text announces."
    out, kept = [], False
    for block in blocks:
        if block['t'] == 'CodeBlock' and 'cell' in block['c'][0][1]:
            kept = pairs_of(block)['book'] == 'show' or pairs_of(block)['announced'] == 'yes'
            out += [block] if kept else []
        elif block['t'] == 'Div' and block['c'][0][1] == ['shown']:
            inside = [b for b in block['c'][1] if kept or is_labelled(b)]
            out += [div(inside, classes=['shown'])] if inside else []
        else:
            out.append(block)
            kept = kept and block['t'] not in ('Para', 'Header')
    return out


def is_labelled(block: dict) -> bool:
    return block['t'] == 'Div' and block['c'][0][1] in (['figure'], ['table'])


def printed_ids(book: Book) -> set:
    "Every place of the book that the PDF has."
    out = {f'sec-{c.slug}' for c in book.chapters} | {'sec-bibliography'}
    for chapter in book.chapters:
        if chapter.form != 'online':
            out |= set(identifiers(printed_blocks(chapter)))
    return out | {i for block in book.references for i in identifiers([block])}


def for_pdf(book: Book, chapter, places: set) -> list:
    "The book's own elements as typst; `places` are those that the PDF has."

    def change(node):
        t = node['t']
        if t == 'Link' and node['c'][2][0].startswith('#') and node['c'][2][0][1:] not in places:
            labelled = re.match(r'#(fig|tbl|eq)-', node['c'][2][0])
            return [*walk(node['c'][1], change), *(text(' (HTML pages)') if labelled else [])]
        if t == 'CodeBlock' and 'cell' in node['c'][0][1]:
            return code(node, chapter)
        if t == 'CodeBlock' and 'printed' in node['c'][0][1]:
            return printed(node)
        if t == 'Table':
            return table(node, change)
        if t == 'Image':
            return [raw_inline(picture(node))]
        if t == 'Header':
            level, (id, _, pairs), words = node['c']
            words = [w for w in walk(words, change) if w['t'] != 'Note']
            section = dict(pairs).get('number', '').rpartition('.')[2]  # the pages may have more sections
            count = [raw(f'#section-number({section})')] if level == 2 and section.isdigit() else []
            return [*count, el('Header', [level, attr(id), words])]
        if t == 'Span' and 'equation' in node['c'][0][1]:
            return [
                raw_inline(
                    f'#metadata(none) <{node["c"][0][0]}>\n#numbered-equation({string(pairs_of(node)["number"])})['
                ),
                *node['c'][1],
                raw_inline(']'),
            ]
        if t in ('RawBlock', 'RawInline') and node['c'][0] == 'html':
            return []
        if t == 'Para' and sum(word['t'] == 'Code' for word in node['c']) > 8:  # a list of names has gaps enough
            return [
                el(
                    'Plain',
                    [raw_inline('#block[#set par(justify: false)\n'), *walk(node['c'], change), raw_inline(']')],
                )
            ]
        if t == 'Para' and len(node['c']) == 1 and node['c'][0]['t'] == 'Strong':
            return [
                el(
                    'Plain',
                    [raw_inline('#block(sticky: true, above: 1.2em)['), *walk(node['c'], change), raw_inline(']')],
                )
            ]
        if t != 'Div':
            return None
        classes = node['c'][0][1]
        if classes == ['shown']:
            return walk(node['c'][1], change)
        if 'sound' in classes:
            return [raw(f'#pointer[▷ A sound, to be heard in the pages of this chapter or in {notebook(chapter)}.]')]
        if 'only-html' in classes:
            return [
                raw(
                    '#pointer[An interactive display, to be used in the pages of this chapter or in '
                    f'{notebook(chapter)}.]'
                )
            ]
        if classes in (['figure'], ['table']):
            return captioned(node, change)
        return None

    return once(walk(copy.deepcopy(printed_blocks(chapter)), change))


def once(blocks: list) -> list:
    "A pointer to several sounds in a row is said once."
    return [b for b, before in zip(blocks, [None, *blocks]) if b != before or b['t'] != 'RawBlock']


def notebook(chapter) -> str:
    return f'`nbs/{chapter.name}.ipynb`'


def picture(node: dict) -> str:
    inches, (target, _) = float(dict(node['c'][0][2]).get('inches', TEXT_WIDTH)), node['c'][2]
    width = (
        min(TEXT_WIDTH, inches * TEXT_WIDTH / FIGURE_WIDTH) if not target.endswith('.svg') else min(TEXT_WIDTH, inches)
    )
    return f'#picture({string(target)}, {width:.2f}in, {string(" ".join(text_of(node["c"][1]).split()))})'


def captioned(node: dict, change) -> list:
    (id, classes, _), (caption, *body) = node['c'][0], node['c'][1]
    kind = 'fig' if classes == ['figure'] else 'tbl'
    words = walk(caption['c'][1][0]['c'], change)
    return [
        el(
            'Plain',
            [raw_inline(f'#numbered("{kind}", {string(pairs_of(node)["number"])}, ['), *words, raw_inline('])[')],
        ),
        *walk(body, change),
        raw(f'] <{id}>'),
    ]


def code(node: dict, chapter) -> list:
    """What a reader of paper wants to see of the code: small exports and naive versions; what draws, imports or
    checks stays in the notebook."""
    (_, _, pairs), source = node['c']
    pairs = dict(pairs)
    lines, kind, names = int(pairs['lines']), pairs['kind'], pairs['names']
    announced = pairs.get('announced') == 'yes' and kind in ('plain', 'checks')
    shown = without_asserts(source) if kind == 'plain' and not announced else source
    private = all(n.startswith('_') for n in names.split(', ')) if names else False
    folded = '\n'.join(wrapped(line) for line in shown.split('\n'))
    height = folded.count('\n') + 1
    wanted = (
        kind == 'export'
        and height <= EXPORT_LINES
        and not private
        and not draws(source)
        or (kind == 'plain' or announced)
        and height <= PLAIN_LINES
    )
    if (pairs['book'] == 'show' or wanted) and shown:
        return [el('CodeBlock', [attr('', ['python']), folded])]
    if kind == 'export' and names and not private and chapter.form == 'full':
        shown = ', '.join(f'`{n}`' for n in names.split(', '))
        return [raw(f'#pointer[{shown}: {lines} lines, in {notebook(chapter)}.]')]
    return []


def without_asserts(source: str) -> str:
    "A cell without its assertions: on paper they only interrupt."
    lines = source.split('\n')
    for node in reversed(tree_of(source).body):
        if is_checks(ast.unparse(node)) and not isinstance(node, (ast.Import, ast.ImportFrom)):
            del lines[node.lineno - 1 : node.end_lineno]
    return '\n'.join(lines).strip('\n')


def wrapped(line: str, width: int = 98) -> str:
    "A long line of code, continued on the next with a deeper indent, as typst would otherwise break it anywhere."
    if len(line) <= width:
        return line
    indent = ' ' * min(len(line) - len(line.lstrip()) + 8, width // 3)
    comment = re.search(r'(^|\s)#\s', line)  # what goes on after it is a comment too
    out, line = [], line.rstrip()
    while len(line) > width:
        cut = max(line.rfind(', ', 0, width) + 1, line.rfind(' ', 0, width))
        if cut <= max(len(line) - len(line.lstrip()), width // 3):  # one long word
            cut = max([line.rfind(sign, 0, width) + 1 for sign in '([{.,='] + [0])
            if cut <= width // 3:
                cut = width
        out.append(line[:cut].rstrip())
        inside = comment and sum(map(len, out)) > comment.end()
        line = indent + ('# ' if inside else '') + line[cut:].lstrip()
    return '\n'.join([*out, line])


def printed(node: dict) -> list:
    lines = [piece for line in node['c'][1].split('\n') for piece in wrapped(line, 96).split('\n')]
    if len(lines) > PRINTED_LINES:
        lines = [*lines[: PRINTED_LINES - 1], f'… and {len(lines) - PRINTED_LINES + 1} more lines']
    return [raw(f'#printed({string(chr(10).join(map(spelt, lines)))})')]


def spelt(words: str) -> str:
    "Names of other people's files may hold any character; those that no font has are given by their number."
    return ''.join(c if has_glyph(c) else f'[U+{ord(c):04X}]' for c in words)


def breadth(word: str) -> float:
    "Of a word in small letters; capitals are wider."
    return len(word) + 0.35 * sum(c.isupper() or c in '+%≈' for c in word)


def table(node: dict, change) -> list:
    """A table that fits: wide columns give way as far as their longest word lets them, and the letters shrink when
    that is not enough."""
    node = tidy_table(walk(node, lambda n: [el('Str', spelt(n['c']))] if n['t'] == 'Str' else None), ('Str', 'Code'))
    head, body = table_rows(node)
    n = len(node['c'][2])
    widths, words = [0] * n, [0] * n
    for row in [*head, *body]:
        for j, cell in enumerate(row if len(row) == n else []):
            letters = text_of(cell[4]).strip()
            wider = (1.12 if any(True for _ in elements(cell[4], 'Code')) else 1) * (1.08 if row in head else 1)
            widths[j] = max(widths[j], round(len(letters.replace(BREAK, '')) * wider))
            words[j] = max([words[j], *(round(breadth(w) * wider) for w in re.split(f'[ \n{BREAK}]', letters))])
    size = TABLE_SIZE
    if sum(widths) + 2 * n > WIDE_TABLE:
        least = [min(w, word) + 2 for w, word in zip(widths, words)]
        spare = WIDE_TABLE - sum(least)
        if spare < 0:
            size, spare = max(0.6, WIDE_TABLE / sum(least)) * TABLE_SIZE, 0
        wants = [max(w + 2 - low, 0) ** 0.7 for w, low in zip(widths, least)]
        wish = [low + spare * want / (sum(wants) or 1) for low, want in zip(least, wants)]
        for j, spec in enumerate(node['c'][2]):
            spec[1] = el('ColWidth', round(wish[j] / sum(wish), 4))
    node['c'][1] = [None, []]
    node['c'][0] = attr()
    whole = 'false' if len(body) <= WHOLE_ROWS else 'true'
    return [raw(f'#block(breakable: {whole})[#table-size({size:.2f}pt)['), walk_cells(node, change), raw(']]')]


# ---- the whole book


def typst_of(blocks: list) -> str:
    blocks = walk(blocks, lambda node: node['c'][1] if node['t'] == 'Cite' else None)  # citeproc has written them out
    return pandoc(document(blocks), '-f', 'json', '-t', 'typst', '--wrap=none', '--syntax-highlighting=idiomatic')


def labels_in(source: str) -> set:
    return set(re.findall(r'<([\w.:-]+)>', source))


def source_of(book: Book) -> str:
    "The whole book in typst."
    commit, date = commit_line()
    edition = ' · '.join(
        filter(
            None,
            [
                date,
                f'commit {commit}' if commit else '',
                'every figure, table and number is made by the code of its chapter',
            ],
        )
    )
    acronyms = ''.join(f'({string(a)}, {string(b)}),' for a, b in book.acronyms)
    out = [
        f'#let book-title = {string(TITLE)}\n#let book-subtitle = {string(SUBTITLE)}\n#let book-author = '
        f'{string(copyright_line())}\n#let book-edition = {string(edition)}\n'
        f'#let acronyms = ({acronyms})\n#let h1-gap = h(0.8em)\n',
        (HERE / 'book.typ').read_text(encoding='utf-8'),
    ]
    out.append(front_lists(book))
    part, in_appendix, places = None, False, printed_ids(book)
    chapters = [c for c in book.chapters if c.form != 'online']
    for chapter in chapters:
        if chapter.appendix and not in_appendix:
            out.append(bibliography(book))
        if chapter.part != part:
            out.append(f'#part({string(PART_NUMBERS.get(chapter.part, ""))})[{chapter.part}]\n')
            part = chapter.part
        if chapter.appendix and not in_appendix:
            out.append('#set heading(numbering: "A.1")\n#chapter-word.update("Appendix")\n')
            in_appendix = True
        front = [el('Header', [1, attr(f'sec-{chapter.slug}'), chapter.title])]
        if chapter.summary:
            front += [el('Plain', [raw_inline('#summary['), *chapter.summary, raw_inline(']')])]
        front.append(raw(f'#made-by[{notebook(chapter)}{module_line(chapter)}]'))
        place = ord(chapter.number) - ord('A') if chapter.appendix else int(chapter.number) - 1
        out.append(f'#counter(heading).update({place})')
        out.append(typst_of([*front, *for_pdf(book, chapter, places), *also_online(chapter)]))
    if not in_appendix:
        out.append(bibliography(book))
    out.append(online_chapters(book))
    return '\n\n'.join(out)


def module_line(chapter) -> str:
    return f' · `{chapter.module}`' if chapter.module else ''


def also_online(chapter) -> list:
    "A line at the end of a chapter that says what only its page has."
    headings = [' '.join(text_of(h['c'][2]).split()) for h in elements(chapter.blocks, 'Header')]
    titles = [t for t in headings if t in chapter.online]
    return [raw(f'#pointer[Only in the HTML pages: #{string(", ".join(titles))}.]')] if titles else []


def online_chapters(book: Book) -> str:
    "The chapters that are not printed, so that a reference to one leads to what it is about."
    left_out = [c for c in book.chapters if c.form == 'online']
    if not left_out:
        return ''
    rows = []
    for c in left_out:
        title, words = (typst_of([el('Plain', without_references(w))]).strip() for w in (c.title, c.summary))
        rows.append(f'#online-chapter({string(c.number)}, {string(c.module)})[{title} <sec-{c.slug}>][{words}]')
    return (
        '#heading(level: 1, numbering: none)[Chapters of the HTML pages] <sec-online>\n'
        'These chapters describe the tools behind the book: files, settings, runners, formats. They are read in the '
        'HTML pages or in JupyterLab, where the reference also documents every public name of the library.\n\n'
        + '\n'.join(rows)
    )


def front_lists(book: Book) -> str:
    "Lists of the figures and tables that are printed, with the beginning of their captions."
    places, out = printed_ids(book), []
    for kind, title in (('fig', 'Figures'), ('tbl', 'Tables')):
        entries = [
            f'entry(<{id}>, {string(number)}, {string(beginning(text_of(without_references(words))))})'
            for id, number, _, words in book.captions(kind)
            if id in places
        ]
        out.append(f'#front-list({string(title)}, ({", ".join(entries)}{"," if len(entries) == 1 else ""}))')
    return '\n'.join([*out, '#front-acronyms()', '#show: main-matter'])


def beginning(caption: str) -> str:
    "The first sentence of a caption, or as much of it as a line of the list takes."
    first = re.split(r'(?<=[^.\d])[.;:] (?=[A-Z])|; ', ' '.join(caption.split()))[0].rstrip('.')
    if len(first) <= ENTRY_LETTERS:
        return first
    return first[:ENTRY_LETTERS].rsplit(' ', 1)[0].rstrip(',;:') + ' …'


def bibliography(book: Book) -> str:
    if not book.references:
        return ''

    def entry(node):
        if node['t'] == 'Div' and 'csl-entry' in node['c'][0][1]:
            left, right = node['c'][1][0]['c'][0], node['c'][1][0]['c'][1:]
            return [
                el(
                    'Plain',
                    [
                        raw_inline('#block(above: 0.7em, below: 0.7em)[#grid(columns: (2.4em, 1fr), ['),
                        left,
                        raw_inline('], ['),
                        *right,
                        raw_inline(f'])] <{node["c"][0][0]}>'),
                    ],
                )
            ]
        if node['t'] == 'Span' and node['c'][0][1] in (['csl-left-margin'], ['csl-right-inline']):
            return node['c'][1]

    body = typst_of(walk(copy.deepcopy(book.references), lambda n: entry(n)))
    return (
        '#heading(level: 1, numbering: none)[Bibliography] <sec-bibliography>\n#[\n#set par(justify: false)\n'
        f'#set text(size: 9.4pt)\n{body}\n]\n'
    )


def compile_pdf(source: str, book: Book, folder: Path) -> tuple[Path, list]:
    import typst

    work = folder / 'typst'
    shutil.rmtree(work, ignore_errors=True)
    (work / 'images').mkdir(parents=True)
    for name, data in book.images.items():
        (work / 'images' / name).write_bytes(data)
    for sign in ('times', 'dot', 'plus'):  # pandoc writes the names of an older typst
        source = source.replace(f'{sign}.circle', f'{sign}.o')
    (work / 'book.typ').write_text(source, encoding='utf-8')
    try:
        pdf, warnings = typst.compile_with_warnings(
            str(work / 'book.typ'),
            root=str(work),
            font_paths=[str(font_folder())],
            ignore_system_fonts=True,
            pdf_standards=[],
        )
    except typst.TypstError as error:
        raise BookError(f'{work / "book.typ"}: {" ".join(str(error).split())[:600]}') from None
    path = folder / 'drumnb.pdf'
    path.write_bytes(pdf)
    return path, [*(f'typst: {getattr(w, "message", w)}' for w in warnings), *unprintable(source)]


@cache
def known_characters() -> set:
    from fontTools.ttLib import TTFont

    return {
        c
        for name in ('DejaVuSans', 'DejaVuSansMono', 'STIXGeneral')
        for c in TTFont(font_folder() / f'{name}.ttf', lazy=True).getBestCmap()
    }


def has_glyph(c: str) -> bool:
    return ord(c) <= 0x2FF or c == BREAK or ord(c) in known_characters() or 0x1D400 <= ord(c) < 0x1D800


def unprintable(source: str) -> list[str]:
    "Characters that no font of the book has; typst would print an empty box and say nothing."
    return [f'no font has the character {c!r} (U+{ord(c):04X})' for c in sorted(set(source)) if not has_glyph(c)]


def font_folder() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / 'fonts/ttf'


def make(book: Book, folder: Path) -> list[str]:
    "Write the PDF; what typst and the fonts complain about."
    folder.mkdir(parents=True, exist_ok=True)
    path, warnings = compile_pdf(source_of(book), book, folder)
    print(f'{path}: {path.stat().st_size / 1e6:.0f} MB', flush=True)
    return list(dict.fromkeys(warnings))


if __name__ == '__main__':
    raise SystemExit(build(__doc__, make))
