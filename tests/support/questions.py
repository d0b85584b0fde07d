"""Questions whose verdict is not what a test is about: it comes soon, and it is the right one.

A verdict is wrong, or does not come within its budget, once in 600 runs of the default question. A
suite with a hundred of those would fail every sixth time.
"""

# A match with a gateway that gives green 25 %: 2,700 requests as a rule, wrong once in 10,000 runs.
SURE = ("--tolerance", "4", "--alpha", "0.0001", "--requests", "20000")
SURE_25 = ("--weight", "25", *SURE)
