"""Bundled facts the policies read: divisions of China, their other names, country codes.

Rule: data, literal tables and their indexes only; what to decide from them stands one floor up.
NOTICE names the source of the divisions and its licence.
"""
