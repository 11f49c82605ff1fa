"""Bugs planted on purpose: each must be caught by the test that stands for the promise it breaks.

python -m tests.seeded              # all of them
python -m tests.seeded no-fence     # one
"""
