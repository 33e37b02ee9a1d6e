"""One reader a raw format; each opens a :class:`data_prep.sources._source.Source`."""
