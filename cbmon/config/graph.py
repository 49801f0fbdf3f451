"""Cycles in what refers to what: dependencies of checks, bases of templates.

Rule: linear in the number of edges, no recursion, and each cycle is told once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def cycles(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """Each cycle as a path that ends where it began; edges to unknown names are left out."""
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        path: dict[str, Iterator[str]] = {start: iter(edges[start])}
        while path:
            name = next(reversed(path))
            target = next(path[name], None)
            if target is None:
                done.add(name)
                del path[name]
            elif target in path:
                names = list(path)
                yield [*names[names.index(target) :], target]
            elif target not in done and target in edges:
                path[target] = iter(edges[target])
