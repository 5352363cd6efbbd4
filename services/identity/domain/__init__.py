"""Pure: facts (what events say), model (what is so), decide (what follows)."""
