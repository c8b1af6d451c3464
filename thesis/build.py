"""Write the whole book from the executed chapters: pages of HTML, one HTML file, and a PDF."""

import build_html
import build_pdf
from book import build

if __name__ == '__main__':
    raise SystemExit(build(__doc__, build_html.make, build_pdf.make))
