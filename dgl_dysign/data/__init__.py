"""Reading prepared folders: :class:`TemporalGraph`, splits and the Parquet schema."""
