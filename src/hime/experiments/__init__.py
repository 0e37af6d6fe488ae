"""The paper's experiments, each one command: `hime reproduce table6`.

`tables`: what is trained and compared, as data; `runner`: training and measuring; `report`: Markdown and
plots; `comparison`: Table 1; `video`: Table 5; `figures`: what needs no training; `dial`: not of the paper.
"""
