"""Connections to engines: kept open between requests, one exchange at a time on each.

Rule: it knows HTTP and sockets, and nothing of models, leases or clients.
"""
