-- Finds the persons who were erased after an instant.

CREATE INDEX erasure_erased_at ON erasure (erased_at) WHERE erased_at IS NOT NULL;
