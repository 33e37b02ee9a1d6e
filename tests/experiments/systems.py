"""Which of the comparison systems a test of all entries fits."""


def with_one_system(entries):
    """Leave an encoder and a network on samples of the comparison systems: the code around them is the same for all."""
    kept = ("evolvegcn-o", "evolvegcn-o-counts", "spikenet")
    names = [name for name, entry in entries.items() if entry.learns and entry.compares]
    return {name: entry for name, entry in entries.items() if name not in names or name in kept}
