"""Where things are, for every test."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]  # the checkout
SHARED = ROOT.parent / "shared"  # real images and odd inputs, where they are
