"""One reader a raw format; each gives :class:`data_prep.snapshots.RawData`."""
