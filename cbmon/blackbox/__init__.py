"""``/probe`` as blackbox_exporter answers it: its module files, its probers, its metrics.

Rule: what a module means is decided by blackbox_exporter's behaviour, not by that of cbmon's own
checks; connections, TLS contexts, names and the address policy are those of :mod:`cbmon.probes`.
Nothing of it is imported before a module file is named.
"""
