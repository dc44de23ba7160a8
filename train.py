"""Training from a checkout: python train.py --flagfile=flags/voc2012.flags --records=... --out_dir=... (see --help)"""

from voc_tfdata.commands.train import run

if __name__ == "__main__":
    run()
