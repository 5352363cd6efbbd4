"""Pure: facts (what came), model (what is so), batch, mapping, settle and growth (what follows)."""
