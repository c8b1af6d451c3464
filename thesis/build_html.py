"""Write the book as pages of HTML, one a chapter, and as one file that holds everything; neither asks any host for
anything."""

import base64
import copy
import html
import json
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from api import index_entries, package_page, read_library
from book import (
    HERE,
    PART_NUMBERS,
    SUBTITLE,
    TITLE,
    Book,
    attr,
    build,
    commit_line,
    copyright_line,
    div,
    document,
    el,
    elements,
    pairs_of,
    pandoc,
    table_rows,
    text_of,
    tidy_table,
    walk,
    without_references,
)

MIME = {'png': 'image/png', 'svg': 'image/svg+xml', 'jpg': 'image/jpeg', 'jpeg': 'image/jpeg', 'gif': 'image/gif'}
KIND_WORDS = {
    'export': 'library code',
    'imports': 'imports',
    'checks': 'checks',
    'drawing': 'code of what is shown',
    'plain': 'code',
}
FRONT, BACK = 'index', 'bibliography'


def titled(part: str) -> str:
    return f'{PART_NUMBERS[part]}: {part}' if part in PART_NUMBERS else part


def raw(words: str) -> dict:
    return el('RawBlock', ['html', words])


def inline(inlines: list) -> str:
    "Inlines as HTML."
    return pandoc(document([el('Plain', inlines)]), '-f', 'json', '-t', 'html', '--mathml').strip() if inlines else ''


def data_uri(mime: str, data: bytes) -> str:
    return f'data:{mime};base64,{base64.b64encode(data).decode()}'


def for_html(book: Book, blocks: list) -> list:
    "The book's own elements as HTML."

    def change(node):
        t = node['t']
        if t == 'CodeBlock' and 'cell' in node['c'][0][1]:
            return folded(node)
        if t == 'CodeBlock' and 'printed' in node['c'][0][1]:
            return [raw(f'<pre class="printed" tabindex="0">{html.escape(node["c"][1])}</pre>')]
        if t == 'Table':
            node = tidy_table(node)
            return [
                raw(
                    f'<div class="scroll{" wide" if is_wide(node) else ""}" tabindex="0" role="region" '
                    'aria-label="Table">'
                ),
                node,
                raw('</div>'),
            ]
        if t == 'Image':
            return image(node)
        if t == 'Header':
            return heading(node)
        if t == 'Span' and 'equation' in node['c'][0][1]:
            return [
                el(
                    'Span',
                    [
                        attr(node['c'][0][0], ['equation']),
                        [
                            *node['c'][1],
                            el('Span', [attr('', ['number']), [el('Str', f'({pairs_of(node)["number"]})')]]),
                        ],
                    ],
                )
            ]
        if t != 'Div':
            return None
        classes, pairs = node['c'][0][1], pairs_of(node)
        if 'sound' in classes:
            return [
                raw(
                    f'<p class="sound"><audio controls preload="none" data-sound="{pairs["sound"]}" '
                    f'src="{data_uri(*book.sounds[pairs["sound"]])}"></audio></p>'
                )
            ]
        if 'only-html' in classes:
            return [raw(shown_page(node['c'][1][0]['c'][1]))]
        if classes in (['figure'], ['table']):
            return captioned(node, change)
        return None

    return walk(copy.deepcopy(blocks), change)


def is_wide(table: dict, letters: int = 80) -> bool:
    head, body = table_rows(table)
    widths = [
        max(len(text_of(cell[4]).strip()) for cell in column) + 2
        for column in zip(*(row for row in [*head, *body] if len(row) == len(table['c'][2])))
    ]
    return sum(widths) > letters


def folded(node: dict) -> list:
    (_, _, pairs), code = node['c']
    pairs = dict(pairs)
    label = KIND_WORDS[pairs['kind']] + (f': <code>{html.escape(pairs["names"])}</code>' if pairs['names'] else '')
    opened = ' open' if pairs['book'] == 'show' else ''
    return [
        raw(f'<details class="cell {pairs["kind"]}"{opened}><summary>{label}</summary>'),
        el('CodeBlock', [attr('', ['python']), code]),
        raw('</details>'),
    ]


def image(node: dict) -> list:
    pairs, (target, _) = dict(node['c'][0][2]), node['c'][2]
    width = round(96 * float(pairs.get('inches', 6)))
    return [
        el(
            'RawInline',
            [
                'html',
                f'<img src="images/{html.escape(target)}" alt="{html.escape(text_of(node["c"][1]).strip())}" '
                f'width="{width}" loading="lazy">',
            ],
        )
    ]


def heading(node: dict) -> list:
    level, (id, classes, pairs), words = node['c']
    number = dict(pairs).get('number')
    front = [el('Span', [attr('', ['number']), [el('Str', number)]]), el('Space')] if number else []
    return [el('Header', [level, [id, classes, []], [*front, *words]])]


def captioned(node: dict, change) -> list:
    (id, classes, _), (caption, *body) = node['c'][0], node['c'][1]
    number, kind = pairs_of(node)['number'], 'Figure' if classes == ['figure'] else 'Table'
    words = [
        el('Span', [attr('', ['number']), [el('Str', f'{kind}\u00a0{number}')]]),
        el('Space'),
        *caption['c'][1][0]['c'],
    ]
    title = [raw('<figcaption>'), el('Plain', words), raw('</figcaption>')]
    inner = walk(body, change)
    return [
        raw(f'<figure id="{id}" class="{kind.lower()}">'),
        *(title if kind == 'Table' else []),
        *inner,
        *(title if kind == 'Figure' else []),
        raw('</figure>'),
    ]


def shown_page(page: str) -> str:
    "HTML that a cell shows: a fragment as it is, a whole page in a frame of its own."
    if re.search(r'(?i)<!doctype|<html|<body|<iframe', page):
        found = re.search(r'<iframe[^>]*srcdoc="([^"]*)"', page)
        inner = found[1] if found else html.escape(page, quote=True)
        height = re.search(r'height="?:?\s*(\d+)', page)
        return (
            '<iframe class="shown" title="An interactive display of this chapter" sandbox="allow-scripts" '
            f'loading="lazy" height="{height[1] if height else 420}" srcdoc="{inner}"></iframe>'
        )
    return f'<div class="shown-html">{re.sub(r"(?s)<style.*?</style>", "", page)}</div>'


# ---- pages


def body_of(book: Book, chapter) -> str:
    page = pandoc(document(for_html(book, chapter.blocks)), '-f', 'json', '-t', 'html', '--mathml', '--wrap=none')
    page = re.sub(
        r'(<mo>(?:&#8289;|\u2061)</mo>)(?!\s*(?:<mrow>\s*)?<mo[^>]*>\s*[(\[])',
        r'\1<mspace width="0.17em"></mspace>',
        page,
    )  # log p: browsers set no space here
    page = re.sub(r'<a href="#cb\d+-\d+"[^>]*></a>', '', page)  # pandoc's line numbers, the same in every chapter
    page = re.sub(r' id="cb[\d-]+"', '', page)
    return re.sub(r'((?:id="|href="#))(fn(?:ref)?\d+")', rf'\1{chapter.slug}-\2', page)


def contents(book: Book, current: str = '') -> str:
    "The list of parts and chapters, as it stands beside every page."
    out, part = [], None
    rows = [(c.part, c.slug, c.number, inline_cached(c)) for c in book.chapters]
    bibliography = (None, BACK, '', 'Bibliography')
    first = next((i for i, r in enumerate(rows) if r[2].isalpha()), len(rows))
    rows[first:first] = [bibliography] if book.references else []
    for group, slug, number, title in rows:
        if group != part:
            out.append(
                ('</ol>' if part is not None or out else '')
                + (f'<p class="part">{html.escape(titled(group))}</p>' if group else '')
                + '<ol>'
            )
            part = group
        here = ' aria-current="page"' if slug == current else ''
        out.append(f'<li><a href="#page-{slug}"{here}><span class="number">{number}</span> {title}</a></li>')
    reference = ''.join(
        f'<li><a href="#page-{p.slug}"{" aria-current=" + chr(34) + "page" + chr(34) if p.slug == current else ""}>'
        f'<code>{p.name}</code></a></li>'
        for p in library()
    )
    return '\n'.join(out) + f'</ol><p class="part">Reference</p><ol class="reference">{reference}</ol>'


@cache
def library() -> list:
    return read_library()


TITLES: dict = {}


def inline_cached(chapter) -> str:
    if id(chapter) not in TITLES:
        TITLES[id(chapter)] = inline(without_references(chapter.title))
    return TITLES[id(chapter)]


def sections(chapter) -> list:
    return [
        (h['c'][1][0], dict(h['c'][1][2]).get('number', ''), text_of(h['c'][2]).strip())
        for h in elements(chapter.blocks, 'Header')
        if h['c'][0] == 2
    ]


def chapter_page(book: Book, chapter) -> str:
    word = 'Appendix' if chapter.appendix else 'Chapter'
    head = (
        f'<header class="chapter"><p class="kicker">{html.escape(titled(chapter.part))} · {word} {chapter.number}</p>'
        f'<h1 id="sec-{chapter.slug}">{inline_cached(chapter)}</h1>'
        + (f'<p class="summary">{inline(chapter.summary)}</p>' if chapter.summary else '')
        + '</header>'
    )
    inside = sections(chapter)
    toc = ''
    if len(inside) > 2:
        toc = (
            '<nav class="sections" aria-label="Sections"><ol>'
            + ''.join(
                f'<li><a href="#{id}"><span class="number">{n}</span> {html.escape(t)}</a></li>' for id, n, t in inside
            )
            + '</ol></nav>'
        )
    link = f'<a href="#api-{chapter.module}">reference</a>'
    reference = f' Every public name of <code>{chapter.module}</code> is in the {link}.'
    source = (
        f'<p class="source">Made by <code>nbs/{chapter.name}.ipynb</code>: open it in JupyterLab with '
        f'<code>make lab</code> to run and change every cell.{reference if chapter.module in modules() else ""}</p>'
    )
    return head + toc + body_of(book, chapter) + source


@cache
def modules() -> set:
    return {m.name for package in library() for m in package.modules}


def front_page(book: Book) -> str:
    "Title, contents, how to read."
    commit, date = commit_line()
    edition = ' · '.join(filter(None, [date, f'commit {commit}' if commit else '']))
    parts, seen = [], None
    for c in book.chapters:
        if c.part != seen:
            parts.append(
                ('</dl></section>' if seen else '')
                + f'<section class="part"><h3>{html.escape(titled(c.part))}</h3><dl>'
            )
            seen = c.part
        parts.append(
            f'<dt><span class="number">{c.number}</span> '
            f'<a href="#page-{c.slug}">{inline_cached(c)}</a></dt><dd>{inline(without_references(c.summary))}</dd>'
        )
    return (
        f'<header class="title"><h1 id="sec-title">{html.escape(TITLE)}</h1>'
        f'<p class="subtitle">{html.escape(SUBTITLE)}</p>'
        f'<p class="author">{html.escape(copyright_line())}</p>'
        f'<p class="edition">{html.escape(edition)}</p></header>'
        '<p>Every number, table and figure of this book is made by the code beside it. The code is folded: a click '
        'on its line opens it, and on the page of a '
        'chapter the button <b>Code</b> opens all of it. The search box looks through every page; <kbd>/</kbd> jumps '
        'to it. Sounds play in the page.</p>'
        '<h2 id="sec-contents">Contents</h2>' + '\n'.join(parts) + '</dl></section>'
        '<h2 id="sec-reference">Reference</h2><p>Signatures, docstrings and code of every public name, '
        'one page per package: '
        + ' · '.join(f'<a href="#page-{p.slug}"><code>{p.name}</code></a>' for p in library())
        + '</p><p><a href="#page-lists">Lists of figures, tables and acronyms</a>'
        + (' · <a href="#page-bibliography">Bibliography</a>' if book.references else '')
        + '</p>'
    )


def lists_page(book: Book) -> str:
    out = ['<header class="chapter"><h1 id="sec-lists">Figures, tables and acronyms</h1></header>']
    for kind, word in (('fig', 'Figures'), ('tbl', 'Tables')):
        entries = book.captions(kind)
        shown = (
            pandoc(
                document([div([el('Plain', without_references(c) or [el('Str', '–')])]) for *_, c in entries]),
                '-f',
                'json',
                '-t',
                'html',
                '--mathml',
                '--wrap=none',
            )
            if entries
            else ''
        )
        captions = re.findall(r'(?s)<div>\s*(.*?)\s*</div>', shown)
        out.append(
            f'<h2 id="list-of-{word.lower()}">{word}</h2><ol class="entries">'
            + ''.join(
                f'<li><a href="#{id}"><span class="number">{n}</span> {words}</a></li>'
                for (id, n, _, _), words in zip(entries, captions)
            )
            + '</ol>'
        )
    if book.acronyms:
        out.append(
            '<h2 id="list-of-acronyms">Acronyms</h2><dl class="acronyms">'
            + ''.join(f'<dt>{html.escape(a)}</dt><dd>{html.escape(b)}</dd>' for a, b in book.acronyms)
            + '</dl>'
        )
    return ''.join(out)


def bibliography_page(book: Book) -> str:
    return '<header class="chapter"><h1 id="sec-bibliography">Bibliography</h1></header>' + pandoc(
        document([div(book.references, 'refs', ['references'])]), '-f', 'json', '-t', 'html', '--mathml', '--wrap=none'
    )


def pages(book: Book) -> dict:
    "Every page's inside, in reading order; links are still `#id` and `#page-slug`."
    library()  # before the threads: Python 3.11 cannot parse in two at once
    with ThreadPoolExecutor(2) as pool:
        inside = dict(zip((c.slug for c in book.chapters), pool.map(lambda c: chapter_page(book, c), book.chapters)))
    main = [c.slug for c in book.chapters if not c.appendix]
    out = {FRONT: front_page(book), 'lists': lists_page(book)}
    out |= {s: inside[s] for s in main}
    if book.references:
        out[BACK] = bibliography_page(book)
    out |= {c.slug: inside[c.slug] for c in book.chapters if c.appendix}
    chapters = {c.name: (c.slug, c.number) for c in book.chapters}
    return out | {p.slug: package_page(p, chapters) for p in library()}


def page_of_ids(inside: dict) -> dict:
    return {i: slug for slug, page in inside.items() for i in re.findall(r'\bid="([^"]+)"', page)}


def link_pages(page: str, slug: str, where: dict) -> str:
    "`#id` to the page that has it."

    def change(match):
        id = match[1]
        if id.startswith('page-'):
            return f'href="{id[5:]}.html"'
        owner = where.get(id, slug)
        return f'href="#{id}"' if owner == slug else f'href="{owner}.html#{id}"'

    return re.sub(r'href="#([^"]*)"', change, page)


def search_index(book: Book, inside: dict) -> list:
    "One entry a section: where it is, its title, its words."
    entries = []
    for c in book.chapters:
        where, title, words = f'sec-{c.slug}', c.plain_title, [text_of(c.summary)]
        for block in c.blocks:
            if block['t'] == 'Header' and block['c'][0] == 2:
                entries.append([c.slug, where, c.number, c.plain_title, title, ' '.join(words)])
                where, title, words = block['c'][1][0], text_of(block['c'][2]).strip(), []
            elif block['t'] != 'CodeBlock':
                words.append(
                    text_of(walk([block], lambda n: [] if n['t'] in ('CodeBlock', 'RawBlock', 'Table') else None))
                )
            elif names := pairs_of(block).get('names'):
                words.append(names)
        entries.append([c.slug, where, c.number, c.plain_title, title, ' '.join(words)])
    entries += [e for package in library() for e in index_entries(package)]
    return [[*e[:5], re.sub(r'\s+', ' ', e[5]).strip()] for e in entries]


def neighbours(order: list, slug: str, titles: dict) -> str:
    i = order.index(slug)
    before, after = (order[i - 1] if i else None), (order[i + 1] if i + 1 < len(order) else None)
    return (
        '<nav class="turn" aria-label="Previous and next page">'
        + (
            f'<a rel="prev" href="#page-{before}"><small>previous</small>{titles[before]}</a>'
            if before
            else '<span></span>'
        )
        + (f'<a rel="next" href="#page-{after}"><small>next</small>{titles[after]}</a>' if after else '<span></span>')
        + '</nav>'
    )


def page_titles(book: Book) -> dict:
    return (
        {FRONT: html.escape(TITLE), 'lists': 'Figures, tables and acronyms', BACK: 'Bibliography'}
        | {c.slug: inline_cached(c) for c in book.chapters}
        | {p.slug: f'<code>{p.name}</code>' for p in library()}
    )


def fill(template: str, **parts: str) -> str:
    return re.sub(r'\{\{(\w+)\}\}', lambda m: parts[m[1]], template)


def write_site(book: Book, folder: Path, inside: dict):
    shutil.rmtree(folder, ignore_errors=True)
    (folder / 'images').mkdir(parents=True)
    template, titles, order, where = (
        (HERE / 'page.html').read_text(encoding='utf-8'),
        page_titles(book),
        list(inside),
        page_of_ids(inside),
    )
    for name, data in book.images.items():
        (folder / 'images' / name).write_bytes(data)
    for name in ('book.css', 'book.js'):
        shutil.copy(HERE / name, folder)
    (folder / 'search.js').write_text(
        'window.BOOK_INDEX = '
        + json.dumps(search_index(book, inside), ensure_ascii=False, separators=(',', ':')).replace('</', '<\\/')
        + ';\n',
        encoding='utf-8',
    )
    for slug, page in inside.items():
        plain = re.sub(r'<[^>]+>', '', titles[slug])
        whole = fill(
            template,
            title=plain if slug == FRONT else f'{plain} · {html.escape(TITLE)}',
            book=html.escape(TITLE),
            kind='pages',
            contents=contents(book, slug),
            body=page,
            turn=neighbours(order, slug, titles),
            styles='<link rel="stylesheet" href="book.css">',
            scripts='<script src="search.js"></script><script src="book.js"></script>',
        )
        (folder / f'{slug}.html').write_text(link_pages(whole, slug, where), encoding='utf-8')


def write_single(book: Book, path: Path, inside: dict):
    """Everything in one file: pictures and sounds as data, links within the page. The reference is there without the
    code, which would be half of the words that a browser has to lay out."""
    template = (HERE / 'page.html').read_text(encoding='utf-8')
    body = '\n'.join(f'<section class="page" id="page-{slug}">{page}</section>' for slug, page in inside.items())
    body = re.sub(
        r'src="images/([^"]+)"',
        lambda m: f'src="{data_uri(MIME[m[1].rsplit(".", 1)[1]], book.images[html.unescape(m[1])])}"',
        body,
    )
    body = re.sub(r'(?s)<details class="cell api-code">.*?</details>', '', body)
    index = json.dumps(search_index(book, inside), ensure_ascii=False, separators=(',', ':')).replace('</', '<\\/')
    whole = fill(
        template,
        title=html.escape(TITLE),
        book=html.escape(TITLE),
        kind='single',
        contents=contents(book),
        body=body,
        turn='',
        styles=f'<style>{(HERE / "book.css").read_text(encoding="utf-8")}</style>',
        scripts='<script>window.BOOK_INDEX = '
        f'{index};</script><script>{(HERE / "book.js").read_text(encoding="utf-8")}</script>',
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(whole, encoding='utf-8')


class PageReader(HTMLParser):
    "What a page links to, asks for and names."

    def __init__(self, text: str):
        super().__init__()
        self.ids, self.links, self.asked, self.unspoken = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list):
        given = dict(attrs)
        if given.get('id'):
            self.ids.append(given['id'])
        if tag == 'a' and 'href' in given:
            self.links.append(given['href'])
        elif 'src' in given or tag == 'link':
            self.asked.append(given.get('src') or given.get('href'))
        if tag == 'img' and not (given.get('alt') or '').strip():
            self.unspoken.append(given.get('src', '')[:60])
        self.asked += re.findall(r'url\(["\']?([^"\')]+)', given.get('style') or '')


def check_pages(folder: Path, files: list[Path] | None = None) -> list[str]:
    "Broken links, repeated identifiers, pictures without words and requests to other hosts in pages of HTML."
    pages = {path.name: PageReader(path.read_text(encoding='utf-8')) for path in files or sorted(folder.glob('*.html'))}
    problems = []
    for name, page in pages.items():
        problems += [
            f'{name}: the identifier {i} stands there {n} times' for i, n in Counter(page.ids).items() if n > 1
        ]
        problems += [f'{name}: {what} has no alternative text' for what in page.unspoken]
        for asked in page.asked:
            if (
                re.match(r'(https?:)?//', asked or '')
                or not asked.startswith('data:')
                and not (folder / asked).exists()
            ):
                problems.append(f'{name}: asks for {asked}')
        for link in page.links:
            target, _, id = link.partition('#')
            if re.match(r'https?://|mailto:', link):
                continue
            if (target or name) not in pages:
                problems.append(f'{name}: links to {link}, and there is no such page')
            elif id and id not in pages[target or name].ids:
                problems.append(f'{name}: links to {link}, and there is no such place')
    for sheet in folder.glob('*.css'):
        problems += [
            f'{sheet.name}: asks for {asked}'
            for asked in re.findall(r'@import[^;]+|url\([^)]*\)', sheet.read_text(encoding='utf-8'))
        ]
    return problems


def make(book: Book, folder: Path) -> list[str]:
    "Write the pages and the one file; what is wrong with them."
    inside = pages(book)
    write_site(book, folder / 'html', inside)
    write_single(book, folder / 'drumnb.html', inside)
    size = (folder / 'drumnb.html').stat().st_size / 1e6
    print(f'{folder}/html/index.html: {len(inside)} pages, {len(book.images)} pictures, {len(book.sounds)} sounds')
    print(f'{folder}/drumnb.html: the same in one file of {size:.0f} MB', flush=True)
    return [*check_pages(folder / 'html'), *check_pages(folder, [folder / 'drumnb.html'])]


if __name__ == '__main__':
    raise SystemExit(build(__doc__, make))
