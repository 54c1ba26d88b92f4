"""Pages on what came of the work: one per recipe from the working tree, one per version from the registry alone.

Each is one HTML file in Japanese and English that opens offline and prints well (docs/report.md). A part that is
missing says on the page why.
"""

from kajiya.report_pages.page import recipe_page, version_page

__all__ = ["recipe_page", "version_page"]
