"""Citations and references that read well in a notebook as it stands, and that the book resolves.

Whoever writes a chapter types `[@bock2012]`, `@fig-name` or `@sec-onsets`. `scripts/clean_notebooks.py` turns that into
links: `[(Böck et al. 2012)](address "@bock2012")`, `[figure name](#fig-name)`, `[chapter 5](05_onsets.ipynb)`. The book
turns them back into numbers.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

BIBLIOGRAPHY = Path(__file__).resolve().parent / 'references.bib'
WORDS = {'fig': 'figure', 'tbl': 'table', 'eq': 'equation'}
CITED = re.compile(r'\[\(([^()\[\]]+)\)\]\((\S+?) "(@[^"]+)"\)')  # a citation as it reads in JupyterLab
REFERRED = re.compile(r'\[([Ff]igure|[Tt]able|[Ee]quation) [\w-]+\]\(#((?:fig|tbl|eq)-[\w-]+)\)')
TYPED = re.compile(r'\[(@[a-z]+\d{4}[a-z]*(?:, [^;\[\]]+)?(?:; @[a-z]+\d{4}[a-z]*(?:, [^;\[\]]+)?)*)\]')
TYPED_LABEL = re.compile(r'(?<![\w`\[])@([Ff]ig|[Tt]bl|[Ee]q)-([a-z0-9-]*[a-z0-9])')
TYPED_CHAPTER = re.compile(r'(?<![\w`\[])@([Ss])ec-([a-z0-9-]*[a-z0-9])')
NUMBERED = re.compile(r'\[([Cc])hapter \d+\]\((\d\d)_(\w+)\.ipynb\)')


@dataclass(frozen=True)
class Work:
    names: tuple  # surnames
    year: str
    address: str

    @property
    def short(self) -> str:
        first = self.names[0]
        who = f'{first} and {self.names[1]}' if len(self.names) == 2 else first + ' et al.' * (len(self.names) > 2)
        return f'{who} {self.year}'


@cache
def works(path: Path = BIBLIOGRAPHY) -> dict[str, Work]:
    "Key → work, as `references.bib` has it."
    found = {}
    for entry in re.split(r'^@\w+\{', path.read_text(encoding='utf-8'), flags=re.M)[1:]:
        fields = dict(re.findall(r'^  (\w+) = \{(.*)\},$', entry, re.M))
        names = [re.sub(r'[{}]', '', n).split(',')[0].strip() for n in fields.get('author', '').split(' and ')]
        address = f'https://doi.org/{fields["doi"]}' if 'doi' in fields else fields.get('url', '')
        found[entry.split(',')[0]] = Work(tuple(names), fields.get('year', ''), address)
    return found


def label(cited: str, before: str, known: dict[str, Work]) -> str:
    "What a citation says: the year where the first author was just named, else author and year."
    out = []
    for one in cited.split('; '):
        key, _, place = one[1:].partition(', ')
        work = known[key]
        named = len(cited.split('; ')) == 1 and work.names[0] in before
        out.append((work.year if named else work.short) + (f', {place}' if place else ''))
    return '; '.join(out)


def readable(markdown: str, notebooks: list[str] = (), known: dict[str, Work] | None = None) -> str:
    "What was typed as keys, as links that say something. Keys that are unknown stay, for the book to report."
    known = works() if known is None else known

    def cite(match):
        cited = match[1]
        keys = [one[1:].split(',')[0] for one in cited.split('; ')]
        if not all(k in known for k in keys):
            return match[0]
        before = re.split(r'\n\s*\n', markdown[max(0, match.start() - 120) : match.start()])[-1]
        return f'[({label(cited, before, known)})]({known[keys[0]].address} "{cited}")'

    def refer(match):
        kind, name = match.groups()
        word = WORDS[kind.lower()]
        return f'[{word.capitalize() if kind[0].isupper() else word} {name}](#{kind.lower()}-{name})'

    chapters = {name.split('_', 1)[1]: name for name in notebooks}

    def chapter(match):
        name = chapters.get(match[2].replace('-', '_'))
        if not name or name.startswith('00'):  # the last page of the book is no numbered chapter
            return match[0]
        return f'[{"C" if match[1] == "S" else "c"}hapter {int(name[:2])}]({name}.ipynb)'

    markdown = TYPED.sub(cite, markdown)
    markdown = TYPED_CHAPTER.sub(chapter, TYPED_LABEL.sub(refer, markdown))
    return NUMBERED.sub(lambda m: f'[{m[1]}hapter {int(m[2])}]({m[2]}_{m[3]}.ipynb)', markdown)


def keys_of(markdown: str) -> str:
    "The keys again, for pandoc."
    markdown = CITED.sub(lambda m: f'[{m[3]}]', markdown)
    return REFERRED.sub(lambda m: f'@{m[2][0].upper() if m[1][0].isupper() else m[2][0]}{m[2][1:]}', markdown)


def wrong_addresses(markdown: str, known: dict[str, Work] | None = None) -> list[str]:
    "Citations whose link leads elsewhere than their work's entry."
    known = works() if known is None else known
    found = []
    for _, address, cited in CITED.findall(markdown):
        key = cited[1:].split(';')[0].split(',')[0]
        if key in known and known[key].address != address:
            found.append(f'the link of @{key} leads to {address}, its entry to {known[key].address}')
    return found
