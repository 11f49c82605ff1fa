"""A search for lost and doubled bookings: random orders, random faults, random kills.

    python -m tests.chaos --kills 500 --seed 1

Every decision comes from the seed; which instant a kill hits does not, since processes run freely.
"""
