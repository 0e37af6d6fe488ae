"""The paper's experiments, each one command: `hime reproduce table6`.

`tables`: what is trained and compared, as data; `runner`: training and measuring; `report`: Markdown and
plots; `figures`: what needs no training.
"""
