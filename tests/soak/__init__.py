"""A long run at a moderate pace: nothing may be lost, and nothing may grow.

    python -m tests.soak --minutes 20 --seed 1

Orders, pushes, questions, faults, watchers that read, dawdle and stall, and a kill about every minute. The last
quarter of the time is one life without kills, long enough for a slope of memory that means something.
"""
