"""Two models compared on one list of inputs and references, with 95 % intervals over people.

python examples/compare_models.py
"""

import hime
from hime.data.people import DEMO_PEOPLE, read_list
from hime.evaluation.evaluate import evaluate
from hime.evaluation.table import format_table

models = [hime.load("small-x4"), hime.load("small-x4-p")]
entries = read_list(DEMO_PEOPLE / "list.jsonl")
print(format_table(evaluate(models, DEMO_PEOPLE, entries, lr_size=32, list_name="demo people")))
