-- Numbers profiles for bitmaps. It outlasts the generations of the state, so that no number stands
-- for two profiles.
CREATE SEQUENCE profile_number AS integer;
