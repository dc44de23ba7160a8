"""Sphinx settings of the documentation; docs/build makes it."""

import doctest

from voc_tfdata.version import __version__

project = "voc_tfdata"
author = "the voc_tfdata authors"
copyright = "the voc_tfdata authors"
version = release = __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.doctest"]
html_theme = "furo"
html_title = f"voc_tfdata {__version__}"
exclude_patterns = ["_build"]
nb_execution_mode = "off"  # the notebooks hold their outputs; docs/run_notebooks.py runs them
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
suppress_warnings = ["mystnb.unknown_mime_type", "misc.highlighting_failure"]  # the latter: !commands of notebooks
linkcheck_timeout = 20
doctest_global_setup = """
import os, pathlib, tempfile
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np
import voc_tfdata
from voc_tfdata.sample.devkit import make_sample_voc
folder = pathlib.Path(tempfile.gettempdir()) / f"voc_tfdata_doctest_{os.getpid()}"
records = str(folder / "records")
if not folder.exists():
    make_sample_voc(folder / "sample", num_images=40)
    voc_tfdata.build_records(folder / "sample/VOC2012", records, num_shards=2, num_workers=1)
"""
doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
