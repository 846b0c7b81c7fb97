"""Starts, watches and stops what others wrote, and reads what it received.

- ``process``: one program, from start to end; ports.
- ``collector``: the real agent.  ``received``: what it wrote to its file.
- ``prometheus``: a real Prometheus.
- ``proxies``: nginx and HAProxy, which end TLS in front of an agent that has none.
- ``exporters``: exporters that others wrote, in Go and in Python.

A program that is missing fails the test that wants it and says what to install; no test is skipped.
"""
