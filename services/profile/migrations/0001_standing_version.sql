-- Orders what is said about one profile. It lasts longer than a generation of the state: those
-- downstream compare versions across a switch.
CREATE SEQUENCE standing_version;
