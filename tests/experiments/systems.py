"""Which of the comparison systems a test of all entries fits."""


def with_one_system(entries):
    """Leave EvolveGCN-O alone of the comparison systems: the code around the encoder is the same for all."""
    names = [name for name, entry in entries.items() if entry.learns and entry.compares]
    return {name: entry for name, entry in entries.items() if name not in names or name.startswith("evolvegcn-o")}
