"""The site of these pages: ``make docs`` builds it into build/docs, and a warning is an error.

Some pages are made when it is built, into docs/generated: the names of the library from the package, the
routes from openapi.yaml, the keys of the configuration from its JSON Schema, and the notebook with what it
showed when it was run (docs/notebook.py).
"""

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from site_pages import write_pages  # noqa: E402  # it is beside this file

project = "yamcs_archive"
author = "the authors of yamcs_archive"
project_copyright = "the authors of yamcs_archive, Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
html_theme = "furo"
html_title = "yamcs_archive"
html_copy_source = False
html_extra_path = ["configuration.schema.json"]
exclude_patterns = ["generated/names.md", "man", "performance", "notebooks", "__pycache__"]
suppress_warnings = [
    "myst.xref_missing",
    "misc.highlighting_failure",
]  # tests/test_docs.py follows every link, also to what is no page

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True


def setup(app: Any) -> None:
    """Make the generated pages first."""
    app.connect("builder-inited", lambda _: write_pages(HERE))
