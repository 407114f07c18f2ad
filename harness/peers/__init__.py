"""Our backbones against other people's, side by side on this machine: `make bench-peers`.

contestants   the same shapes as they and we build them, ready to train a step
measurements  one figure each, taken in a fresh process
report        the table, with what was to be reached
"""
