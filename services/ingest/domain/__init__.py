"""What ingest decides, without touching anything: which event is taken, and as which fact."""
